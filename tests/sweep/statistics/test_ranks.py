"""Ranks, Friedman's test and Nemenyi's critical difference against scipy, published tables and counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from sweep.statistics.ranks import FEWEST_BLOCKS, Ranks, critical_difference, ranks


def blocks(n: int, *, spread: float = 1.0, methods: int = 4, seed: int = 0) -> dict[int, dict[str, float]]:
    """n blocks in which method m3 tends to be the largest and m0 the smallest."""
    drawn = np.random.default_rng(seed).normal(size=(n, methods)) + spread * np.arange(methods)
    return {i: {f"m{j}": float(v) for j, v in enumerate(row)} for i, row in enumerate(drawn)}


def test_mean_ranks_by_hand() -> None:
    figures = {"zero": {"a": 0.9, "b": 0.5, "c": 0.1}, "one": {"a": 0.3, "b": 0.8, "c": 0.3}}
    found = ranks(figures, "maximise")
    assert found is not None
    assert found.mean == {"b": 1.5, "a": (1 + 2.5) / 2, "c": (3 + 2.5) / 2}
    assert list(found.mean) == ["b", "a", "c"], "best first"
    worst_first = ranks(figures, "minimise")
    assert worst_first is not None and worst_first.mean == {"c": 1.25, "a": 2.25, "b": 2.5}


def test_the_statistic_is_scipys_and_the_textbooks_sum() -> None:
    figures = blocks(12)
    found = ranks(figures, "maximise")
    assert found is not None and found.reason is None
    theirs = friedmanchisquare(*([block[m] for block in figures.values()] for m in figures[0]))
    assert (found.statistic, found.p_value) == pytest.approx((theirs.statistic, theirs.pvalue))
    n, k = 12, 4
    by_hand = 12 * n / (k * (k + 1)) * (sum(r**2 for r in found.mean.values()) - k * (k + 1) ** 2 / 4)
    assert found.statistic == pytest.approx(by_hand)


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (8, 3.031), (10, 3.164)])
def test_the_critical_difference_is_of_demsars_table(k: int, q: float) -> None:
    assert critical_difference(k, 14) == pytest.approx(q * (k * (k + 1) / (6 * 14)) ** 0.5, abs=1e-3)


def test_under_the_null_pairs_further_apart_are_rare() -> None:
    """The family-wise error of Nemenyi's test is about .05."""
    apart = []
    for seed in range(200):
        found = ranks(blocks(12, spread=0, seed=seed), "maximise")
        assert found is not None and found.critical_difference is not None
        means = list(found.mean.values())
        apart.append(means[-1] - means[0] >= found.critical_difference)
    assert 0.01 <= np.mean(apart) <= 0.10


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (blocks(FEWEST_BLOCKS - 1), "9 block(s): a critical difference needs at least 10"),
        (blocks(30, methods=2), "2 method(s): Friedman's test is of at least 3"),
    ],
)
def test_too_little_gives_ranks_and_a_reason_and_no_verdict(figures: dict[int, dict[str, float]], said: str) -> None:
    found = ranks(figures, "maximise")
    assert found is not None and found.mean and found.reason is not None and said in found.reason
    assert found.statistic is found.p_value is found.critical_difference is None and found.alike == ()


def test_a_method_that_lacks_a_block_is_left_out_and_named() -> None:
    figures: dict[int, dict[str, float | None]] = {i: dict(b) for i, b in blocks(11).items()}
    del figures[3]["m1"]
    figures[5]["m2"] = None
    found = ranks(figures, "maximise")
    assert found is not None and found.left_out == ("m1", "m2") and list(found.mean) == ["m3", "m0"]
    assert ranks({0: {"a": 1.0}, 1: {"b": 1.0}}, "maximise") is None and ranks({}, "maximise") is None


def test_groups_that_cannot_be_told_apart_overlap_and_are_as_large_as_can_be() -> None:
    found = Ranks({"a": 1.0, "b": 1.9, "c": 2.5, "d": 4.0, "e": 5.5}, 20, critical_difference=1.0)
    assert found.alike == (("a", "b"), ("b", "c"))
    wide = Ranks({"a": 1.0, "b": 1.5, "c": 2.0, "d": 4.0}, 20, critical_difference=1.5)
    assert wide.alike == (("a", "b", "c"),)


def test_blocks_of_ties_say_nothing() -> None:
    found = ranks({i: {"a": 1.0, "b": 1.0, "c": 1.0} for i in range(10)}, "minimise")
    assert found is not None and (found.statistic, found.p_value) == (0.0, 1.0)
    assert found.mean == {"a": 2, "b": 2, "c": 2} and found.alike == (("a", "b", "c"),)


def test_a_direction_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'up': known: maximise, minimise"):
        ranks(blocks(10), "up")
