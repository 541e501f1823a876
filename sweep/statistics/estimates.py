"""The arithmetic of reading a sweep: dominance, hypervolume, and intervals over seeds.

Plain functions of numbers; nothing here knows what a run is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit  # these alone: scipy.stats costs a second to import

from sweep.statistics.directions import DIRECTIONS, Direction, sign_of


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` seeds with the ends of its interval; both ends are None for fewer than two seeds."""

    mean: float
    lower: float | None
    upper: float | None
    n: int

    @property
    def excludes_0(self) -> bool:
        """Whether the interval lies to one side of 0: then the sign is shown."""
        return self.lower is not None and self.upper is not None and (self.lower > 0 or self.upper < 0)

    def as_share(self) -> Estimate:
        """The same with ends within [0, 1]: what is outside no share can be."""
        if self.lower is None or self.upper is None:
            return self
        return replace(self, lower=max(self.lower, 0.0), upper=min(self.upper, 1.0))


def nondominated(points: np.ndarray, directions: Sequence[Direction]) -> np.ndarray:
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
    front[usable] = _nondominated_of_any(costs[usable])
    return front


def _nondominated_of_any(costs: np.ndarray) -> np.ndarray:
    """The same of finite costs (n, m): what dominates a point comes before it in lexicographic order, and is not dominated."""
    kept, front, many = np.zeros(len(costs), dtype=bool), np.empty_like(costs), 0
    for i in np.lexsort(costs.T[::-1]):
        before = front[:many]
        if not ((before <= costs[i]).all(axis=1) & (before < costs[i]).any(axis=1)).any():
            kept[i], front[many] = True, costs[i]
            many += 1
    return kept


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


def hypervolume(points: np.ndarray, reference: Sequence[float], directions: Sequence[Direction]) -> float:
    """Volume that points (n, m) dominate, up to the reference point; exact. Of one figure a length, of two an area.

    A point that is not better than the reference in every figure adds nothing.
    """
    costs = _costs(points, directions)
    corner = _costs(np.asarray([reference], dtype=float), directions)[0]
    return float(areas(costs, corner))


def areas(costs: np.ndarray, corner: Sequence[float] | np.ndarray) -> np.ndarray:
    """Hypervolumes (...) of sets of costs (..., n, m), less is better, up to one corner (m,).

    Of two, one sweep along the first cost, in which each point adds the strip between its second cost and the least before
    it. Summed one after the other, so that a set has the same area alone and among many, to the last bit.
    """
    limits = np.asarray(corner, dtype=float)
    if not costs.shape[-2]:
        return np.zeros(costs.shape[:-2])
    inside = (np.isfinite(costs) & (costs < limits)).all(axis=-1)
    if len(limits) != 2:
        return _volumes(np.where(inside[..., None], costs, limits), limits)
    first, second = (np.where(inside, costs[..., j], limits[j]) for j in (0, 1))
    order = np.lexsort((second, first), axis=-1)
    first, second = (np.take_along_axis(cost, order, axis=-1) for cost in (first, second))
    least = np.minimum.accumulate(second, axis=-1)
    before = np.concatenate([np.full((*least.shape[:-1], 1), limits[1]), least[..., :-1]], axis=-1)
    strips = (limits[0] - first) * np.maximum(before - second, 0.0)
    return np.asarray(np.add.accumulate(strips, axis=-1)[..., -1])


def _volumes(costs: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """The same of any other number of costs, none beyond the corner, by exclusive volumes.

    In rising order of the last cost a point adds what it dominates alone of those before it: a box, less what they dominate of
    it, whose last side is the point's own (While, Bradstreet and Barone 2012, in whose algorithm WFG each point is so limited).
    """
    if len(limits) == 1:
        return np.asarray(limits[0] - costs[..., 0].min(axis=-1))
    if costs.ndim == 2:
        costs = costs[nondominated(costs, ["minimise"] * len(limits))]
    costs = np.take_along_axis(costs, np.argsort(costs[..., -1:], axis=-2, kind="stable"), axis=-2)
    total = np.zeros(costs.shape[:-2])
    for i in range(costs.shape[-2]):
        point = costs[..., i, :]
        limited = np.maximum(costs[..., :i, :-1], point[..., None, :-1])
        alone = np.prod(limits[:-1] - point[..., :-1], axis=-1) - areas(limited, limits[:-1])
        total = total + (limits[-1] - point[..., -1]) * alone
    return total


def t_interval(values: Iterable[float], confidence: float = 0.95) -> tuple[float, float | None, float | None]:
    """Mean of the values, one a seed, and the ends of Student's t interval for it.

    The ends are None for fewer than two values: one seed says nothing of what another would give. Raises ValueError
    for no values, or for one that is not finite.
    """
    array = np.asarray(list(values), dtype=float)
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"an interval needs finite values, at least one; got {array.tolist()}")
    mean = float(array.mean())
    if array.size < 2:
        return mean, None, None
    half = float(stdtrit(array.size - 1, 0.5 + confidence / 2) * array.std(ddof=1) / math.sqrt(array.size))
    return mean, mean - half, mean + half


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """The t interval over the values that are there, or None where none is."""
    finite = [v for v in values if v is not None and math.isfinite(v)]
    return Estimate(*t_interval(finite), n=len(finite)) if finite else None


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> Estimate | None:
    """Mean of a - b over the seeds both have, with its t interval; None where they share no seed.

    Pairing takes out what a seed does to both: the noise of its samples and its batches are the same.
    """
    return estimate([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])


def _costs(points: np.ndarray, directions: Sequence[Direction]) -> np.ndarray:
    """The points with every figure turned so that smaller is better; ValueError where shapes or words are wrong."""
    array = np.asarray(points, dtype=float)
    if array.size == 0:
        array = array.reshape(0, len(directions))
    if array.ndim != 2 or array.shape[1] != len(directions) or set(directions) - set(DIRECTIONS):
        raise ValueError(
            f"points of shape {array.shape} do not fit the directions {list(directions)}; "
            f"known: {', '.join(DIRECTIONS)}"
        )
    return array * np.array([sign_of(d) for d in directions])
