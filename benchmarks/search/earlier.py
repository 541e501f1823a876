"""Earlier studies for a warm start: a whole simulated run of another seed, of a problem that is this one, near it, or its reverse.

A strategy ``nehvi+…+warm`` begins as the real sweep does under ``--warm-start`` (`sweep.search.warm_start`): the study's
best settings are tried first, and its trials are handed to the sampler. What the study was of:

- ``warm``: the same problem.
- ``warm-shifted``: another class, say. The same surface, displaced: every number by `SHIFT` of its range, up or down by the
  seed and reflected at the ends, and every choice without parameters of its own one option on with probability 1/2.
- ``warm-reversed``: a study that misleads. A run of the same problem whose objectives' values are handed out in reverse: the
  trial that had the best has the worst. COMPLETE trials among themselves, so that as many look feasible as were.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.search import tree
from benchmarks.search.clock import Limits, simulate, stream
from benchmarks.search.judges import Judge
from benchmarks.search.staged import FID, OBJECTIVES, Means, Problem
from sweep.records import FAIL
from sweep.samplers import Observation, Sampler
from sweep.space import Choice, Parameter, Settings, Value

SHIFT = 0.15  # of a number's range
KINDS = {
    "warm": "begin with an earlier study of the same problem",
    "warm-shifted": "with one of a problem whose optimum lies elsewhere",
    "warm-reversed": "with one in which the best is the worst",
}


class Overheard:
    """A sampler that keeps what the one it wraps is told."""

    def __init__(self, wrapped: Sampler) -> None:
        self.wrapped, self.told = wrapped, dict[int, Observation]()

    def ask(self, number: int) -> Settings:
        return self.wrapped.ask(number)

    def running(self, number: int, settings: Settings) -> None:
        self.wrapped.running(number, settings)

    def tell(self, observation: Observation) -> None:
        self.told[observation.number] = observation
        self.wrapped.tell(observation)


Simulate = Callable[[Problem, int], tuple[Sampler, Judge]]
"""A sampler and a judge for a problem and a seed."""


def study(kind: str, problem: Problem, seed: int, limits: Limits, make: Simulate) -> list[Observation]:
    """The earlier study of one kind: trials that ended, in order of their numbers, failed ones left out as the sweep does."""
    of = shifted(problem, seed) if kind == "warm-shifted" else problem
    told = _run(of, seed, limits, make)
    return misleading(told, problem) if kind == "warm-reversed" else told


def _run(of: Problem, seed: int, limits: Limits, make: Simulate) -> list[Observation]:
    sampler, judge = make(of, stream("earlier sampler", seed))
    overheard = Overheard(sampler)
    simulate(of, overheard, stream("earlier noise", seed), limits, judge)
    return [o for _, o in sorted(overheard.told.items()) if o.state != FAIL]


def shifted(problem: Problem, seed: int) -> Problem:
    """The problem with its surface displaced; the same for the same seed."""
    rng = np.random.default_rng(stream("shift", seed))
    by = {p.name: (bool(rng.random() < 0.5), SHIFT * rng.choice([-1.0, 1.0])) for p in problem.arm.walk()}

    def means(settings: Settings) -> Means:
        return problem.means(moved(problem.arm.parameters, settings, by))

    return dataclasses.replace(problem, means=means, identity=f"{problem.identity} shifted {seed}")


def moved(parameters: Sequence[Parameter], settings: Settings, by: dict[str, tuple[bool, float]]) -> Settings:
    """Settings displaced: `by` says of every parameter whether an option is the next one, and by how much a number moves."""
    found: Settings = {}
    for parameter in parameters:
        value: Value = settings[parameter.name]
        turns, step = by[parameter.name]
        if isinstance(parameter, Choice):
            options = list(parameter.branches)
            if turns and not any(parameter.branches.values()):
                value = options[(options.index(value) + 1) % len(options)]
            found |= moved(parameter.branches[value], settings, by)
        else:
            place = abs(tree.to_unit(parameter, float(value)) + step)
            value = tree.from_unit(parameter, 2 - place if place > 1 else place)
        found[parameter.name] = value
    return found


def misleading(told: Sequence[Observation], problem: Problem) -> list[Observation]:
    """The study with each objective's values in reverse order of rank, among the trials that ended alike."""
    found = {o.number: o for o in told}
    for state in {o.state for o in told}:
        for metric in (o.metric for o in OBJECTIVES):
            rows = sorted(
                (o for o in told if o.state == state and metric in o.figures), key=lambda o: o.figures[metric]
            )
            for row, other in zip(rows, reversed(rows), strict=True):
                value = other.figures[metric]
                mine = found[row.number]
                found[row.number] = dataclasses.replace(
                    mine,
                    figures={**mine.figures, metric: value},
                    excesses=mine.excesses | (problem.excesses({FID: value}) if metric == FID else {}),
                    bounds={},
                )
    return [found[o.number] for o in told]
