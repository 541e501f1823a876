"""Which running trial can no longer matter: one that the present front of its arm dominates, with high probability.

Between two stages some figures of a trial are known and others are bounded by what it has shown
(`sweep.procedures.Knowledge.possible`). Where a feasible, COMPLETE trial is better than all of them, what is left can
only say by how much. The rule is a function of records, so a restarted sweep stops what the first one would have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from sweep.samplers import Observation
from sweep.space import Objective
from sweep.statistics.estimates import nondominated

CONFIDENCE = 0.8  # that a member of the front is truly better; benchmarks/search.md says what others save and cost


@dataclass(frozen=True)
class Possible:
    """The best a running trial can still be: figures that are known, bounds of those that are not, and their errors."""

    values: Mapping[str, float]
    sems: Mapping[str, float]
    bounded: frozenset[str] = frozenset()


def present_front(objectives: Sequence[Objective], observed: Iterable[Observation]) -> list[Observation]:
    """The feasible COMPLETE trials that no other dominates, by what was measured."""
    feasible = [o for o in observed if o.feasible]
    points = np.array([[o.figures[objective.metric] for objective in objectives] for o in feasible], dtype=float)
    on = nondominated(points, [o.direction for o in objectives])
    return [o for o, is_on in zip(feasible, on, strict=True) if is_on]


def dominated(
    objectives: Sequence[Objective], trial: Possible, front: Sequence[Observation], confidence: float = CONFIDENCE
) -> str | None:
    """Why the trial may stop: the member of the front that most surely dominates it; None to go on.

    A member dominates in an objective with the probability that a normal variable of both standard errors gives it; in
    all of them with the product. An objective that is neither known nor bounded keeps the trial running.
    """
    if any(o.metric not in trial.values for o in objectives):
        return None
    chances = [math.prod(_better(o, member, trial) for o in objectives) for member in front]
    if not chances or not max(chances) >= confidence:  # a figure that is no number dominates nothing
        return None
    member = front[int(np.argmax(chances))]
    parts = []
    for o in objectives:
        edge = "at best " if o.metric in trial.bounded else ""
        parts.append(f"{o.metric} {edge}{trial.values[o.metric]:.3f} against {member.figures[o.metric]:.3f}")
    return f"dominated by trial {member.number} with probability {max(chances):.2f}: {', '.join(parts)}"


def _better(objective: Objective, member: Observation, trial: Possible) -> float:
    """The probability that the member is at least as good as the trial can be."""
    gap = objective.sign * (trial.values[objective.metric] - member.figures[objective.metric])
    error = math.hypot(member.sems.get(objective.metric, 0.0), trial.sems.get(objective.metric, 0.0))
    return float(ndtr(gap / error)) if error else float(gap >= 0)
