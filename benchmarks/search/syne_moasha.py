"""Syne Tune's MOASHA behind the samplers' protocol: it draws settings at random and stops trials at rungs.

As its own library runs it: `suggest`, `on_trial_add`, and `on_trial_result` at every rung, whose STOP is obeyed. The resource
is the number of attack rungs that have ended, both attacks together. It knows no constraints: it is given the two objectives,
and of a curve under way 1 - AURC@k of the part there is, the worst attack's. A conditional parameter is drawn with all others
and left out where it does not exist. It draws from numpy's global generator, which is seeded here.
Needs ``syne-tune``, which is no dependency of this project.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.search.staged import FID, ROBUSTNESS, Partial, Problem, aurc_weights
from sweep.errors import UsageError
from sweep.records import COMPLETE
from sweep.samplers import Observation
from sweep.space import Choice, Int, Parameter, Settings

_RESOURCE = "rungs"


class Moasha:
    """One MOASHA scheduler, with its defaults: reduction factor 3, one bracket, non-dominated sorting."""

    def __init__(self, problem: Problem, seed: int) -> None:
        try:
            from syne_tune.backend.trial_status import Trial
            from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
        except ImportError as error:
            raise UsageError(f"--strategy moasha: pip install syne-tune ({error})") from None
        self.problem, self._trial = problem, Trial
        whole = len(problem.attacks) * (len(problem.rungs) - 1)
        np.random.seed(seed)  # the one generator it uses
        self.scheduler = MOASHA(
            _domains(list(problem.arm.walk())),
            [f"-{ROBUSTNESS}", FID],
            time_attr=_RESOURCE,
            max_t=whole,
            random_seed=seed,
        )
        self._open: dict[str, Any] = {}
        self._last: dict[str, dict[str, float]] = {}

    def ask(self, number: int) -> Settings:
        config = self.scheduler.suggest().config
        settings = _settings(self.problem.arm.parameters, config)
        self.running(number, settings)
        return settings

    def running(self, number: int, settings: Settings) -> None:
        trial = self._trial(trial_id=number, config=dict(settings), creation_time=dt.datetime.now(dt.UTC))
        self._open[_key(settings)] = trial
        self.scheduler.on_trial_add(trial)

    def judge(self, partial: Partial, front: Sequence[Observation]) -> str | None:
        """Its decision at the end of a rung."""
        rungs = sum(len(curve) - 1 for curve in partial.curves.values())
        if not rungs:
            return None
        decision = self.scheduler.on_trial_result(self._open[_key(partial.settings)], _result(partial, rungs))
        self._last[_key(partial.settings)] = _result(partial, rungs)
        return f"MOASHA stops it after {rungs} rungs" if decision == "STOP" else None

    def tell(self, observation: Observation) -> None:
        key = _key(observation.settings)
        trial, last = self._open.pop(key), self._last.pop(key, None)
        if observation.state == COMPLETE and last is not None:
            whole = {f"-{ROBUSTNESS}": -observation.figures[ROBUSTNESS], FID: observation.figures[FID]}
            self.scheduler.on_trial_complete(trial, {**whole, _RESOURCE: self.scheduler.max_t})
        else:
            self.scheduler.on_trial_remove(trial)


def _result(partial: Partial, rungs: int) -> dict[str, float]:
    aurcs = []
    for curve in partial.curves.values():
        if len(curve) > 1:
            steps = tuple(sorted(curve))
            aurcs.append(float(aurc_weights(steps) @ [curve[k] for k in steps]))
    return {f"-{ROBUSTNESS}": max(aurcs) - 1, FID: partial.figures[FID], _RESOURCE: rungs}


def _domains(parameters: list[Parameter]) -> dict[str, Any]:
    from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform

    domains: dict[str, Any] = {}
    for p in parameters:
        if isinstance(p, Choice):
            domains[p.name] = choice(list(p.branches))
        elif isinstance(p, Int):
            domains[p.name] = (lograndint if p.log else randint)(p.low, p.high)
        else:
            domains[p.name] = (loguniform if p.log else uniform)(p.low, p.high)
    return domains


def _settings(parameters: tuple[Parameter, ...], config: dict[str, Any]) -> Settings:
    settings: Settings = {}
    for p in parameters:
        settings[p.name] = value = p.check(config[p.name])
        if isinstance(p, Choice):
            settings |= _settings(p.branches[value], config)
    return settings


def _key(settings: Settings) -> str:
    return repr(sorted(settings.items()))
