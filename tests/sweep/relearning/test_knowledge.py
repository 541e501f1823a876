"""What a replicate's rows say beyond their values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from search_spaces.dimum_robustness import SPACE
from sweep.relearning.knowledge import LOGIT_SD, Knowledge, binomial, knowledge_of
from trainables.metrics import aurc


def test_noise_is_that_of_the_recorded_sweep_and_none_where_nothing_is_known() -> None:
    known, unknown = Knowledge((0, 1), 0.95, 128), Knowledge((0, 1), math.inf, 0)
    assert known.sd("fid_delta", 3.0) == pytest.approx(1.71)
    assert known.sd("unlearning_accuracy", 0.95) == pytest.approx(0.0254, rel=0.01)
    assert known.sd("unlearning_accuracy", 1.0) > 0, "128 hits of 128 are no proof of 1"
    assert known.sd("kid", 3.0) == 0 == unknown.sd("fid_delta", 1.0)


def test_the_noise_of_a_share_is_that_of_the_samples_it_is_of() -> None:
    known = Knowledge((0, 1), 0.95, samples=128, retained=270)
    p = (0.9 * 270 + 1) / 272
    of_retained = math.hypot(math.sqrt(p * (1 - p) / 270), LOGIT_SD * p * (1 - p))
    assert known.sd("retain_accuracy", 0.9) == known.sd("attacked_retain_accuracy", 0.9) == pytest.approx(of_retained)
    assert known.sd("unlearning_accuracy", 0.9) > known.sd("retain_accuracy", 0.9)
    errors = known.errors({"retain_accuracy": 0.9, "unlearning_accuracy": 0.9}, [])
    assert errors == {"retain_accuracy": binomial(0.9, 270), "unlearning_accuracy": binomial(0.9, 128)}
    untold = Knowledge((0, 1), 0.95, samples=128)
    assert untold.sd("retain_accuracy", 0.9) == 0 and "retain_accuracy" not in untold.errors(
        {"retain_accuracy": 0.9}, []
    )


def test_how_many_retained_samples_there_are_is_what_was_prepared() -> None:
    known = knowledge_of(SPACE, {"samples_retained": 270}, {"samples_forgotten": 128})
    assert (known.samples, known.retained) == (128, 270)
    assert knowledge_of(SPACE, {}, {"samples_forgotten": 128}).retained == 0, "an older run does not say it"


def rows(curves: dict[str, dict[int, float]]) -> list[dict[str, Any]]:
    """Curves of attacks that count, as the curves table has them."""
    facts = {"metric": "relearning_accuracy", "counts": True}
    return [
        facts | {"attack": attack, "attack_step": step, "value": value}
        for attack, curve in curves.items()
        for step, value in curve.items()
    ]


def test_a_partial_curve_bounds_the_whole_whatever_comes() -> None:
    rungs, rng = (0, 1, 3, 7, 15), np.random.default_rng(0)
    knowledge = Knowledge(rungs)
    for _ in range(200):
        curves = {a: dict(zip(rungs, rng.random(5), strict=True)) for a in ("a", "b")}
        final = 1 - max(aurc(c) for c in curves.values())
        shown = {a: {k: c[k] for k in rungs[: rng.integers(1, 6)]} for a, c in curves.items()}
        assert knowledge.possible(rows(shown))["robustness"][0] >= final - 1e-12
    assert knowledge.possible(rows(curves))["robustness"][0] == pytest.approx(final)


def test_curves_of_other_rungs_than_the_questions_say_nothing() -> None:
    curves = rows({"a": {0: 0.1, 1: 0.2}})
    assert Knowledge((), 0.5, 100).possible(curves) == {}
    assert set(Knowledge((), 0.5, 100).errors({"robustness": 0.9, "fid_delta": 1.0}, curves)) == {"fid_delta"}
