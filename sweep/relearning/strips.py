"""Which artifacts hold the pictures of a replicate: the unlearned model's, then what each attack has brought back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sweep.procedures import START
from sweep.procedures.panels import Grid, Pictures, Row
from sweep.records.names import BASE, RETRAIN, UNSEEN

KINDS = {"forgotten": "forgotten condition", "retained": "retained conditions"}  # the tensors of a score
OF_PROMPTS = {"forgotten": "forgotten prompts", "retained": "retained prompts"}
MADE_BY = "made_by"  # the fact of an artifact that says which made each picture
_CONTROLS = {BASE: "base model", RETRAIN: "retrain control", UNSEEN: "base model, unseen concept"}


def kinds(prepared: Row) -> Mapping[str, str]:
    """The kinds of pictures in words, by what a run has prepared: of prompts, the labels of the facet that is forgotten."""
    return OF_PROMPTS if prepared.get("labels") else KINDS


def pictures(attacks: int, words: Mapping[str, str] = KINDS) -> Pictures:
    """What is shown of a run that attacks its trials by so many attacks, whose kinds of pictures are called by these words."""
    return Pictures(
        words,
        replicate=("score",),
        curves=("attack", "attack_step", "artifact"),
        grids=1 + attacks,
        made_by=MADE_BY,
        note=f"Upper picture: {_the(words['forgotten'])}; lower: {words['retained']}. Every model of one seed draws from the same "
        "noise; −1 is black and 1 white in all of them.",
        note_of_one=f"the same noise in each. Upper: what was to be forgotten; lower: {words['retained']}.",
        reference=BASE,
    )


def _the(kind: str) -> str:
    return f"the {kind}" if kind == KINDS["forgotten"] else kind


def strip(replicate: Row, curves: Iterable[Row]) -> list[Grid]:
    """The grids of one replicate: before the attack, then at the end of each attack."""
    before = _CONTROLS.get(
        replicate["trial_id"].partition("-forget-")[0], "unlearned"
    )  # a track's ids say what is forgotten
    at = (replicate["trial_id"], replicate["replicate"])
    ends: dict[str, Row] = {}
    for curve in curves:
        if (curve["trial_id"], curve["replicate"]) == at and curve["attack"] != START:
            last = ends.get(curve["attack"])
            if last is None or _when(curve) > _when(last):
                ends[curve["attack"]] = curve
    after = [(f"after {attack}@{curve['attack_step']}", curve["artifact"]) for attack, curve in ends.items()]
    return [(before, replicate["score"]), *after]


def _when(curve: Row) -> tuple[int, bool]:
    """Of rows of one step that one comes last which has pictures."""
    return curve["attack_step"], bool(curve["artifact"])
