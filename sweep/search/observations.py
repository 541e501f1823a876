"""What is known of a trial, from its records' rows: what a sampler is told, and what a stopping rule asks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sweep import procedures
from sweep.procedures import Knowledge
from sweep.reading.best import corner_of
from sweep.records import COMPLETE, FAIL
from sweep.samplers import Observation, Question
from sweep.search.dominated import Possible
from sweep.space import Arm, SearchSpace, Settings
from sweep.space.question import excesses

Row = Mapping[str, Any]


def question_of(arm: Arm, space: SearchSpace, trials: int) -> Question:
    """What an arm's sampler is asked."""
    columns = procedures.named(space.procedure).columns()
    reference = corner_of(columns, space.objectives, space.constraints)
    return Question(arm.parameters, space.objectives, space.constraints, reference, trials)


def observation(
    space: SearchSpace,
    number: int,
    settings: Settings,
    state: str,
    figures: Row,
    curves: Sequence[Row],
    knowledge: Knowledge,
    core_s: float = 0.0,
) -> Observation:
    """What is known of a trial that ended. Of a failed one only that it failed: its figures may be of a broken model.

    So it is of one with a figure that is no finite number, which earlier drivers let be PRUNED.
    """
    asked = {o.metric for o in space.objectives} | {c.metric for c in space.constraints}
    numbers = [float(figures[metric]) for metric in asked if figures.get(metric) is not None]
    if state == FAIL or not all(map(math.isfinite, numbers)):
        return Observation(number, settings, FAIL, core_s=core_s)
    known = _objectives(space, figures)
    bounds: dict[str, float] = {}
    if state != COMPLETE:
        bounds = {metric: bound for metric, (bound, _) in _possible(space, curves, knowledge, known).items()}
    over = excesses(space, figures)
    sems = standard_errors(space, figures, curves, knowledge)
    return Observation(number, settings, state, known, over, bounds, sems, core_s=core_s)


def possible(space: SearchSpace, figures: Row, curves: Sequence[Row], knowledge: Knowledge) -> Possible:
    """The best that a trial can still be that goes on."""
    known = _objectives(space, figures)
    bounds = _possible(space, curves, knowledge, known)
    values = known | {metric: bound for metric, (bound, _) in bounds.items()}
    errors = {metric: error for metric, (_, error) in bounds.items()}
    return Possible(values, standard_errors(space, figures, curves, knowledge) | errors, frozenset(bounds))


def standard_errors(space: SearchSpace, figures: Row, curves: Sequence[Row], knowledge: Knowledge) -> dict[str, float]:
    """Standard errors of one replicate's figures, over sampling: the seed of training adds to them.

    Of a figure that is a constraint and no objective it is in the units of the excess, which is all a sampler is told of it.
    """
    errors = knowledge.errors(figures, curves)
    objectives = {o.metric for o in space.objectives}
    every = dict(errors)
    for constraint in space.constraints:
        if constraint.metric in errors and constraint.name not in objectives:
            every[constraint.name] = errors[constraint.metric] / constraint.unit
    return every


def _objectives(space: SearchSpace, figures: Row) -> dict[str, float]:
    """The objectives that are known."""
    return {o.metric: float(figures[o.metric]) for o in space.objectives if figures.get(o.metric) is not None}


def _possible(
    space: SearchSpace, curves: Sequence[Row], knowledge: Knowledge, known: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    """By objective that is not known yet, the best that it can still be and that bound's error."""
    wanted = {o.metric for o in space.objectives} - set(known)
    return {metric: interval for metric, interval in knowledge.possible(curves).items() if metric in wanted}
