"""The arithmetic of reading a sweep: dominance, hypervolume, and intervals over seeds.

Plain functions of numbers; nothing here knows what a run is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit  # these alone: scipy.stats costs a second to import

DIRECTIONS = ("maximise", "minimise")


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` seeds with the ends of its interval; both ends are None for fewer than two seeds."""

    mean: float
    lower: float | None
    upper: float | None
    n: int

    def as_share(self) -> Estimate:
        """The same with ends within [0, 1]: what is outside no share can be."""
        if self.lower is None or self.upper is None:
            return self
        return replace(self, lower=max(self.lower, 0.0), upper=min(self.upper, 1.0))


def nondominated(points: np.ndarray, directions: Sequence[str]) -> np.ndarray:
    """Which of the points (n, m) no other point dominates: at least as good in every figure and better in one.

    Equal points do not dominate one another. A point with a figure that is not finite is neither dominated nor
    non-dominated in any useful sense: it is left out (False) and dominates nothing. Returns (n,) bool.
    """
    costs = _costs(points, directions)
    usable = np.isfinite(costs).all(axis=1)
    front = usable.copy()
    if costs.shape[1] == 2:
        front[usable] = _nondominated_of_two(costs[usable])
        return front
    others = costs[usable]
    for i in np.flatnonzero(usable):
        front[i] = not ((others <= costs[i]).all(axis=1) & (others < costs[i]).any(axis=1)).any()
    return front


def _nondominated_of_two(costs: np.ndarray) -> np.ndarray:
    """The same of finite costs (n, 2) in O(n log n): sorted by the first, the least second so far decides."""
    order = np.lexsort((costs[:, 1], costs[:, 0]))
    first, second = costs[order].T
    begins = np.flatnonzero(
        np.diff(first, prepend=-np.inf)
    )  # where a larger first figure begins; its least second is there
    least = second[begins]
    before = np.minimum.accumulate(np.append(np.inf, least))[:-1]  # the least second of all smaller firsts
    group = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(first))))
    kept = np.empty(len(costs), dtype=bool)
    kept[order] = (second == least[group]) & (second < before[group])
    return kept


def hypervolume(points: np.ndarray, reference: Sequence[float], directions: Sequence[str]) -> float:
    """Area that points (n, 2) dominate, up to the reference point; exact.

    A point that is not better than the reference in both figures adds nothing. Raises ValueError unless m = 2.
    """
    costs = _costs(points, directions)
    corner = _costs(np.asarray([reference], dtype=float), directions)[0]
    return float(areas(costs, corner))


def areas(costs: np.ndarray, corner: Sequence[float] | np.ndarray) -> np.ndarray:
    """Hypervolumes (...) of sets of costs (..., n, 2), less is better, up to one corner (2,).

    One sweep along the first cost, in which each point adds the strip between its second cost and the least before it. Summed
    one after the other, so that a set has the same volume alone and among many, to the last bit.
    """
    if costs.shape[-1] != 2:
        raise ValueError(f"hypervolume is defined here for 2 figures, not {costs.shape[-1]}")
    if not costs.shape[-2]:
        return np.zeros(costs.shape[:-2])
    inside = (np.isfinite(costs) & (costs < corner)).all(axis=-1)
    first, second = (np.where(inside, costs[..., j], corner[j]) for j in (0, 1))
    order = np.lexsort((second, first), axis=-1)
    first, second = (np.take_along_axis(cost, order, axis=-1) for cost in (first, second))
    least = np.minimum.accumulate(second, axis=-1)
    before = np.concatenate([np.full((*least.shape[:-1], 1), corner[1]), least[..., :-1]], axis=-1)
    strips = (corner[0] - first) * np.maximum(before - second, 0.0)
    return np.asarray(np.add.accumulate(strips, axis=-1)[..., -1])


def t_interval(values: Iterable[float], confidence: float = 0.95) -> tuple[float, float | None, float | None]:
    """Mean of the values, one a seed, and the ends of Student's t interval for it.

    The ends are None for fewer than two values: one seed says nothing of what another would give. Raises ValueError
    for no values, or for one that is not finite.
    """
    found = np.asarray(list(values), dtype=float)
    if found.size == 0 or not np.isfinite(found).all():
        raise ValueError(f"an interval needs finite values, at least one; got {found.tolist()}")
    mean = float(found.mean())
    if found.size < 2:
        return mean, None, None
    half = float(stdtrit(found.size - 1, 0.5 + confidence / 2) * found.std(ddof=1) / math.sqrt(found.size))
    return mean, mean - half, mean + half


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """The t interval over the values that are there, or None where none is."""
    found = [v for v in values if v is not None and math.isfinite(v)]
    return Estimate(*t_interval(found), n=len(found)) if found else None


def probability_below(values: Iterable[float], bound: float, samples: int = 0) -> float | None:
    """The probability that the mean over all seeds is at most `bound`, given the values of some, one a seed.

    Posterior under a flat prior: Student's t about their mean (Jeffreys 1961). Of a share of `samples` independent samples
    in all it is never surer than the normal distribution with the samples' own standard error, two hits and two misses
    added (Agresti and Coull 1998), makes it. None for fewer than two values.
    """
    found = np.asarray(list(values), dtype=float)
    if found.size < 2:
        return None
    gap = bound - float(found.mean())
    error = float(found.std(ddof=1)) / math.sqrt(found.size)
    told = [float(stdtr(found.size - 1, gap / error)) if error else float(gap >= 0)]
    if samples:
        share = (float(found.mean()) * samples + 2) / (samples + 4)
        told.append(float(ndtr(gap / math.sqrt(share * (1 - share) / (samples + 4)))))
    return min(told, key=lambda p: abs(p - 0.5))


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> Estimate | None:
    """Mean of a - b over the seeds both have, with its t interval; None where they share no seed.

    Pairing takes out what a seed does to both: the noise of its samples and its batches are the same.
    """
    return estimate([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])


def _costs(points: np.ndarray, directions: Sequence[str]) -> np.ndarray:
    """The points with every figure turned so that smaller is better; ValueError where shapes or words are wrong."""
    array = np.asarray(points, dtype=float)
    if array.size == 0:
        array = array.reshape(0, len(directions))
    if array.ndim != 2 or array.shape[1] != len(directions) or set(directions) - set(DIRECTIONS):
        raise ValueError(
            f"points of shape {array.shape} do not fit the directions {list(directions)}; "
            f"known: {', '.join(DIRECTIONS)}"
        )
    return array * np.array([-1.0 if d == "maximise" else 1.0 for d in directions])
