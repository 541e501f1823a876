"""Which trial of an arm is its best, and how much its front dominates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from sweep.procedures import Columns
from sweep.reading.arm import unsure
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial, complete
from sweep.space import Constraint, Objective
from sweep.statistics.estimates import hypervolume

RANKED = 5  # trials of an arm that are listed where one objective ranks them and nothing was confirmed


def merit(sweep: Sweep, value: float | None) -> float:
    """A value of the first objective, turned so that more is better; nothing is worse than none."""
    return -math.inf if value is None else -sweep.objectives[0].sign * value


def best(sweep: Sweep, arm: str) -> Trial | None:
    """Of the members that fresh seeds confirm as feasible, the search's best by the first objective; None: there is none.

    Chosen by the search's figures and reported by the confirmed ones: a choice by the latter would flatter its winner. Of those
    that tie, as shares of few samples do, one of the confirmed front. Of one objective the confirmed means rank what is
    reported, and it is the first of that ranking.
    """
    if len(sweep.objectives) == 1:
        return next(iter(ranking(sweep, arm)), None) if sweep.arms[arm].confirmed else None
    metric = sweep.objectives[0].metric
    return max(
        _reported(sweep, _ranked(sweep, arm)),
        key=lambda m: (merit(sweep, m.search[metric]), m.on_front, m.trial_id),
        default=None,
    )


def reported_of(sweep: Sweep, arm: str) -> list[Trial]:
    """The confirmed trials that the arm reports, whole replicates or not, the search's best first; without any the closest."""
    metric = sweep.objectives[0].metric
    reported = _reported(sweep, sweep.arms[arm].confirmed_members)
    if reported:
        return sorted(reported, key=lambda m: (merit(sweep, m.search[metric]), m.on_front, m.trial_id), reverse=True)
    confirmed = sweep.arms[arm].confirmed_members
    return sorted(confirmed, key=lambda m: (_violation(sweep, m), m.trial_id))[:1]


def closest(sweep: Sweep, arm: str) -> Trial | None:
    """`best`, or the confirmed member whose means break the constraints least; None where nothing was confirmed."""
    return best(sweep, arm) or min(_ranked(sweep, arm), key=lambda m: (_violation(sweep, m), m.trial_id), default=None)


def leader(sweep: Sweep, arm: str) -> Trial | None:
    """`closest`, or, where nothing was confirmed, the feasible member that is best on the search's seed."""
    return closest(sweep, arm) or sweep.arms[arm].search_best


def listed_members(sweep: Sweep, arm: str) -> tuple[Trial, ...]:
    """The trials of an arm that are listed one by one: its front, or, of one objective, its best, the best first."""
    if len(sweep.objectives) == 1:
        return ranking(sweep, arm)
    if len(sweep.objectives) == 2:
        along = sweep.objectives[1].metric
        return tuple(sorted(sweep.arms[arm].front, key=lambda m: m.value(along) or 0.0))
    return _best_first(sweep, sweep.arms[arm].front)


def ranking(sweep: Sweep, arm: str) -> tuple[Trial, ...]:
    """The feasible trials of an arm that were confirmed, the best first; where none was, the first `RANKED` on one seed."""
    of, first = sweep.arms[arm], sweep.objectives[0]
    if of.confirmed:
        return _best_first(sweep, _reported(sweep, _ranked(sweep, arm)))
    costs = first.sign * of.members.values(first.metric)
    rows = np.flatnonzero(complete(of.members.table) & (of.members.values("feasible") > 0) & np.isfinite(costs))
    return tuple(of.members[int(i)] for i in rows[np.argsort(costs[rows], kind="stable")][:RANKED])


def _ranked(sweep: Sweep, arm: str) -> list[Trial]:
    """The arm's trials of which fresh seeds have shown every objective: one that has its bounds alone is told by one lucky seed."""
    return [m for m in sweep.arms[arm].confirmed_members if m.fully_confirmed]


def _reported(sweep: Sweep, confirmed: Iterable[Trial]) -> list[Trial]:
    """Of these trials those that are feasible: those that surely are, or, without any, all of them."""
    feasible = [m for m in confirmed if m.feasible]
    return [m for m in feasible if not unsure(sweep.plan, m)] or feasible


def _best_first(sweep: Sweep, trials: Iterable[Trial]) -> tuple[Trial, ...]:
    metric = sweep.objectives[0].metric
    return tuple(
        sorted(trials, key=lambda m: (-merit(sweep, m.value(metric)), -merit(sweep, m.search[metric]), m.trial_id))
    )


def corner(sweep: Sweep) -> tuple[float, ...] | None:
    """The point that the front's hypervolume is measured up to: see `corner_of`."""
    return corner_of(sweep.columns, sweep.objectives, sweep.constraints)


def corner_of(
    columns: Columns, objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> tuple[float, ...] | None:
    """Each objective's bound on its worse side, or the worst that a share can be.

    None where a bound is not known yet, or an objective has neither.
    """
    worst = []
    for objective in objectives:
        beyond = (c for c in constraints if c.metric == objective.metric and c.side == objective.worse_side)
        bound = next(beyond, None)
        if bound is None and not columns.is_share(objective.metric):
            return None
        if bound is not None and bound.bound is None:
            return None
        worst_share = 0.0 if objective.worse_side == "at_least" else 1.0
        worst.append(worst_share if bound is None or bound.bound is None else bound.bound)
    return tuple(worst)


def front_hypervolume(sweep: Sweep, arm: str) -> float | None:
    """Volume dominated by the arm's front, up to `corner`, of two objectives an area; None without a corner."""
    reference = corner(sweep)
    if reference is None:
        return None
    points = [[m.value(o.metric) for o in sweep.objectives] for m in sweep.arms[arm].front]
    return hypervolume(np.array(points, dtype=float), reference, [o.direction for o in sweep.objectives])


def _violation(sweep: Sweep, trial: Trial) -> float:
    """Sum of the violations of the confirmed means, in units of the bounds."""
    violation, estimates = 0.0, trial.confirmed or {}
    for constraint in sweep.constraints:
        if constraint.metric in estimates and constraint.bound is not None:
            violation += max(constraint.violation(estimates[constraint.metric].mean), 0.0)
    return violation
