"""What a run is measured by: true hypervolume against core-seconds, of all it found and of what it would report.

Hypervolumes are of noise-free figures, feasible by the noise-free constraints, up to the problem's corner, and given as
shares of the best that is known of the problem.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from benchmarks.search.clock import Event
from benchmarks.search.staged import DIRECTIONS
from sweep.records import COMPLETE
from sweep.statistics.estimates import hypervolume, nondominated

LEVELS = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Trace:
    """A step function of core-seconds: `values[i]` holds from `spent[i]` on; 0 before the first."""

    spent: np.ndarray
    values: np.ndarray

    def at(self, core_seconds: float) -> float:
        i = int(np.searchsorted(self.spent, core_seconds, side="right"))
        return float(self.values[i - 1]) if i else 0.0

    def reaches(self, level: float) -> float:
        """Core-seconds at which the value first is at least `level`; infinity where it never is: a censored run."""
        there = np.flatnonzero(self.values >= level)
        return float(self.spent[there[0]]) if len(there) else math.inf


def found(events: Sequence[Event], reference: tuple[float, float]) -> Trace:
    """Hypervolume of the true figures of the COMPLETE trials that are truly feasible and may be so by what was measured.

    It never falls. A trial whose measurement excludes that it is feasible, by the gate's bounds, counts nowhere: no reader
    and no confirm phase would take it up, whether a gate stopped it or it ran to its end.
    """
    front, area, spent, values = np.empty((0, 2)), 0.0, [], []
    for event in events:
        if event.state == COMPLETE and event.truly_feasible and event.may_be_feasible:
            points = np.vstack([front, [[event.true_robustness, event.true_fid_delta]]])
            keep = nondominated(points, DIRECTIONS)
            front = points[keep]
            if keep[-1]:
                area = max(area, hypervolume(front, reference, DIRECTIONS))  # rounding must not make it fall
        spent.append(event.spent)
        values.append(area)
    return Trace(np.array(spent), np.array(values))


def reported(events: Sequence[Event], reference: tuple[float, float]) -> tuple[Trace, list[Event]]:
    """Hypervolume of the true figures of the front that a reader would be shown, and that front's members at the end.

    It is chosen by what was measured: COMPLETE, feasible and non-dominated by the measured figures. A member that is truly
    infeasible adds nothing. It can fall: a lucky measurement displaces better trials.
    """
    members: list[Event] = []
    area, spent, values = 0.0, [], []
    for event in events:
        if event.state == COMPLETE and event.seems_feasible:
            joined = [*members, event]
            keep = nondominated(np.array([[e.robustness, e.fid_delta] for e in joined]), DIRECTIONS)
            members = [e for e, kept in zip(joined, keep, strict=True) if kept]
            true = [[e.true_robustness, e.true_fid_delta] for e in members if e.truly_feasible]
            area = hypervolume(np.array(true).reshape(-1, 2), reference, DIRECTIONS)
        spent.append(event.spent)
        values.append(area)
    return Trace(np.array(spent), np.array(values)), members


def lucky(members: Sequence[Event]) -> float:
    """Share of a reported front's members that are truly infeasible; NaN without members."""
    return sum(not m.truly_feasible for m in members) / len(members) if members else math.nan


@dataclass(frozen=True)
class Middle:
    """A median of n values with the ends of its 95 % interval; infinite where that part of the runs was censored."""

    median: float
    lower: float
    upper: float
    n: int


def middle(values: Sequence[float]) -> Middle:
    """Median with the order-statistic interval of at least 95 % (binomial, distribution-free; infinite values may be among them).

    With fewer than 6 values no such interval exists: its ends are NaN. ValueError for no values or a NaN.
    """
    found_ = np.sort(np.asarray(values, dtype=float))
    n = len(found_)
    if n == 0 or np.isnan(found_).any():
        raise ValueError(f"a median needs values, and none that is NaN; got {found_.tolist()}")
    low, high = found_[(n - 1) // 2], found_[n // 2]
    median = float(low if low == high else (low + high) / 2)
    rank = int(binom.ppf(0.025, n, 0.5))  # the largest r with P(X < r) ≤ 2.5 %
    if rank == 0:
        return Middle(median, math.nan, math.nan, n)
    return Middle(median, float(found_[rank - 1]), float(found_[n - rank]), n)


def paired_ratio(a: Sequence[float], b: Sequence[float]) -> Middle | None:
    """Median over seeds of b / a with its interval: how much longer b takes. None where no seed says anything.

    Where only one of the two was censored the ratio is 0 or infinite, which an order-statistic interval can hold; a seed
    where both were says nothing and is left out.
    """
    ratios = [
        math.inf if math.isinf(y) else 0.0 if math.isinf(x) else y / x
        for x, y in zip(a, b, strict=True)
        if not (math.isinf(x) and math.isinf(y)) and x > 0
    ]
    return middle(ratios) if ratios else None
