"""Who chooses the next trial: samplers behind one interface, `ask` and `tell`.

A sampler is told everything that is known of a trial and nothing else: a trial that was stopped has no value of what it
never reached, only a bound. One sampler serves one arm of a question; it holds no file and no clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sweep.records import COMPLETE, FAIL, PRUNED
from sweep.space import Constraint, Objective
from sweep.space.parameters import Parameter, Settings


@dataclass(frozen=True)
class Question:
    """What a sampler is asked: the tree of an arm's parameters, what to push which way, and what must hold.

    `constraints` have their bounds as numbers; an excess of each must be ≤ 0. `reference` is the corner that hypervolumes
    are measured up to, in the objectives' order and units, or None where nothing fixes one. `trials` is about how many
    there will be.
    """

    parameters: tuple[Parameter, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    reference: tuple[float, ...] | None = None
    trials: int = 100


@dataclass(frozen=True)
class Observation:
    """What is known of one trial that ended, COMPLETE, PRUNED or FAIL.

    `figures` holds the objectives that were measured: a trial that was stopped may lack some. `excesses` are the constraints'
    violations in units of their bounds, ≤ 0 where they hold, as far as they were scored. `bounds` holds, for an objective
    never reached, the value it cannot be better than. `sems` are standard errors by metric, where they are known: of the
    figure, or of the excess where the metric is no objective.
    """

    number: int
    settings: Settings
    state: str
    figures: Mapping[str, float] = field(default_factory=dict)
    excesses: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    sems: Mapping[str, float] = field(default_factory=dict)
    core_s: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether the trial came to its end: every objective was measured."""
        return self.state == COMPLETE

    @property
    def failed(self) -> bool:
        return self.state == FAIL

    @property
    def scored(self) -> bool:
        """Whether anything was measured of a trial that did not fail."""
        return not self.failed and bool(self.figures or self.excesses)

    @property
    def violation(self) -> float:
        """Sum of the violations of the constraints that were scored; 0 where all of them hold."""
        return sum(max(excess, 0.0) for excess in self.excesses.values())

    @property
    def feasible(self) -> bool:
        """Whether the trial came to its end and keeps every constraint."""
        return self.complete and all(excess <= 0 for excess in self.excesses.values())


class Sampler(Protocol):
    """Settings for a trial, given all that ended and all that still run.

    `ask` for trial `number` takes it for running until its observation is told. `running` makes the same of settings
    chosen elsewhere: start points, and unfinished trials of an earlier driver. Telling a number again replaces what was
    known of it; the order of telling and how often the process was restarted in between make
    no difference to what is asked next.
    """

    def ask(self, number: int) -> Settings: ...
    def running(self, number: int, settings: Settings) -> None: ...
    def tell(self, observation: Observation) -> None: ...


def check_observation(question: Question, observation: Observation) -> None:
    """ValueError for a state that no trial ends in, a figure that is not finite, or a COMPLETE trial without an objective."""
    where = f"trial {observation.number}"
    if observation.state not in (COMPLETE, PRUNED, FAIL):
        raise ValueError(f"{where}: state {observation.state!r} is not one of {COMPLETE}, {PRUNED}, {FAIL}")
    for kind in ("figures", "excesses", "bounds", "sems"):
        for metric, value in getattr(observation, kind).items():
            if not math.isfinite(value):
                raise ValueError(f"{where}: {metric!r} in {kind} is {value}, not a finite number")
            if kind == "sems" and value < 0:
                raise ValueError(f"{where}: the standard error of {metric!r} is {value}, below 0")
    if not math.isfinite(observation.core_s) or observation.core_s < 0:
        raise ValueError(f"{where}: core_s is {observation.core_s}, not a time")
    missing = [o.metric for o in question.objectives if o.metric not in observation.figures]
    if observation.complete and missing:
        raise ValueError(f"{where}: COMPLETE without {', '.join(missing)}")
