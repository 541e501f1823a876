"""Privacy auditing with one training run (Steinke, Nasr and Jagielski 2023, arXiv 2305.08846): a lower bound of ε.

Of m canaries, each in by a fair coin, r are guessed: those of the highest scores to be in, as many of the lowest to be out. Where
v guesses are right, an (ε, δ)-private training allows that with probability at most (Theorem 5.2)

    p = P[Bin(r, q) ≥ v] + 2 m δ · max_{i = 1 … v} P[v > Bin(r, q) ≥ v - i] / i,     q = e^ε / (1 + e^ε)

and the bound is the largest ε at which that is below the level. Several scores and several r are looked at, so the level is divided
by their number (Bonferroni). Runs of several seeds have coins of their own, and count as one with m, r and v added up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import expit
from scipy.stats import binom

LEVEL = 0.05
SHARES = (0.1, 0.25, 0.5)  # of the canaries that are guessed
MOST_EPSILON = 50.0


@dataclass(frozen=True)
class Run:
    """One training's audit: by name, `scores` (m,) that are higher of likelier members, and which canaries were `included` (m,)."""

    scores: Mapping[str, np.ndarray]
    included: np.ndarray


@dataclass(frozen=True)
class Bound:
    """ε is at least `epsilon`, with `confidence`: by this score, of so many `guesses`, `right` were right.

    `ceiling` is what the audit would have found had all guesses been right, of whichever number of them.
    """

    epsilon: float
    ceiling: float
    confidence: float
    score: str
    guesses: int
    right: int
    canaries: int


def audit(
    runs: Sequence[Run], delta: float, level: float = LEVEL, shares: Sequence[float] = SHARES, looks: int = 0
) -> Bound:
    """The largest bound of all scores and shares, at `level` over all of them together.

    `looks` is how many there are where this is one of several audits that are reported side by side (default: these alone).
    """
    names = list(runs[0].scores)
    level /= looks or len(names) * len(shares)
    bounds = []
    for name in names:
        for share in shares:
            counts = [guessed(run.scores[name], run.included, share) for run in runs]
            guesses, right = (sum(column) for column in zip(*counts, strict=True))
            bounds.append((lower_bound(right, guesses, _canaries(runs), delta, level), name, guesses, right))
    best = max(bounds, key=lambda look: (look[0], look[3] / max(look[2], 1)))
    ceiling = max(lower_bound(look[2], look[2], _canaries(runs), delta, level) for look in bounds)
    return Bound(best[0], ceiling, 1 - level * (looks or len(bounds)), *best[1:], _canaries(runs))


def views(
    by_view: Mapping[str, Sequence[Run]], delta: float, level: float = LEVEL, shares: Sequence[float] = SHARES
) -> dict[str, Bound]:
    """The bound of each view, such as ``published`` and ``critics``; the level is over all views together, so any may be quoted."""
    looks = sum(len(runs[0].scores) * len(shares) for runs in by_view.values())
    return {view: audit(runs, delta, level, shares, looks) for view, runs in by_view.items()}


def guessed(scores: np.ndarray, included: np.ndarray, share: float) -> tuple[int, int]:
    """(guesses, right): of so large a share of the canaries, the upper half guessed to be in, the lower to be out."""
    order = np.argsort(scores, kind="stable")
    half = max(1, int(share * len(scores)) // 2)
    right = included[order[-half:]].sum() + (~included[order[:half]]).sum()
    return 2 * half, int(right)


@lru_cache(maxsize=65536)
def lower_bound(right: int, guesses: int, canaries: int, delta: float, level: float) -> float:
    """The largest ε that is rejected at the level; 0 where none is."""
    if p_value(right, guesses, canaries, 0.0, delta) >= level:
        return 0.0
    low, high = 0.0, MOST_EPSILON
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if p_value(right, guesses, canaries, middle, delta) < level else (low, middle)
    return low


def p_value(right: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    """How probable so many right guesses are at most, of an (ε, δ)-private training."""
    chance = float(expit(epsilon))
    at_least = float(binom.sf(right - 1, guesses, chance))
    below = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, chance)) / np.arange(1, right + 1)
    return min(1.0, at_least + 2 * canaries * delta * float(below.max(initial=0.0)))


def _canaries(runs: Sequence[Run]) -> int:
    return sum(len(run.included) for run in runs)
