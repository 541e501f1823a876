"""Which trials of each arm are run again on fresh seeds: one lucky seed never makes the reported front.

Beside those that the search's figures choose, any trial can be named: ``--resume RUN --confirm TRIAL…``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sweep.errors import UsageError, near
from sweep.reading.arm import ArmFront
from sweep.reading.best import corner, merit
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.trial import Trial
from sweep.records import COMPLETE, PRUNED, RUNNING, read_json
from sweep.records.folder import write_json
from sweep.records.names import number_of
from sweep.space import SearchSpace
from sweep.statistics.expected_front import Candidates, in_order

NAMED = "confirm.json"


def chosen_for_confirmation(run_dir: Path, space: SearchSpace, most: int, neighbours: int = 0) -> list[Trial]:
    """Up to `most` members of each arm that measured feasible: the best by the first objective, then where replicates decide.

    Beside them up to `neighbours` trials that broke a constraint on the search's seed by no more than noise may: one
    seed's luck neither makes the front nor keeps a trial off it. Both are taken in the order in which they are expected to
    change the confirmed front (`sweep.statistics.expected_front`), and none that is expected to change nothing. An arm
    without a feasible member sends its least infeasible trial at any rate, of those whose every bound was scored if there are
    any, so that it can be compared all the same. Those
    that were named come last.
    """
    sweep = read_sweep(run_dir)
    arms = [sweep.arms[arm.name] for arm in space.arms if arm.name in sweep.arms]
    chosen = [m for arm in arms for m in _of_arm(sweep, arm, space, most, neighbours)]
    have = {m.trial_id for m in chosen}
    return chosen + [sweep.member(name) for name in named(run_dir) if name not in have]


def check_named(run_dir: Path, trials: Sequence[str]) -> None:
    """UsageError for a trial that the run does not have, or that has not ended."""
    members = {m.trial_id: m for m in read_sweep(run_dir).members}
    for trial in trials:
        if trial not in members:
            raise UsageError(f"--confirm {trial}: no such trial in {run_dir}; {near(trial, members)}")
        if members[trial].state == RUNNING:
            raise UsageError(f"--confirm {trial}: it has not ended; go on with the run first")


def name_trials(run_dir: Path, trials: Sequence[str]) -> None:
    """Have these trials confirmed too, now and whenever the run is resumed. UsageError as `check_named` says."""
    check_named(run_dir, trials)
    write_json(run_dir / NAMED, list(dict.fromkeys([*named(run_dir), *trials])))


def named(run_dir: Path) -> list[str]:
    """The trials that were named."""
    return list(read_json(run_dir / NAMED)) if (run_dir / NAMED).is_file() else []


def _of_arm(sweep: Sweep, arm: ArmFront, space: SearchSpace, most: int, neighbours: int) -> list[Trial]:
    """Members in the order in which they were chosen; those that measured infeasible after the others.

    No other than a COMPLETE trial can be on the front. One that broke a bound by more than noise may is expected to add nothing.
    """
    complete = [
        m for m in arm.members if m.state == COMPLETE and m.search_feasible is not None and _has_figures(sweep, m)
    ]
    feasible = [m for m in complete if m.search_feasible]
    if not feasible:
        scored = [m for m in arm.members if m.state in (COMPLETE, PRUNED) and _scored(space, m)]
        return sorted(scored, key=lambda m: (_partly_scored(sweep, m), _violation(sweep, m), m.trial_id))[:1]
    first = sweep.objectives[0].metric
    best = max(feasible, key=lambda m: (merit(sweep, m.search[first]), m.on_search_front, m.trial_id))
    kinds = [0 if m.search_feasible else 1 for m in complete]
    order = in_order(_candidates(sweep, space, complete), complete.index(best), kinds, (most, neighbours))
    return sorted([best, *(complete[row] for row, _ in order)], key=lambda m: not m.search_feasible)


def _has_figures(sweep: Sweep, trial: Trial) -> bool:
    """Whether the search gave every figure that the front is of, finite."""
    return all(math.isfinite(v) for v in _figures(sweep, trial))


def _figures(sweep: Sweep, trial: Trial) -> list[float]:
    """The figures of `_metrics`; nan for one that is missing."""
    values = [trial.search.get(name) for name in _metrics(sweep)]
    return [math.nan if value is None else float(value) for value in values]


def _metrics(sweep: Sweep) -> list[str]:
    """The objectives, then the constraints that are none."""
    return list(dict.fromkeys([*(o.metric for o in sweep.objectives), *(c.metric for c in sweep.constraints)]))


def _candidates(sweep: Sweep, space: SearchSpace, trials: Sequence[Trial]) -> Candidates:
    names = _metrics(sweep)
    knowledge = sweep.knowledge(space)
    figures = np.array([_figures(sweep, m) for m in trials], dtype=float)
    sds = [[knowledge.sd(name, value) for name, value in zip(names, row, strict=True)] for row in figures]
    signs = tuple(o.sign for o in sweep.objectives)
    reference = corner(sweep)
    if reference is None:  # of one objective that nothing bounds: the worst trial, lest any be told apart by nothing
        assert len(signs) == 1, "several objectives have a corner, and the prepare phase has fixed the budget"
        reference = (signs[0] * float((signs[0] * figures[:, 0]).max()),)
    return Candidates(
        numbers=[number_of(m.trial_id) for m in trials],
        figures=figures,
        sds=np.array(sds),
        objectives=tuple(range(len(signs))),
        signs=signs,
        corner=tuple(sign * end for sign, end in zip(signs, reference, strict=True)),
        bounds=[
            (names.index(c.metric), c.bound, 1.0 if c.side == "at_most" else -1.0)
            for c in sweep.constraints
            if c.bound is not None  # the prepare phase has found them all before any trial is told
        ],
    )


def _scored(space: SearchSpace, trial: Trial) -> bool:
    """Whether the search scored the member at all: some constraints' figures are known only at its end."""
    return any(trial.search.get(c.metric) is not None for c in space.constraints)


def _partly_scored(sweep: Sweep, trial: Trial) -> bool:
    """Whether it was stopped before every constraint's figure was known: how far it breaks the others, nobody knows."""
    return any(trial.search.get(c.metric) is None for c in sweep.constraints)


def _violation(sweep: Sweep, trial: Trial) -> float:
    """Sum of the violations on the search's seed, in units of the bounds, as far as figures are known."""
    violation = 0.0
    for constraint in sweep.constraints:
        value = trial.search.get(constraint.metric)
        if value is not None:
            violation += max(constraint.violation(value), 0.0)
    return violation
