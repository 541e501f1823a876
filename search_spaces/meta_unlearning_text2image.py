"""Does Meta-Unlearning (arXiv 2410.12777) keep a concept from being taught to a text-to-image model again, and around which method?

`meta_unlearning` asked of prompts. Every method is searched twice, as it is and wrapped as ``meta(METHOD)``, over the same ranges
and with as many trials; around UCE and RECE the edit is made first, as in public code, and what follows only resists. The first
objective is what malicious fine-tuning leaves; it is read against the retrain control, where there is one. Benign fine-tuning,
on images that have nothing to do with the concept, is run beside it: to withstand the one is not to withstand the other.
"""

from typing import Any

from search_spaces.closed_form_text2image import EDIT, PUBLISHED, ROUNDS
from search_spaces.dimum_text2image import ALTERNATIVE, SMALL, Scale, attack, malicious, presets, whole_suite
from search_spaces.meta_unlearning import OF_META
from sweep.space import Choice, Constraint, Float, Int, Objective, Parameter, SearchSpace, Settings, stratified

# What the wrapper begins with; its own settings' ranges are those of `meta_unlearning`.
META_BEGIN: Settings = {"meta_weight": 0.03, "zeta": 0.1, "meta_inner_steps": 1, "meta_inner_learning_rate": 0.1}
EDITS = ("uce", "rece")  # what is no training
KEEP_UNRELATED = Float(
    "meta_unrelated", 0.3, 30.0, log=True, help="κ: weight of keeping what is unrelated, after an edit"
)


def _training(scale: Scale, trained_parameters: tuple[str, ...]) -> tuple[Parameter, ...]:
    low, high, _ = scale.learning_rate
    fewest, most, _ = scale.steps
    return (
        Float("learning_rate", low, high, log=True, help="peak learning rate; it decays to 0 over the run"),
        Int("steps", fewest, most, log=True, help="optimiser steps, of an edit those that follow it"),
        Choice("trained_parameters", trained_parameters, help="what trains"),
        Choice("batch", (scale.batch,), help="images a step"),
    )


def methods(scale: Scale) -> dict[str, tuple[Parameter, ...]]:
    """The base methods; what a method has of its own beyond these stays at its file's defaults, alike with and without meta."""
    ema = (Choice("ema_decay", (scale.ema_decay,), help="decay of the weights' moving average"),)
    ratio = Float(
        "lambda_ratio", 0.03, 10.0, log=True, help="weight of the forgetting loss over that of the retain loss"
    )
    # No log scale holds the paper's loss, which has no retain term; with one, λ upside down, in steps of about the root of ten.
    keep = Choice(
        "retain_weight", (0.0, 0.33, 1.0, 3.3, 10.0, 33.0), help="weight of the retain term; 0: the paper's loss"
    )
    share = Float("forget_share", 0.05, 0.6, help="share of each batch spent on forgotten prompts")
    fine_tuned = (*_training(scale, scale.trained_parameters), *ema)
    return {
        "esd": (*fine_tuned, keep, share),
        "uce": EDIT,
        "rece": (*EDIT, *ROUNDS),
        "salun": (ALTERNATIVE, *fine_tuned, ratio, share),
        "concept_ablation": (ALTERNATIVE, *fine_tuned, ratio, share),
        "dimum": (
            Choice("replacement", ("anchor", "class_nearest"), help="what is taught instead"),
            *fine_tuned,
            ratio,
            share,
        ),
    }


def wrapped(scale: Scale) -> dict[str, tuple[Parameter, ...]]:
    """``meta(METHOD)`` of each; around an edit, which trains nothing, with the settings of the training that follows.

    Nothing of an edit holds the rest while that trains: what is unrelated must, by a weight of its own (κ, 1 in public code).
    """
    after_edit = (*_training(scale, scale.trained_parameters), KEEP_UNRELATED)
    return {
        f"meta({name})": (*parameters, *(after_edit if name in EDITS else ()), *OF_META)
        for name, parameters in methods(scale).items()
    }


def _begin(method: str, parameters: tuple[Parameter, ...], scale: Scale) -> tuple[Settings]:
    """The first trial of a method, a wrapped one's as that of the method it wraps."""
    known: Settings = (
        META_BEGIN
        | PUBLISHED
        | {
            "learning_rate": scale.learning_rate[2],
            "steps": scale.steps[2],
            "trained_parameters": scale.trained_parameters[0],
            "batch": scale.batch,
            "ema_decay": scale.ema_decay,
            "lambda_ratio": 0.3,
            "retain_weight": 10.0,
            "forget_share": 0.2,
            "meta_unrelated": 3.0,
            "alternative": "anchor",
            "replacement": "anchor",
            "ridge": 0.5,
            "erase_scale": 1.0,
            "positions": "last",
            "rounds": 3,
            "embedding_ridge": 0.1,
            "round_positions": "all",
            "around": "current",
        }
    )
    if method in ("esd", "meta(esd)"):  # ESD-x, which of the published ones is for what a prompt names
        known |= {"trained_parameters": "cross_attention"}
    if method in [f"meta({edit})" for edit in EDITS]:  # shorter and slower than what has to forget by training
        known |= {"steps": max(scale.steps[2] * 2 // 5, scale.steps[0]), "learning_rate": scale.learning_rate[2] * 0.3}
    return ({p.name: known[p.name] for p in parameters},)


def first_of_edit(edit: str, scale: Scale) -> Settings:
    """The first trial of ``meta(EDIT)``: held by other questions, which must keep what is unrelated as it does (κ)."""
    method = f"meta({edit})"
    return _begin(method, wrapped(scale)[method], scale)[0]


def parts(scale: Scale) -> dict[str, Any]:
    """The parts of the question that are of a scale."""
    plain, with_meta = methods(scale), wrapped(scale)
    points = {name: _begin(name, parameters, scale) for name, parameters in (plain | with_meta).items()}
    return {
        "arms": (
            *stratified(Choice("method", with_meta), {name: points[name] for name in with_meta}),
            *stratified(Choice("method", plain), {name: points[name] for name in plain}, baseline=True),
        ),
        "search_attacks": (malicious(scale), attack(scale, "benign", "unrelated", scale.attack_rates[1])),
        "confirm_attacks": whole_suite(scale),
        "rungs": scale.rungs,
    }


SPACE = SearchSpace(
    name="meta_unlearning_text2image",
    question=(
        "Around which method does Meta-Unlearning keep a concept from being taught to a text-to-image model again by malicious "
        "fine-tuning, and what does it cost in image quality?"
    ),
    **parts(SMALL),
    objectives=(Objective("malicious_robustness", "maximise"), Objective("fid_delta", "minimise")),
    constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("unlearning_accuracy", at_least=0.95)),
    references=("arXiv 2410.12777 (Meta-Unlearning)", "arXiv 2410.08074 (resurgence)"),
    data="digits_styled",
    trials=6 * len(methods(SMALL)),
    baseline_share=1.0,
    confirm_members=1,
    confirm_neighbours=0,
    shared=("learning_rate", "steps", "ridge", "erase_scale", *(parameter.name for parameter in OF_META)),
    presets=presets(parts),
)
