"""Which harmless fine-tuning brings an erased concept back, how far, and at what damage, by the method that erased it?

Concept resurgence (Suriyakumar et al. 2024, arXiv 2410.08074): nobody attacks, an owner fine-tunes an unlearned model on images
that have nothing to do with the concept, and it comes back. Here that fine-tuning is searched, as `dimra_strength` searches DiMRA:
which benign images and how many, how many steps at which rate, which parameters or low-rank factors. Each method is an arm that
is attacked at fixed settings, those by which it forgets on the small model (benchmarks/text2image.md), so that each arm's front
says what that method's erasing is worth. ``--target METHOD`` or ``--target RUN:TRIAL`` attacks that one model alone.
"""

from collections.abc import Mapping
from typing import Any

from search_spaces.dimum_text2image import SMALL, Scale, beginning, dimra_suite, presets
from search_spaces.meta_unlearning_text2image import first_of_edit
from sweep.space import Arm, Choice, Constraint, Float, Int, Objective, Parameter, SearchSpace, Settings, Value

ATTACKS = ("benign",)  # another that trains on what has nothing to do with the concept is a word more


def held(scale: Scale) -> dict[str, tuple[str, Mapping[str, Value]]]:
    """The methods that are attacked, by the names of their arms, at settings that forget."""
    begin = {
        name: value for name, value in beginning(scale).items() if name not in ("forget_share", "condition_dropout")
    }
    where_prompts_enter = begin | {"trained_parameters": "cross_attention"}
    return {
        "uce": ("uce", {"positions": "tail"}),
        "rece": ("rece", {}),
        "esd-x": ("esd", where_prompts_enter),
        "salun": ("salun", begin | {"alternative": "anchor"}),
        "dimum": ("dimum", begin | {"replacement": "anchor"}),
        "meta-uce": ("meta(uce)", first_of_edit("uce", scale) | {"positions": "tail"}),
    }


def parameters(scale: Scale) -> tuple[Parameter, ...]:
    """What whoever fine-tunes may choose."""
    low, high = scale.attack_rates[0] / 3, scale.attack_rates[1] * 10
    steps = scale.rungs[-1]
    small = scale.attack_batch
    everything = ("all",) if scale.attack_trains == "all" else ()
    return (
        Choice(
            "auxiliary",
            ("unrelated", "public", "retain", "synthetic"),
            help="the benign images: held-out ones far from the concept, all held-out ones, the retain set, θ₀'s own",
        ),
        Choice("images", scale.attack_images, help="how many of them there are; 0: all"),
        Int("stop_after", max(steps // 8, 1), steps, log=True, help="steps of fine-tuning"),
        Float("learning_rate", low, high, log=True, help="its learning rate, constant"),
        Int("batch", max(small // 4, 1), small, log=True, help="images a step"),
        Choice("trained_parameters", (*everything, "cross_attention", "attention", "lora"), help="what trains"),
        Int("lora_rank", 1, 16, log=True, help="rank of the low-rank factors, where those are what trains"),
        Float("label_dropout", 0.0, 0.5, help="probability that an image trains the empty prompt"),
    )


def parts(scale: Scale) -> dict[str, Any]:
    """The parts of the question that are of a scale."""
    start: Settings = {
        "auxiliary": "unrelated",
        "images": 0,
        "stop_after": scale.rungs[-1],
        "learning_rate": scale.attack_rates[1],
        "batch": scale.attack_batch,
        "trained_parameters": scale.attack_trains,
        "lora_rank": 4,
        "label_dropout": 0.1,
    }
    return {
        "arms": tuple(
            Arm(f"{attack}-{name}", method, parameters(scale), start_points=(start,), attack=attack, held=settings)
            for attack in ATTACKS
            for name, (method, settings) in held(scale).items()
        ),
        "search_attacks": dimra_suite(scale),  # of the controls
        "confirm_attacks": dimra_suite(scale),
        "rungs": scale.rungs,
    }


SPACE = SearchSpace(
    name="concept_resurgence",
    question=(
        "Which harmless fine-tuning brings an erased concept back, how far, and what does it cost in image quality, by the method "
        "that erased it?"
    ),
    **parts(SMALL),
    objectives=(Objective("attacked_relearning_accuracy", "maximise"), Objective("attacked_fid_delta", "minimise")),
    constraints=(Constraint("attacked_fid_delta", at_most="fid_budget"),),
    references=("arXiv 2410.08074 (resurgence)", "arXiv 2106.09685 (LoRA)"),
    data="digits_styled",
    trials=8 * len(held(SMALL)),
    confirm_members=1,
    confirm_neighbours=0,
    shared=tuple(p.name for p in parameters(SMALL)),
    presets=presets(parts),
)
