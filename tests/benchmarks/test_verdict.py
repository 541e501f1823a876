"""What the table of verdicts compares: draws of other noise, over the settings that both have."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.verdict import _figures, _pairs, _tau


def row(repeat: int, name: str, fid: float, accuracy: float = 0.1, by: str = "ddim-10") -> dict[str, Any]:
    accuracy_at = {"0": accuracy, "1": accuracy, "3": accuracy}
    return {
        "by": by,
        "repeat": repeat,
        "name": name,
        "fid": fid,
        "relearning_accuracy": accuracy,
        "accuracy_at": accuracy_at,
    }


def test_no_two_draws_that_share_noise_are_compared() -> None:
    draws: Any = {0: "a0", 1: "a1"}
    reference: Any = {0: "r0", 1: "r1"}
    assert list(_pairs(draws, reference, same=False, own_noise=False)) == [("a0", "r1"), ("a1", "r0")]
    assert len(list(_pairs(draws, reference, same=False, own_noise=True))) == 4
    assert list(_pairs(reference, reference, same=True, own_noise=True)) == [("r0", "r1")]


def test_figures_are_differences_to_the_base_and_ranked_over_the_settings_that_both_have() -> None:
    rows = [
        row(0, "base", 10.0),
        row(0, "one", 12.0, 0.2),
        row(0, "two", 15.0, 0.0),
        row(0, "three", 11.0),
        row(1, "one", 3.0),
    ]
    figures = _figures(rows, "ddim-10", 0)
    assert figures["fid_delta"] == {"one": 2.0, "two": 5.0, "three": 1.0}
    assert figures["robustness"]["one"] == pytest.approx(0.8) and figures["unlearning_accuracy"]["two"] == 1.0
    assert _tau(figures["fid_delta"], {"one": 1.0, "two": 2.0, "another": 0.0}) == pytest.approx(1.0)
    assert _tau(figures["fid_delta"], {"one": 2.0, "two": 1.0}) == pytest.approx(-1.0)
