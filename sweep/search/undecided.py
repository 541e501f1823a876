"""What the confirmed seeds leave open: whether a trial of a front keeps its bounds, which arm's best is the better, how good it is.

A replicate is worth its time where it decides one of these, so those that are open say which trials are run on one more seed,
and for the sake of which figures: see `Agenda`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sweep.reading.arm import ArmFront
from sweep.reading.arm_against_arm import standings
from sweep.reading.best import merit, reported_of
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.reading.words import number
from sweep.statistics.estimates import Estimate, nondominated

NARROW = 1 / 3  # of a bound's unit: half the interval of a figure that it bounds is to be no wider
TWICE = 3  # trials that have two whole replicates: differences of seeds by two degrees of freedom
TIED = 0.02  # of a share, or of the unit of a figure's bound: means that differ by less are alike to a reader


@dataclass(frozen=True)
class Undecided:
    """Of these trials, run on one more seed each, what their figures leave open, in words."""

    trials: tuple[str, ...]
    figures: frozenset[str]
    text: str


def open_bounds(sweep: Sweep, sure: float) -> list[Undecided]:
    """Trials that are on a front, or would be, and may break a bound; without a whole replicate by the search's figures."""
    return [one for arm in sweep.arms.values() for one in _bounds(sweep, arm, sure)]


def open_order(sweep: Sweep) -> list[Undecided]:
    """Which of the two best arms' best trials is ahead, where fresh seeds do not say."""
    return list(_order(sweep))


def whole_replicates(sweep: Sweep) -> list[tuple[str, int]]:
    """(trial, replicate) of the whole replicates that a report rests on: of what each arm would report, and of its best two.

    Two of them of `TWICE` trials at least, where so many are reported, or what seeds do would be known by too little.
    """
    first, second, others = [], [], []
    for name in sweep.arms:
        reported = reported_of(sweep, name)
        first += [(trial.trial_id, 1) for trial in reported]
        second += [(trial.trial_id, 2) for trial in reported[:1]]
        others += reported[1:]
    metric = sweep.objectives[0].metric
    others.sort(key=lambda trial: (-merit(sweep, trial.search[metric]), trial.trial_id))
    second += [(trial.trial_id, 2) for trial in others[: max(TWICE - len(second), 0)]]
    return [*first, *second]


def _bounds(sweep: Sweep, arm: ArmFront, sure: float) -> Iterator[Undecided]:
    """Trials that are on the arm's front, or would be if they kept the bounds that they may keep."""
    if not sweep.constraints:
        return
    for trial in arm.confirmed_members:
        if trial.feasible and trial.chance is None:
            figures = frozenset(c.metric for c in sweep.constraints)
            yield Undecided((trial.trial_id,), figures, f"whether {trial.trial_id} keeps its bounds (it has one seed)")
    may = [m for m in arm.confirmed_members if m.chance is not None and min(m.within.values()) > 1 - sure]
    for trial in _front(sweep, may):
        if trial.chance is not None and trial.chance < sure:
            share = (1 - sure) / len(sweep.constraints)
            open_ones = [c.metric for c in sweep.constraints if 1 - trial.within[c.name] > share]
            text = f"whether {trial.trial_id} keeps its bound{'s' if len(open_ones) > 1 else ''} on {' and '.join(open_ones)}"
            yield Undecided((trial.trial_id,), frozenset(open_ones), f"{text} (probability {number(trial.chance)})")


def too_wide(sweep: Sweep) -> list[Undecided]:
    """Each arm's best, the best arm's first, whose bounded figures are not known to a third of their bounds.

    For replicates that nothing else needs: it decides nothing, and says how much a reader may build on the answer.
    """
    wide = []
    for trial in (standing.member for standing in standings(sweep)):
        if trial is None or not trial.feasible or trial.confirmed is None:
            continue
        width_of: dict[str, float] = {}
        for c in sweep.constraints:
            if c.bound is not None and trial.confirmed.get(c.metric) is not None:
                width_of[c.metric] = min(NARROW * c.unit, width_of.get(c.metric, math.inf))
        figures = {m: width for m, width in width_of.items() if not _is_narrow(trial.confirmed[m], width)}
        if figures:
            sizes = " and ".join(f"{metric} is, to ± {number(width)}" for metric, width in figures.items())
            wide.append(Undecided((trial.trial_id,), frozenset(figures), f"how large {trial.trial_id}'s {sizes}"))
    return wide


def _is_narrow(estimate: Estimate, width: float) -> bool:
    if estimate.lower is None or estimate.upper is None:
        return False
    return (estimate.upper - estimate.lower) / 2 <= width


def _front(sweep: Sweep, trials: list[Trial]) -> list[Trial]:
    """Of these, by their latest figures, those that none dominates."""
    points = [[_latest(trial, o.metric) for o in sweep.objectives] for trial in trials]
    if not points:
        return []
    kept = nondominated(np.array(points, dtype=float), [o.direction for o in sweep.objectives])
    return [trial for trial, on in zip(trials, kept, strict=True) if on]


def _latest(trial: Trial, metric: str) -> float | None:
    """The mean over fresh seeds where there is one, be it of a bounded figure alone; else the search's figure."""
    estimate = (trial.confirmed or {}).get(metric)
    return trial.search.get(metric) if estimate is None else estimate.mean


def _order(sweep: Sweep) -> Iterator[Undecided]:
    """The best of the arm in first place against the next one's, where neither is shown to be ahead nor the two to be tied."""
    if len(sweep.arms) < 2:
        return
    first, second = standings(sweep)[:2]
    if first.member is None or second.member is None or second.ahead is None:
        return
    if first.member.feasible and second.member.feasible and not _settled(sweep, second.ahead):
        metric = sweep.objectives[0].metric
        trials = (first.member.trial_id, second.member.trial_id)
        yield Undecided(trials, frozenset({metric}), f"which of {' and '.join(trials)} has the better {metric}")


def _settled(sweep: Sweep, ahead: Estimate) -> bool:
    """Whether the difference excludes 0, or is surely as small as a tie."""
    if ahead.lower is None or ahead.upper is None:
        return False
    metric = sweep.objectives[0].metric
    units = [c.unit for c in sweep.constraints if c.metric == metric and c.bound is not None]
    unit = 1.0 if sweep.columns.is_share(metric) else max(units, default=0.0)
    return ahead.lower > 0 or ahead.upper < 0 or max(abs(ahead.lower), abs(ahead.upper)) <= TIED * unit
