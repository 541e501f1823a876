"""Ranks of methods over blocks, and whether they differ: Friedman's test and Nemenyi's critical difference.

A block is what methods are compared within: one forgotten class, each method's figure there the mean over its seeds. Seeds
are no blocks, for they repeat the same question. Within a block the best method has rank 1 and ties share their mean rank.
After Demšar 2006 (JMLR 7, "Statistical comparisons of classifiers over multiple data sets"): both tests need about ten
blocks, so with fewer there are mean ranks and no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sweep.statistics.directions import DIRECTIONS, Direction, sign_of

FEWEST_BLOCKS = 10


@dataclass(frozen=True)
class Ranks:
    """Mean ranks, best first; and, unless a `reason` says why not, Friedman's test and the critical difference.

    Two methods whose mean ranks are less than `critical_difference` apart cannot be told apart at the level asked for.
    `left_out` are methods without a figure in some block: a rank among fewer is another rank.
    """

    mean: dict[str, float]
    blocks: int
    left_out: tuple[str, ...] = ()
    statistic: float | None = None  # Friedman's χ², ties corrected, of (methods - 1) degrees of freedom
    p_value: float | None = None
    critical_difference: float | None = None
    reason: str | None = None

    @property
    def alike(self) -> tuple[tuple[str, ...], ...]:
        """The largest groups of methods, best first, within which none differ; those of one method are left out."""
        if self.critical_difference is None:
            return ()
        names = list(self.mean)
        spans: list[tuple[str, ...]] = []
        end = 0
        for i, name in enumerate(names):
            within = [n for n in names[i:] if self.mean[n] - self.mean[name] < self.critical_difference]
            if len(within) > 1 and i + len(within) > end:
                spans.append(tuple(within))
                end = i + len(within)
        return tuple(spans)


def ranks(
    figures: Mapping[str, Mapping[str, float | None]], direction: Direction, confidence: float = 0.95
) -> Ranks | None:
    """Ranks of methods over blocks: `figures` maps block to method to figure. None where no method has one in every block.

    Raises ValueError for a direction other than maximise and minimise.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction {direction!r}: known: {', '.join(DIRECTIONS)}")
    from scipy.stats import rankdata  # a second of imports, paid where it is used

    there = [{m for m, v in block.items() if v is not None and math.isfinite(v)} for block in figures.values()]
    complete = sorted(set.intersection(*there)) if there else []
    if not complete:
        return None
    left_out = tuple(sorted({method for block in figures.values() for method in block} - set(complete)))
    costs = sign_of(direction) * np.array([[block[m] for m in complete] for block in figures.values()], dtype=float)
    means = dict(zip(complete, rankdata(costs, axis=1).mean(axis=0).tolist(), strict=True))
    ordered = {m: means[m] for m in sorted(complete, key=lambda m: (means[m], m))}
    n, k = costs.shape
    if reason := _too_few(n, k):
        return Ranks(ordered, n, left_out, reason=reason)
    statistic, p_value = _friedman(costs)
    return Ranks(ordered, n, left_out, statistic, p_value, critical_difference(k, n, confidence))


def critical_difference(methods: int, blocks: int, confidence: float = 0.95) -> float:
    """Nemenyi's: q / √2 · √(k(k+1) / 6N), q the studentized range's quantile for k methods and infinite degrees of freedom."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(confidence, methods, np.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * blocks))


def _friedman(costs: np.ndarray) -> tuple[float, float]:
    """Friedman's χ² of costs (blocks, methods) and its p-value; 0 and 1 where every block is one tie."""
    from scipy.stats import friedmanchisquare

    if (costs == costs[:, :1]).all():
        return 0.0, 1.0
    test = friedmanchisquare(*costs.T)
    return float(test.statistic), float(test.pvalue)


def _too_few(blocks: int, methods: int) -> str | None:
    if methods < 3:
        return f"{methods} method(s): Friedman's test is of at least 3; compare two by their paired difference"
    if blocks < FEWEST_BLOCKS:
        return f"{blocks} block(s): a critical difference needs at least {FEWEST_BLOCKS} forgotten classes to rest on"
    return None
