"""Which artifacts hold the pictures of a replicate: the unlearned model's, then what each attack has brought back."""

from __future__ import annotations

from collections.abc import Iterable

from sweep.procedures import START
from sweep.procedures.panels import Grid, Pictures, Row
from sweep.records.names import BASE, RETRAIN

KINDS = {"forgotten": "forgotten condition", "retained": "retained conditions"}  # the tensors of a score
_CONTROLS = {BASE: "base model", RETRAIN: "retrain control"}


def pictures(attacks: int) -> Pictures:
    """What is shown of a run whose search attacks its trials by so many attacks."""
    return Pictures(
        KINDS,
        replicate=("score",),
        curves=("attack", "attack_step", "artifact"),
        grids=1 + attacks,
        note="Upper picture: the forgotten condition; lower: retained conditions. Every model of one seed draws from the same "
        "noise; −1 is black and 1 white in all of them.",
        note_of_one="the same noise in each. Upper: what was to be forgotten; lower: retained conditions.",
        reference=BASE,
    )


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
