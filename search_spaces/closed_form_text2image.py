"""How far do UCE and RECE erase a concept in closed form, and what does the rest lose by it?

Nothing is trained: a trial is an edit of a tenth of a second and the score of its images, so that a search of dozens costs what a
few trials of fine-tuning do. Of the edit's three weights only ratios matter, so that of what is kept, p, is 1, and the ridge λ
and the erase strength e are searched against it: an e of 100 keeps next to nothing. All retained prompts are kept. What the edits
withstand is measured on members of the front alone, where they are confirmed.
"""

from typing import Any

from search_spaces.dimum_text2image import SMALL, Scale, presets, whole_suite
from sweep.space import Arm, Choice, Constraint, Float, Int, Objective, Parameter, SearchSpace, Settings

POSITIONS = ("last", "tail", "all")

EDIT: tuple[Parameter, ...] = (
    Float("ridge", 1e-2, 1e2, log=True, help="λ: weight of staying where the weights are"),
    Float("erase_scale", 1e-2, 1e2, log=True, help="e: weight of a forgotten token's becoming its target's"),
    Choice("preserve_scale", (1.0,), help="p: weight of a kept token's staying; only the ratios to it matter"),
    Choice("preserve", (0,), help="how many retained prompts are kept; 0: all"),
    Choice("positions", POSITIONS, help="which tokens: the last word, from where prompt and anchor differ on, or all"),
    Choice("target", ("anchor", "empty"), help="what a forgotten prompt becomes: its anchor, or the empty prompt"),
)
ROUNDS: tuple[Parameter, ...] = (
    Int("rounds", 1, 6, help="R: how often what would bring the concept back is erased too"),
    Float("embedding_ridge", 1e-3, 10.0, log=True, help="μ: weight of that embedding's norm"),
    Choice("round_positions", POSITIONS, help="which tokens of the rounds"),
    Choice("around", ("current", "base"), help="which weights a round stays near: the last round's, or the start's"),
)
PUBLISHED: Settings = {"preserve_scale": 1.0, "preserve": 0, "target": "anchor"}


def parts(scale: Scale) -> dict[str, Any]:
    """The parts of the question that are of a scale: no more than how the front is attacked."""
    return {"confirm_attacks": whole_suite(scale), "rungs": scale.rungs, "arms": ARMS}


ARMS = (
    Arm(
        "uce",
        "uce",
        EDIT,
        start_points=tuple(
            PUBLISHED | {"ridge": 0.5, "erase_scale": 1.0, "positions": positions} for positions in POSITIONS
        ),
    ),
    Arm(
        "rece",
        "rece",
        (*EDIT, *ROUNDS),
        start_points=(
            PUBLISHED  # λ = e / 10 and p = e / 10, as in public code
            | {"ridge": 1.0, "erase_scale": 10.0, "positions": "tail"}
            | {"rounds": 3, "embedding_ridge": 0.1, "round_positions": "all", "around": "current"},
        ),
    ),
)

SPACE = SearchSpace(
    name="closed_form_text2image",
    question="How far do UCE and RECE erase a concept in closed form, and what does the rest lose by it?",
    **parts(SMALL),
    objectives=(Objective("unlearning_accuracy", "maximise"), Objective("fid_delta", "minimise")),
    constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("retain_accuracy", at_least=0.9)),
    references=("arXiv 2308.14761 (UCE)", "arXiv 2407.12383 (RECE)"),
    data="digits_styled",
    trials=48,
    confirm_members=2,
    shared=("ridge", "erase_scale", "positions", "target"),
    presets=presets(parts),
)
