"""Rank correlations of few trials, and how far from 0 chance alone takes the largest of many of them.

Plain functions of numbers; nothing here knows what a run is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sweep.statistics.estimates import Estimate

FEWEST = 8  # trials that a correlation is told of; of fewer, one of ten parameters is perfect by luck too often
_SHUFFLES = 2000
_LARGEST = 0.999  # of a correlation on Fisher's scale, where 1 lies infinitely far


@dataclass(frozen=True)
class Column:
    """One explaining column (n,), NaN where a trial has none, and the groups (n,) within which it is looked at.

    Centring both ranks within a group takes away what differs between groups: it is told by a column of its own, of one group.
    """

    values: np.ndarray
    groups: np.ndarray


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks (n,) from 1; equal values share the mean of theirs."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[at]


def rank_correlations(
    columns: Mapping[str, Column], y: np.ndarray, level: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """Spearman's correlation of each column with y (n,), with intervals that hold together at `level`.

    Where no column has a say in y, the chance that any interval excludes 0 is 1 - level. What they exclude 0 beyond is what the
    largest of all correlations, each in units of its standard deviation 1 / sqrt(n - groups), reaches when y is shuffled within
    the groups (Westfall and Young's single step); on Fisher's scale an interval is as wide wherever its correlation lies. A
    column of fewer than `FEWEST` trials, or without variation there, is left out.
    """
    rng, ranks = np.random.default_rng(seed), average_ranks(y)
    by_column: dict[str, tuple[float, int, float]] = {}
    largest = np.zeros(_SHUFFLES)
    shuffled: dict[bytes, np.ndarray] = {}  # by grouping: every column of one is held against the same shuffles
    for name, column in columns.items():
        has = np.isfinite(column.values)
        if has.sum() < FEWEST:
            continue
        groups = column.groups[has]
        x = _centred(average_ranks(column.values[has])[None], groups)[0]
        rho = _correlations(x, _centred(ranks[None, has], groups))[0]
        if not math.isfinite(rho):
            continue
        key = column.groups.tobytes()
        if key not in shuffled:
            shuffled[key] = _shuffled(ranks, column.groups, rng)
        unit = math.sqrt(has.sum() - len(np.unique(groups)))
        by_chance = np.nan_to_num(_correlations(x, _centred(shuffled[key][:, has], groups)))
        largest = np.maximum(largest, np.abs(by_chance) * unit)
        by_column[name] = float(rho), int(has.sum()), unit
    reach = float(np.quantile(largest, level, method="higher")) * (1 + 1e-9)  # what luck reaches too excludes nothing
    return {name: _estimate(rho, n, reach / unit) for name, (rho, n, unit) in by_column.items()}


def _estimate(correlation: float, n: int, reach: float) -> Estimate:
    """With the interval that holds 0 up to a correlation of `reach`; all there is where no correlation is beyond it."""
    if reach >= _LARGEST:
        return Estimate(correlation, -1.0, 1.0, n)
    at, half = math.atanh(correlation), math.atanh(reach)
    return Estimate(correlation, math.tanh(at - half), math.tanh(at + half), n)


def _centred(rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Rows (b, n) less their means within each group."""
    centred = np.array(rows, dtype=float)
    for group in np.unique(groups):
        of = groups == group
        centred[:, of] -= centred[:, of].mean(axis=1, keepdims=True)
    return centred


def _correlations(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of centred x (n,) with each centred row (b, n), short of ±1; NaN where either does not vary."""
    spread = np.sqrt((x**2).sum() * (rows**2).sum(axis=1))
    correlations = np.full(len(rows), math.nan)
    np.divide(rows @ x, spread, out=correlations, where=spread > 1e-9)
    return np.clip(correlations, -_LARGEST, _LARGEST)


def _shuffled(ranks: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows (b, n) of the ranks, shuffled within each group."""
    rows = np.tile(ranks, (_SHUFFLES, 1))
    for group in np.unique(groups):
        of = np.flatnonzero(groups == group)
        rows[:, of] = rng.permuted(rows[:, of], axis=1)
    return rows
