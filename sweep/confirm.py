"""Which trials of each arm are run again on fresh seeds: one lucky seed never makes the reported front.

Beside those that the search's figures choose, any trial can be named: ``--resume RUN --confirm TRIAL…``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sweep.errors import UsageError, near
from sweep.estimates import hypervolume, nondominated
from sweep.fronts import ArmFront, Front, corner, merit, read_front
from sweep.members import Member, constraint_of
from sweep.plan import write_json
from sweep.records import COMPLETE, PRUNED, RUNNING, read_json
from sweep.space import SearchSpace

NAMED = "confirm.json"


def chosen_for_confirmation(run_dir: Path, space: SearchSpace, most: int, neighbours: int = 0) -> list[Member]:
    """Up to `most` members of each arm: the best by the first objective, then those that keep most of the hypervolume.

    Beside them up to `neighbours` trials that broke a constraint on the search's seed by no more than noise may: one
    seed's luck neither makes the front nor keeps a trial off it. An arm without a feasible member sends its least
    infeasible trial at any rate, so that it can be compared all the same. Those that were named come last.
    """
    front = read_front(run_dir)
    arms = [front.arms[arm.name] for arm in space.arms if arm.name in front.arms]
    chosen = [m for arm in arms for m in (*_members(front, arm, space, most), *_neighbours(front, arm, neighbours))]
    have = {m.trial_id for m in chosen}
    return chosen + [front.member(name) for name in named(run_dir) if name not in have]


def name_trials(run_dir: Path, trials: Sequence[str]) -> None:
    """Have these trials confirmed too, now and whenever the run is resumed. UsageError for one that the run does not have."""
    members = {m.trial_id: m for m in read_front(run_dir).members}
    for trial in trials:
        if trial not in members:
            raise UsageError(f"--confirm {trial}: no such trial in {run_dir}; {near(trial, members)}")
        if members[trial].state == RUNNING:
            raise UsageError(f"--confirm {trial}: it has not ended; go on with the run first")
    write_json(run_dir / NAMED, list(dict.fromkeys([*named(run_dir), *trials])))


def named(run_dir: Path) -> list[str]:
    """The trials that were named."""
    return list(read_json(run_dir / NAMED)) if (run_dir / NAMED).is_file() else []


def _members(front: Front, arm: ArmFront, space: SearchSpace, most: int) -> list[Member]:
    members = list(arm.search_front)
    if not members:
        scored = [m for m in arm.members if m.state in (COMPLETE, PRUNED) and _scored(space, m)]
        return sorted(scored, key=lambda m: (_violation(front, m), m.trial_id))[:1]
    members.sort(key=lambda m: merit(front, m.search[space.objectives[0].metric]))
    chosen = [members.pop()]
    while members and len(chosen) < most:
        gains = [_dominated(front, space, [*chosen, m]) for m in members]
        chosen.append(members.pop(max(range(len(members)), key=gains.__getitem__)))
    return chosen


def _neighbours(front: Front, arm: ArmFront, most: int) -> list[Member]:
    """Infeasible trials that the gate could not exclude and that would be on the search front if they were feasible.

    A COMPLETE trial passed the gate: its one-sided 95 % bounds leave its constraints open. The least violation first.
    """
    feasible = [m for m in arm.members if m.search_feasible and m.state == COMPLETE]
    if not feasible:
        return []  # the least infeasible trial is among the members already
    near = [m for m in arm.members if m.search_feasible is False and m.state == COMPLETE]
    points = np.array([[m.search[o.metric] for o in front.objectives] for m in (*feasible, *near)], dtype=float)
    on = nondominated(points, [o.direction for o in front.objectives])[len(feasible) :]
    able = [m for m, would_be in zip(near, on, strict=True) if would_be]
    return sorted(able, key=lambda m: (_violation(front, m), m.trial_id))[:most]


def _scored(space: SearchSpace, member: Member) -> bool:
    """Whether the search scored the member at all: some constraints' figures are known only after the attack."""
    return any(member.search.get(c.metric) is not None for c in space.constraints)


def _dominated(front: Front, space: SearchSpace, members: Sequence[Member]) -> float:
    reference = corner(front)
    assert reference is not None, "a plan's objectives have a corner, and the prepare phase has fixed the budget"
    points = np.array([[m.search[o.metric] for o in space.objectives] for m in members], dtype=float)
    return hypervolume(points, reference, [o.direction for o in space.objectives])


def _violation(front: Front, member: Member) -> float:
    assert front.budget is not None, "the prepare phase has fixed the budget before any trial is told"
    constraints = map(constraint_of, front.plan["constraints"])
    known = [(c, v) for c in constraints if (v := member.search.get(c.metric)) is not None]
    return sum(max(c.violation(value, front.budget), 0.0) for c, value in known)
