"""How a figure depends on each of its factors, the others held: main effects of an additive least-squares fit.

Plain functions of numbers; nothing here knows what a run is. Partial dependence (Friedman 2001) of a forest says the same without
assuming that effects add, but no interval around it holds: refitted on four fifths of the trials, a forest's effects hardly differ,
for it draws every effect towards none (`python -m benchmarks.effects`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from sweep.statistics.estimates import Estimate

FEW_VALUES = 5  # a number that has no more values than these is taken value by value, as a word is
PARTS = 3  # as many parts, of equally many trials, of a number that has more
FEWEST_OF_A_LEVEL = 3  # trials; those at a rarer level are left out
FEWEST_FREE = 20  # residual degrees of freedom; with fewer there is no fit
_ALONE = 0.999  # leverage of a trial that the fit goes through, whatever it says
_ROUNDING = 1e-9  # of the figures' range: residuals that are nothing but rounding
_COUNTED = 2000  # trials up to which degrees of freedom are counted effect by effect
_DRAWS = 10_000

Level = str | float | tuple[float, float]  # a word, a number, or the ends of a part of a number's values


@dataclass(frozen=True)
class MainEffects:
    """By factor and level, what the figure differs by from `mean`: the fit's, the levels of each factor weighted alike.

    `trials` were fitted. `left_out` more were not: each is at a level that fewer than `FEWEST_OF_A_LEVEL` have.
    """

    mean: float
    effects: dict[str, dict[Level, Estimate]]
    trials: int
    left_out: int


class Unfitted(ValueError):
    """The trials cannot tell effects apart; the message says why."""


@dataclass(frozen=True)
class _Factor:
    """A factor's levels, which of them each trial is at (n,), and how many trials (levels,) are at each."""

    levels: tuple[Level, ...]
    at: np.ndarray
    counts: np.ndarray

    @property
    def coding(self) -> np.ndarray:
        """Each level's columns (levels, levels - 1): a coefficient is a level's effect, the last one's is minus all others'."""
        others = len(self.levels) - 1
        return np.concatenate([np.eye(others), -np.ones((1, others))])


def main_effects(
    words: Mapping[str, Sequence[str]], numbers: Mapping[str, np.ndarray], y: np.ndarray, level: float = 0.95
) -> MainEffects:
    """The effects of words and of numbers, each (n,), on y (n,). Raises Unfitted where they cannot be told.

    y is fitted by least squares as a sum of a constant for each level of each factor: a word, a value of a number that has few,
    or a third of the values of one that has more. An effect is against the plain mean of its factor's levels. Variances are the
    larger of the classical ones and of MacKinnon and White's (1985) HC3, for noise grows with damage; degrees of freedom are Bell
    and McCaffrey's (2002), few where few trials are at a level. Intervals hold for all effects together at `level`: each is a
    t's, at the level at which the largest of as many normal effects, correlated as these are, stays within its own. What acts
    only beside another factor's level is not told apart.
    """
    factors, kept = _factors(words, numbers, len(y))
    y, n = y[kept], int(kept.sum())
    out = "" if n == len(kept) else f", {len(kept) - n} more at rare levels"
    if n and np.ptp(y) == 0:
        raise Unfitted(f"the same in all {n} trials")
    if n >= FEWEST_FREE and not factors:
        raise Unfitted("no parameter varies")
    blocks = [factor.coding[factor.at] for factor in factors.values()]
    design = np.concatenate([np.ones((n, 1)), *blocks], axis=1)
    needed = design.shape[1] + FEWEST_FREE
    if n < needed:
        raise Unfitted(f"too few trials: {n} with this figure{out}, at least {needed} are needed")
    orthogonal, triangular = np.linalg.qr(design)
    if np.linalg.matrix_rank(triangular) < design.shape[1]:
        raise Unfitted("parameters move together, so that the effect of one cannot be told from another's")
    leverage = (orthogonal**2).sum(axis=1)
    if leverage.max() > _ALONE:
        raise Unfitted("a trial stands so far from the others that the fit goes through it whatever its figure is")
    residuals = y - orthogonal @ (orthogonal.T @ y)
    if np.abs(residuals).max() <= _ROUNDING * np.ptp(y):
        raise Unfitted("the fit leaves nothing over, so that nothing says how sure it is")
    to_coefficients = np.linalg.inv(triangular) @ orthogonal.T
    coefficients = to_coefficients @ y
    contrasts = _contrasts(list(factors.values()))
    of_trials = contrasts @ to_coefficients  # (effects, n): each effect as a weighted sum of the figures
    half = _half_widths(of_trials, orthogonal, leverage, residuals, n - design.shape[1], level)
    means = contrasts @ coefficients
    effects: dict[str, dict[Level, Estimate]] = {}
    begin = 0
    for name, factor in factors.items():
        rows = range(begin, begin + len(factor.levels))
        effects[name] = {
            at: Estimate(float(means[i]), float(means[i] - half[i]), float(means[i] + half[i]), int(count))
            for at, i, count in zip(factor.levels, rows, factor.counts, strict=True)
        }
        begin = rows.stop
    return MainEffects(float(coefficients[0]), effects, n, len(kept) - n)


