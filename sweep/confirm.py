"""Which trials of each arm are run again on fresh seeds: one lucky seed never makes the reported front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sweep.estimates import hypervolume
from sweep.fronts import ArmFront, Front, Member, corner, merit, read_front
from sweep.records import COMPLETE, PRUNED
from sweep.space import SearchSpace


def chosen_for_confirmation(run_dir: Path, space: SearchSpace, most: int) -> list[Member]:
    """Up to `most` members of each arm: the best by the first objective, then those that keep most of the hypervolume.

    An arm without a feasible member sends its least infeasible trial, so that it can be compared all the same.
    """
    front = read_front(run_dir)
    return [
        m for arm in space.arms if arm.name in front.arms for m in _of_arm(front, front.arms[arm.name], space, most)
    ]


def _of_arm(front: Front, arm: ArmFront, space: SearchSpace, most: int) -> list[Member]:
    members = list(arm.search_front)
    if not members:
        scored = [m for m in arm.members if m.state in (COMPLETE, PRUNED) and _scored(space, m)]
        return sorted(scored, key=lambda m: (_violation(front, space, m), m.trial_id))[:1]
    members.sort(key=lambda m: merit(front, m.search[space.objectives[0].metric]))
    chosen = [members.pop()]
    while members and len(chosen) < most:
        gains = [_dominated(front, space, [*chosen, m]) for m in members]
        chosen.append(members.pop(max(range(len(members)), key=gains.__getitem__)))
    return chosen


def _scored(space: SearchSpace, member: Member) -> bool:
    """Whether the search scored the member at all: some constraints' figures are known only after the attack."""
    return any(member.search.get(c.metric) is not None for c in space.constraints)


def _dominated(front: Front, space: SearchSpace, members: Sequence[Member]) -> float:
    reference = corner(front)
    assert reference is not None, "a plan's objectives have a corner, and the prepare phase has fixed the budget"
    points = np.array([[m.search[o.metric] for o in space.objectives] for m in members], dtype=float)
    return hypervolume(points, reference, [o.direction for o in space.objectives])


def _violation(front: Front, space: SearchSpace, member: Member) -> float:
    assert front.budget is not None, "the prepare phase has fixed the budget before any trial is told"
    known = [(c, v) for c in space.constraints if (v := member.search.get(c.metric)) is not None]
    return sum(max(c.violation(value, front.budget), 0.0) for c, value in known)
