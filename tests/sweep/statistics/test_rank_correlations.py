"""Rank correlations of few trials against scipy, and what their joint intervals claim where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from sweep.statistics.rank_correlations import FEWEST, Column, average_ranks, rank_correlations

NONE = np.zeros(24, dtype=int)
ARMS = np.repeat([0, 1], [16, 8])


def sure(found: dict) -> set[str]:
    return {name for name, e in found.items() if e.lower > 0 or e.upper < 0}


def test_it_is_spearmans_correlation_ties_and_missing_values_included() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 24).astype(float), rng.normal(size=24).round(1)
    assert average_ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]
    assert rank_correlations({"x": Column(x, NONE)}, y)["x"].mean == pytest.approx(spearmanr(x, y).statistic)
    x[20:] = np.nan
    order = np.argsort(np.argsort(y[:20]))
    y[:20] = order  # without ties, so that leaving the others out keeps the ranks evenly spaced
    y[20:] = 100.0
    found = rank_correlations({"x": Column(x, NONE)}, y)["x"]
    assert found.mean == pytest.approx(spearmanr(x[:20], y[:20]).statistic) and found.n == 20


def test_the_interval_of_one_column_is_fishers() -> None:
    """Half-width on Fisher's scale: about 1.96 / sqrt(n - 3)."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=24)
    found = rank_correlations({"x": Column(x, NONE)}, x + rng.normal(size=24))["x"]
    assert found.lower is not None and found.upper is not None and found.lower < found.mean < found.upper
    half = np.arctanh(found.upper) - np.arctanh(found.mean)
    assert half == pytest.approx(1.96 / np.sqrt(21), rel=0.08)


def ten(rng: np.random.Generator) -> dict[str, Column]:
    numbers = {f"x{i}": Column(rng.uniform(size=24), ARMS) for i in range(8)}
    word = (rng.integers(0, 3, 24) == 0).astype(float)
    return numbers | {"word": Column(word, ARMS), "arm": Column(ARMS.astype(float), NONE)}


def test_where_one_of_ten_matters_it_is_claimed_and_no_other() -> None:
    found = []
    for draw in range(40):
        rng = np.random.default_rng(draw)
        columns = ten(rng)
        y = columns["x3"].values + rng.normal(0, 0.15, 24) + 5.0 * ARMS  # and the arms lie apart
        found.append(sure(rank_correlations(columns, y)))
    assert sum({"x3", "arm"} <= one for one in found) >= 36
    assert sum(bool(one - {"x3", "arm"}) for one in found) <= 2


def test_where_none_matters_nothing_is_claimed_in_19_of_20_draws() -> None:
    wrong = 0
    for draw in range(200):
        rng = np.random.default_rng(1000 + draw)
        wrong += bool(sure(rank_correlations(ten(rng), rng.normal(size=24))))
    assert 1 <= wrong <= 20  # 10 of 200 are expected; far fewer would be an interval that claims less than it could


def test_what_differs_between_arms_is_not_laid_to_a_parameter_that_differs_between_them() -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(size=24) + 3.0 * ARMS
    y = rng.uniform(size=24) + 3.0 * ARMS
    assert sure(rank_correlations({"x": Column(x, NONE)}, y)) == {"x"}
    assert not sure(rank_correlations({"x": Column(x, ARMS)}, y))


def test_too_few_trials_and_columns_that_do_not_vary_are_left_out() -> None:
    y = np.arange(24.0)
    some = np.where(np.arange(24) < FEWEST - 1, y, np.nan)
    assert rank_correlations({"few": Column(some, NONE), "same": Column(np.ones(24), NONE)}, y) == {}
    perfect = rank_correlations({"x": Column(y, NONE)}, y)["x"]
    assert perfect.upper is not None and perfect.mean == pytest.approx(0.999) and perfect.upper < 1
