"""How a figure depends on each of its factors, the others held: main effects of an additive least-squares fit.

Plain functions of numbers; nothing here knows what a run is. Partial dependence (Friedman 2001) of a forest says the same without
assuming that effects add, but no interval around it holds: refitted on four fifths of 72 trials, a forest's effects lie within
theirs one time in ten, for it draws every effect towards none (`python -m benchmarks.effects`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.statistics.estimates import Estimate

FEW_VALUES = 5  # a number that has no more values than these is taken value by value, as a word is
QUANTILES = (0.1, 0.5, 0.9)  # of a number's values, where its effect is given
FEWEST_OF_A_WORD = 3  # trials; those with a rarer word are left out
FEWEST_FREE = 20  # residual degrees of freedom; with fewer there is no fit
_ALONE = 0.999  # leverage of a trial that the fit goes through, whatever it says
_DRAWS = 10_000


class Unfitted(ValueError):
    """The trials cannot tell effects apart; the message says why."""


@dataclass(frozen=True)
class MainEffects:
    """By factor and level, what the figure differs by from `mean`, the fit's at the average of all levels.

    `trials` were fitted, of which `left_out` are not: those with a word that fewer than `FEWEST_OF_A_WORD` have.
    """

    mean: float
    effects: dict[str, dict[str | float, Estimate]]
    trials: int
    left_out: int


def main_effects(
    words: Mapping[str, Sequence[str]], numbers: Mapping[str, np.ndarray], y: np.ndarray, level: float = 0.95
) -> MainEffects:
    """The effects of words and of numbers, each (n,), on y (n,). Raises Unfitted where they cannot be told.

    y is fitted by least squares as a sum of a constant for each word and, for each number, a line and a curve (a square) over its
    ranks, which no unit or logarithm changes. A word's effect is against the plain mean of its factor's words, a number's at
    `QUANTILES` of its values against its mean over the trials. Variances are White's with MacKinnon and White's (1985) HC3, since
    noise grows with damage; intervals hold for all effects together at `level`: their reach is that quantile of the largest of
    correlated t's. What acts only beside another factor's level is averaged over the trials.
    """
    factors, kept = _factors(words, numbers, len(y))
    y, n = y[kept], int(kept.sum())
    if n < FEWEST_FREE:
        raise Unfitted(f"too few trials: {n} with words that are not rare")
    blocks = {name: block for name, values in factors.items() if (block := _block(values[kept])) is not None}
    design = np.concatenate([np.ones((n, 1)), *(block.columns for block in blocks.values())], axis=1)
    free = n - design.shape[1]
    if not blocks:
        raise Unfitted("no parameter varies")
    if free < FEWEST_FREE:
        raise Unfitted(
            f"too few trials: {n} for {design.shape[1]} coefficients, at least {design.shape[1] + FEWEST_FREE} are needed"
        )
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise Unfitted("parameters move together, so that the effect of one cannot be told from another's")
    inverse = np.linalg.inv(design.T @ design)
    leverage = (design @ inverse * design).sum(axis=1)
    if leverage.max() > _ALONE:
        raise Unfitted("a trial stands so far from the others that the fit goes through it whatever its figure is")
    coefficients = inverse @ design.T @ y
    scaled = design * ((y - design @ coefficients) / (1 - leverage))[:, None]
    covariance = inverse @ scaled.T @ scaled @ inverse
    contrasts, begin = [], 1
    for block in blocks.values():
        rows = np.zeros((len(block.levels), design.shape[1]))
        rows[:, begin : begin + block.columns.shape[1]] = block.at_levels
        contrasts.append(rows)
        begin += block.columns.shape[1]
    of_all = np.concatenate(contrasts)
    spread = of_all @ covariance @ of_all.T
    half = _reach(spread, free, level) * np.sqrt(spread.diagonal())
    values = iter(zip(of_all @ coefficients, half, strict=True))
    effects: dict[str, dict[str | float, Estimate]] = {}
    for name, block in blocks.items():
        effects[name] = {}
        for at, trials in zip(block.levels, block.trials, strict=True):
            mean, reach = next(values)
            effects[name][at] = Estimate(float(mean), float(mean - reach), float(mean + reach), trials)
    return MainEffects(float(coefficients[0]), effects, n, len(kept) - n)


@dataclass(frozen=True)
class _Block:
    """A factor's columns (n, c), its levels, the columns' values at each (levels, c), and the trials behind each."""

    columns: np.ndarray
    levels: tuple[str | float, ...]
    at_levels: np.ndarray
    trials: tuple[int, ...]


def _factors(
    words: Mapping[str, Sequence[str]], numbers: Mapping[str, np.ndarray], n: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Every factor's values, numbers of few values as objects like words; and which trials (n,) have no rare one of these."""
    factors = {name: np.array(list(values), dtype=object) for name, values in words.items()}
    for name, numeric in numbers.items():
        factors[name] = numeric.astype(object) if len(np.unique(numeric)) <= FEW_VALUES else numeric
    kept = np.ones(n, dtype=bool)
    rare = True
    while rare:  # a trial left out may make another's word rare
        rare = False
        for values in factors.values():
            if values.dtype != object:
                continue
            for value in set(values[kept].tolist()):
                of_it = kept & (values == value)
                if of_it.sum() < FEWEST_OF_A_WORD:
                    kept &= ~of_it
                    rare = True
    return factors, kept


def _block(values: np.ndarray) -> _Block | None:
    """None where the factor does not vary."""
    n = len(values)
    if values.dtype == object:
        levels, at = np.unique(values, return_inverse=True)
        k = len(levels)
        if k < 2:
            return None
        coded = np.concatenate([np.eye(k - 1), -np.ones((1, k - 1))])  # effects of a factor's words sum to 0
        return _Block(coded[at], tuple(levels.tolist()), coded, tuple(np.bincount(at, minlength=k).tolist()))
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - counts / 2)[at] / n  # in (0, 1); equal values share the middle of theirs
    middle, square = rank.mean(), ((rank - rank.mean()) ** 2).mean()

    def line_and_curve(u: np.ndarray) -> np.ndarray:
        return np.stack([u - middle, (u - middle) ** 2 - square], axis=1)

    at_quantiles = tuple(float(v) for v in np.quantile(values, QUANTILES, method="inverted_cdf"))
    at_levels = line_and_curve(np.array(QUANTILES))
    return _Block(line_and_curve(rank), at_quantiles, at_levels, (n,) * len(QUANTILES))


def _reach(spread: np.ndarray, free: int, level: float) -> float:
    """What the largest of the contrasts' |t| stays below with probability `level`: contrasts with covariance `spread` (c, c)."""
    rng = np.random.default_rng(0)
    units = np.sqrt(spread.diagonal())
    values, vectors = np.linalg.eigh(spread / np.outer(units, units))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = rng.standard_normal((_DRAWS, len(units))) @ root.T
    t = np.abs(normal) / np.sqrt(rng.chisquare(free, (_DRAWS, 1)) / free)
    return float(np.quantile(t.max(axis=1), level))
