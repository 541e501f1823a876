"""Optuna under constraints: one study an arm, asked and told; a cache that can be rebuilt from the records."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from sweep.records import COMPLETE, FAIL, PRUNED
from sweep.space import Arm, SearchSpace, Settings

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

    def __init__(self, arm: Arm, space: SearchSpace, storage: JournalStorage, sampler: BaseSampler) -> None:
        self.arm, self.space = arm, space
        self._open: dict[int, Trial] = {}
        self.study = optuna.create_study(
            study_name=f"{space.name}/{arm.name}",
            storage=storage,
            sampler=sampler,
            directions=[_DIRECTIONS[o.direction] for o in space.objectives],
        )
        with warnings.catch_warnings():  # metric names are marked experimental; other tools show them
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.set_metric_names([o.metric for o in space.objectives])
        for point in arm.start_points:
            self.study.enqueue_trial(point)

    def ask(self, again: Mapping[str, Any] | None = None) -> tuple[int, Settings]:
        """The next trial's number and settings; with `again`, a trial for settings that were asked before a crash."""
        if again is not None:
            self.study.enqueue_trial(dict(again), skip_if_exists=False)
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
