"""Optuna's samplers behind this project's interface: a study is made of what is known, and asked once.

A study of one's own would remember the order in which it was told and what an earlier process drew; one made anew from
what is known does not. It is in memory: what other tools open is `sweep.search.journal`'s.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.records import COMPLETE, FAIL, PRUNED
from sweep.samplers import Observation, Question
from sweep.samplers.ask_and_tell import AskAndTell
from sweep.space.parameters import Choice, Int, Parameter, Settings, suggest, walk

DIRECTIONS = {"maximise": StudyDirection.MAXIMIZE, "minimise": StudyDirection.MINIMIZE}
STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAIL: TrialState.FAIL}


def startup(trials: int) -> int:
    """Trials at random before a model chooses: Optuna's ten are too many for a short study."""
    return max(4, min(10, trials // 3))


def population(trials: int) -> int:
    """Of a genetic sampler: Optuna's fifty would be one random generation of a short study."""
    return max(4, min(16, trials // 2))


_MAKE: dict[str, Callable[[int, int], BaseSampler]] = {
    "tpe": lambda seed, trials: TPESampler(seed=seed, n_startup_trials=startup(trials)),
    "gp": lambda seed, trials: GPSampler(seed=seed, n_startup_trials=startup(trials)),
    "nsga2": lambda seed, trials: NSGAIISampler(seed=seed, population_size=population(trials)),
    "nsga3": lambda seed, trials: NSGAIIISampler(seed=seed, population_size=population(trials)),
}


class OptunaSampler(AskAndTell):
    """See `sweep.samplers.Sampler`. `name` is one of `_MAKE`'s.

    A stopped trial is PRUNED with its constraints and no objective; Optuna knows no bounds and no standard errors. Of a
    genetic sampler's trials, generations are counted in the order of their numbers.
    """

    def __init__(self, question: Question, seed: int, name: str) -> None:
        super().__init__(question, seed)
        self.name = name
        self._known = {p.name: p for p in walk(question.parameters)}

    def _choose(self, number: int) -> Settings:
        with warnings.catch_warnings():  # NSGA-III is marked experimental, which is said once an ask
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = _MAKE[self.name](self._stream(number), self.question.trials)
        study = optuna.create_study(
            sampler=sampler, directions=[DIRECTIONS[o.direction] for o in self.question.objectives]
        )
        generations = _Generations(sampler)
        for n in sorted({*self._observations, *self._running}):
            observation = self._observations.get(n)
            study.add_trial(
                self._trial(observation, generations.of(observation))
                if observation
                else self._pending(self._running[n])
            )
        with warnings.catch_warnings():  # conditional parameters are drawn independently, which is said once an ask
            warnings.simplefilter("ignore")
            return suggest(self.question.parameters, study.ask())

    def _trial(self, observation: Observation, system_attrs: dict[str, Any]) -> FrozenTrial:
        values = [observation.figures[o.metric] for o in self.question.objectives] if observation.complete else None
        return optuna.create_trial(
            state=STATES[observation.state],
            values=values,
            params=dict(observation.settings),
            distributions=self._distributions(observation.settings),
            constraints=dict(observation.excesses) if not observation.failed else None,
            system_attrs=system_attrs,
        )

    def _pending(self, settings: Settings) -> FrozenTrial:
        return optuna.create_trial(
            state=TrialState.RUNNING, params=dict(settings), distributions=self._distributions(settings)
        )

    def _distributions(self, settings: Settings) -> dict[str, BaseDistribution]:
        return {name: distribution(self._known[name]) for name in settings}


tpe = partial(OptunaSampler, name="tpe")
gp = partial(OptunaSampler, name="gp")
nsga2 = partial(OptunaSampler, name="nsga2")
nsga3 = partial(OptunaSampler, name="nsga3")


class _Generations:
    """The generations that a genetic sampler would have written to its COMPLETE trials itself."""

    def __init__(self, sampler: BaseSampler) -> None:
        self._size: int | None = getattr(sampler, "population_size", None)
        self._key = f"{type(sampler).__name__}:generation"
        self._complete = 0

    def of(self, observation: Observation) -> dict[str, Any]:
        """System attributes of the next trial in the order of numbers."""
        if not self._size or not observation.complete:
            return {}
        self._complete += 1
        return {self._key: (self._complete - 1) // self._size}


def distribution(parameter: Parameter) -> BaseDistribution:
    """Optuna's word for a parameter."""
    if isinstance(parameter, Choice):
        options: list[Any] = list(parameter.branches)
        return CategoricalDistribution(options)
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
