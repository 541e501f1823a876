"""What boards and trackers are given of relearning beside the figures of every procedure."""

from __future__ import annotations

import pytest
from recorded_run import space

from sweep import procedures
from sweep.relearning.traces import Traces


def test_its_procedure_has_them() -> None:
    assert isinstance(procedures.named("relearning").traces(), Traces)


def test_every_attack_of_either_suite_has_its_curve_declared_once() -> None:
    assert Traces().tags(space()) == [f"relearning_accuracy/{a}" for a in ("retain", "synthetic", "public_all")]


def test_relearning_accuracy_alone_begins_before_any_attack() -> None:
    assert Traces().begins_at_start("relearning_accuracy") and not Traces().begins_at_start("retain_accuracy")


@pytest.mark.parametrize("scored", [True, False])
def test_pictures_are_from_before_after_and_of_the_last_rung(scored: bool) -> None:
    row = {"base_score": "aa", "score": "bb"} if scored else {"base_score": None, "score": None}
    curves = [
        {"attack": attack, "attack_step": step, "artifact": key}
        for attack, step, key in (("none", 0, "bb"), ("retain", 3, "cc"), ("retain", 7, "dd"), ("synthetic", 7, None))
        if scored
    ]
    expected = [("aa", "before unlearning", 0), ("bb", "unlearned", 0), ("dd", "after retain", 7)] if scored else []
    assert Traces().pictures(space(), row, curves) == expected