def _factors(
    words: Mapping[str, Sequence[str]], numbers: Mapping[str, np.ndarray], n: int
) -> tuple[dict[str, _Factor], np.ndarray]:
    """The factors that vary, over the trials (n,) that are kept: those at no rare level."""
    columns = {name: np.array(list(values), dtype=object) for name, values in words.items()}
    parts = {}
    for name, numeric in numbers.items():
        if len(np.unique(numeric)) <= FEW_VALUES:
            columns[name] = numeric.astype(object)
        else:
            parts[name] = numeric
            columns[name] = _part_of(numeric)
    kept = np.ones(n, dtype=bool)
    changed = True
    while changed:  # a trial that is left out may make another level rare
        changed = False
        for values in columns.values():
            levels, counts = np.unique(values[kept], return_counts=True)
            rare = levels[counts < FEWEST_OF_A_LEVEL]
            if len(rare):
                kept &= ~np.isin(values, rare)
                changed = True
    factors = {}
    for name, values in columns.items():
        levels, at, counts = np.unique(values[kept], return_inverse=True, return_counts=True)
        if len(levels) < 2:
            continue
        named: tuple[Level, ...] = tuple(levels.tolist())
        if name in parts:
            numeric = parts[name][kept]
            named = tuple((float(numeric[at == i].min()), float(numeric[at == i].max())) for i in range(len(levels)))
        factors[name] = _Factor(named, at, counts)
    return factors, kept


def _part_of(numeric: np.ndarray) -> np.ndarray:
    """Which part of its values each of a number (n,) is in; equal values are in the same, and a part may be empty."""
    edges = np.quantile(numeric, np.arange(1, PARTS) / PARTS, method="inverted_cdf")
    return np.searchsorted(edges, numeric, side="left")


def _contrasts(factors: Sequence[_Factor]) -> np.ndarray:
    """Every effect as a sum of coefficients (effects, coefficients), the constant's being none of any."""
    codings = [factor.coding for factor in factors]
    contrasts = np.zeros((sum(len(c) for c in codings), 1 + sum(c.shape[1] for c in codings)))
    row, column = 0, 1
    for coding in codings:
        contrasts[row : row + len(coding), column : column + coding.shape[1]] = coding
        row, column = row + len(coding), column + coding.shape[1]
    return contrasts


def _half_widths(
    of_trials: np.ndarray, orthogonal: np.ndarray, leverage: np.ndarray, residuals: np.ndarray, free: int, level: float
) -> np.ndarray:
    """Of effects (e,) that are these weighted sums (e, n) of the figures, half of intervals that hold together at `level`.

    `orthogonal` (n, p) spans the fit, whose residuals (n,) have `free` degrees of freedom.
    """
    scaled = of_trials / (1 - leverage)
    covariance = (scaled * residuals**2) @ scaled.T
    classical = (residuals @ residuals / free) * (of_trials**2).sum(axis=1)
    outside = 2 * (1 - ndtr(_largest(covariance, level)))  # of each interval alone
    freedom = np.full(len(of_trials), float(free))
    if len(residuals) <= _COUNTED:
        for i, weights in enumerate(scaled**2):
            # Of e'Ae with A = diag(weights) and e = Mε, M = 1 - QQ': (tr MA)² / tr (MA)², Satterthwaite's for equal variances.
            spread = (orthogonal * weights[:, None]).T @ orthogonal
            squares = (weights**2 * ((1 - leverage) ** 2 - leverage**2)).sum() + (spread**2).sum()
            freedom[i] = (weights @ (1 - leverage)) ** 2 / squares
    reach = stdtrit(np.minimum(freedom, free), 1 - outside / 2)
    half: np.ndarray = reach * np.sqrt(np.maximum(covariance.diagonal(), classical))
    return half


def _largest(covariance: np.ndarray, level: float) -> float:
    """What the largest of normal effects' sizes, in standard deviations each, stays below with probability `level`."""
    units = np.sqrt(covariance.diagonal())
    values, vectors = np.linalg.eigh(covariance / np.outer(units, units))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = np.random.default_rng(0).standard_normal((_DRAWS, len(units))) @ root.T
    return float(np.quantile(np.abs(normal).max(axis=1), level))
