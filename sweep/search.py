"""Optuna under constraints: one study an arm, asked and told; a cache that can be rebuilt from the records."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from sweep.records import COMPLETE, FAIL, PRUNED, RUNNING
from sweep.space import Arm, Choice, Int, Parameter, SearchSpace, Settings

JOURNAL = "optuna.journal"
_DIRECTIONS = {"maximise": StudyDirection.MAXIMIZE, "minimise": StudyDirection.MINIMIZE}
_STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAIL: TrialState.FAIL}


def make_sampler(name: str, seed: int, trials: int) -> BaseSampler:
    """The sampler `name` for a study of about `trials` trials; ValueError for an unknown name."""
    startup = max(4, min(10, trials // 3))
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(4, min(16, trials // 2)))
    if name == "qmc":
        return optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    raise ValueError(f"unknown sampler {name!r}")


@dataclass(frozen=True)
class Past:
    """A trial of an earlier driver, from its record; one that had not finished is still RUNNING."""

    number: int
    state: str
    settings: Settings
    figures: Mapping[str, float | None]
    excesses: Mapping[str, float]
    cause: str | None


def open_journal(run_dir: Path) -> JournalStorage:
    """A new, empty journal in the run folder: the records are the truth, the studies are rebuilt from them."""
    path = run_dir / JOURNAL
    for stale in (path, Path(f"{path}.lock")):
        stale.unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(os.fspath(path), lock_obj=JournalFileOpenLock(os.fspath(path))))


class ArmSearch:
    """The search within one arm: `ask` for settings, `tell` what became of them. Nothing is left RUNNING at the end.

    A trial's objectives are told only if it is COMPLETE; a gated one is PRUNED with its constraints, a failed or
    non-finite one FAIL. Constraints are named, ≤ 0 where they hold, and in units of their bounds.
    """

    def __init__(
        self,
        arm: Arm,
        space: SearchSpace,
        storage: JournalStorage,
        sampler: str,
        seed: int,
        trials: int,
        past: Sequence[Past] = (),
    ) -> None:
        self.arm, self.space = arm, space
        self._sampler, self._seed, self._trials = sampler, seed, trials
        self._open: dict[int, Trial] = {}
        self.study = optuna.create_study(
            study_name=f"{space.name}/{arm.name}",
            storage=storage,
            sampler=make_sampler(sampler, seed, trials),
            directions=[_DIRECTIONS[o.direction] for o in space.objectives],
        )
        with warnings.catch_warnings():  # metric names are marked experimental; other tools show them
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.set_metric_names([o.metric for o in space.objectives])
        self._replay(past)
        for point in arm.start_points[len(past) : trials]:
            self.study.enqueue_trial(point)

    def ask(self) -> tuple[int, Settings]:
        """The next trial's number and settings: unfinished ones of an earlier driver first, under their own numbers.

        What a sampler draws depends on the seed, the arm, the trial's number and what has been told, not on how often the
        driver was restarted.
        """
        number = sum(t.state != TrialState.WAITING for t in self.study.get_trials(deepcopy=False))
        if self._sampler != "qmc":  # a sequence, not a stream: its place is restored by `_replay`
            self.study.sampler = make_sampler(self._sampler, _stream(self._seed, self.arm.name, number), self._trials)
        trial = self.study.ask()
        settings = self.arm.suggest(trial)
        self._open[trial.number] = trial
        return trial.number, settings

    def tell(
        self,
        number: int,
        state: str,
        figures: Mapping[str, float | None],
        excesses: Mapping[str, float],
        cause: str | None,
    ) -> None:
        """Tell a trial's outcome. A COMPLETE trial's objectives and constraints must be finite."""
        trial = self._open.pop(number)
        values = [figures.get(o.metric) for o in self.space.objectives]
        if state != FAIL:
            for metric, excess in excesses.items():
                trial.set_constraint(metric, excess)
        if cause:
            trial.set_user_attr("cause", cause)
        self.study.tell(trial, values if state == COMPLETE else None, state=_STATES[state])  # type: ignore[arg-type]

    def _replay(self, past: Sequence[Past]) -> None:
        """Put an earlier driver's trials into the study, in order: finished ones as they were told, the others waiting."""
        parameters = {p.name: p for p in self.arm.walk()}
        for trial in sorted(past, key=lambda p: p.number):
            if trial.state == RUNNING:
                self.study.enqueue_trial(trial.settings)
                continue
            values = [trial.figures.get(o.metric) for o in self.space.objectives]
            self.study.add_trial(
                optuna.create_trial(
                    state=_STATES[trial.state],
                    values=values if trial.state == COMPLETE else None,  # type: ignore[arg-type]
                    params=trial.settings,
                    distributions={name: _distribution(parameters[name]) for name in trial.settings},
                    constraints=dict(trial.excesses) if trial.state != FAIL else None,
                    user_attrs={"cause": trial.cause} if trial.cause else None,
                )
            )
        if self._sampler == "qmc":
            space = {name: _distribution(p) for name, p in parameters.items()}
            independent = 0 if self.arm.start_points else 1  # a study's first trial is not of the sequence
            for _ in range(len(past) - len(self.arm.start_points) - independent):
                self.study.sampler.sample_relative(self.study, self.study.get_trials(deepcopy=False)[0], space)

    def close(self) -> None:
        """Tell whatever is still open as FAIL: an interrupted run leaves no zombie for samplers to condition on."""
        for trial in self._open.values():
            trial.set_user_attr("cause", "interrupted")
            self.study.tell(trial, state=TrialState.FAIL)
        self._open.clear()


def excesses(space: SearchSpace, figures: Mapping[str, Any], fid_budget: float) -> dict[str, float]:
    """How far each constraint is violated, in units of its bound; ≤ 0 holds. Empty where the trial was never scored."""
    known = [c for c in space.constraints if figures.get(c.metric) is not None]
    return {c.metric: c.violation(figures[c.metric], fid_budget) for c in known}


def finite(values: Sequence[float | None]) -> bool:
    return all(v is not None and math.isfinite(v) for v in values)


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(list(parameter.branches))
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _stream(seed: int, arm: str, number: int) -> int:
    """A sampler's seed for one trial: 32 bits, as Optuna takes them."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{arm}/{number}".encode()).digest()[:4], "big")
