"""The studies that other people's tools open: a journal of every trial in Optuna's words, rebuilt from the records.

Nothing here chooses a trial: samplers keep their own knowledge (`sweep.samplers`). The journal is a view.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pyarrow.compute as pc
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import Trial, TrialState

from sweep.reading.sweep import read_sweep
from sweep.reading.words import shown
from sweep.records import NothingRecorded, read
from sweep.records.whole import write_whole
from sweep.samplers import Observation
from sweep.samplers.optuna_samplers import DIRECTIONS, STATES, distribution
from sweep.space import Arm, SearchSpace, Settings

JOURNAL = "optuna.journal"
_DASHBOARD = "constraints"  # the key of Optuna 4, a trial's system attribute


def open_journal(run_dir: Path) -> JournalStorage:
    """A new, empty journal in the run folder: the records are the truth, the studies are rebuilt from them."""
    path = run_dir / JOURNAL
    for stale in (path, Path(f"{path}.lock")):
        stale.unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(os.fspath(path), lock_obj=JournalFileOpenLock(os.fspath(path))))


def confirmed_attributes(run_dir: Path) -> dict[str, dict[str, Any]]:
    """By confirmed trial, its means over the fresh seeds with their intervals, as attributes that other tools show."""
    try:
        replicates = read(run_dir, "replicates", ("replicate",))
    except NothingRecorded:
        return {}
    if not pc.any(pc.greater_equal(replicates["replicate"], 1)).as_py():
        return {}
    sweep = read_sweep(run_dir)
    attributes_of: dict[str, dict[str, Any]] = {}
    for trial in (t for arm in sweep.arms.values() for t in arm.confirmed_members):
        attributes = attributes_of[trial.trial_id] = {
            "confirmed_seeds": len(sweep.seeds(trial.trial_id)),
            "confirmed_feasible": trial.feasible,
        }
        for name in shown(sweep):
            if estimate := (trial.confirmed or {}).get(name):
                attributes[f"confirmed_{name}"] = estimate.mean
                if estimate.lower is not None and estimate.upper is not None:
                    attributes[f"confirmed_{name}_interval"] = [estimate.lower, estimate.upper]
    return attributes_of


@contextmanager
def journal_in_place(run_dir: Path) -> Iterator[JournalStorage]:
    """A new, empty journal, which takes the place of the run's once it is filled; where that fails the run's is as it was."""
    with tempfile.TemporaryDirectory() as folder:
        yield open_journal(Path(folder))
        write_whole(run_dir / JOURNAL, (Path(folder) / JOURNAL).read_bytes())


class Journal:
    """The study of one arm. Trials are begun in the order of their numbers; nothing is left RUNNING once it is closed.

    A trial's objectives are told only if it is COMPLETE; a stopped one is PRUNED with its constraints, a failed one FAIL.
    Constraints are named, ≤ 0 where they hold, and in units of their bounds.
    """

    def __init__(self, arm: Arm, space: SearchSpace, storage: JournalStorage) -> None:
        self.arm, self.space = arm, space
        self._parameters = {p.name: p for p in arm.walk()}
        self._open: dict[int, Trial] = {}
        self.study = optuna.create_study(
            study_name=f"{space.name}/{arm.name}",
            storage=storage,
            sampler=optuna.samplers.RandomSampler(0),  # asked nothing: every trial comes with its settings
            directions=[DIRECTIONS[o.direction] for o in space.objectives],
        )
        with warnings.catch_warnings():  # metric names are marked experimental; other tools show them
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.set_metric_names([o.metric for o in space.objectives])

    def rebuild(
        self,
        ended: Iterable[tuple[Observation, str | None]],
        unfinished: dict[int, Settings],
        confirmed: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        """Put an earlier driver's trials into the empty study: those that ended with their causes, the others waiting.

        `confirmed` are attributes by a trial's number; see `confirmed_attributes`.
        """
        outcomes = {o.number: (o, cause) for o, cause in ended}
        for number in sorted({*outcomes, *unfinished}):
            if number in unfinished:
                self.study.enqueue_trial(unfinished[number])
                continue
            observation, cause = outcomes[number]
            self.study.add_trial(
                optuna.create_trial(
                    state=STATES[observation.state],
                    values=self._values(observation),
                    params=dict(observation.settings),
                    distributions=self._distributions(observation.settings),
                    constraints=dict(observation.excesses) if not observation.failed else None,
                    system_attrs=self._for_the_dashboard(observation),
                    user_attrs=({"cause": cause} if cause else {}) | dict((confirmed or {}).get(number, {})),
                )
            )

    def begun(self, number: int, settings: Settings) -> None:
        """A trial runs: one that waits in the study, or the next."""
        trials = self.study.get_trials(deepcopy=False)
        if any(t.number == number and t.state == TrialState.WAITING for t in trials):
            trial = self.study.ask()
            self.arm.suggest(trial)
        else:
            trial = self._running(settings)
        assert trial.number == number, "trials are begun in the order of their numbers"
        self._open[number] = trial

    def is_open(self, number: int) -> bool:
        """Whether a trial has begun here and not ended."""
        return number in self._open

    def ended(self, observation: Observation, cause: str | None) -> None:
        trial = self._open.pop(observation.number)
        if not observation.failed:
            for metric, excess in observation.excesses.items():
                trial.set_constraint(metric, excess)
        for key, value in self._for_the_dashboard(observation).items():
            self.study._storage.set_trial_system_attr(trial._trial_id, key, value)
        if cause:
            trial.set_user_attr("cause", cause)
        self.study.tell(trial, self._values(observation), state=STATES[observation.state])

    def close(self) -> None:
        """Whatever is still open ends as FAIL: an interrupted run leaves no zombie for other tools to wait for."""
        for trial in self._open.values():
            trial.set_user_attr("cause", "interrupted")
            self.study.tell(trial, state=TrialState.FAIL)
        self._open.clear()

    def _running(self, settings: Settings) -> Trial:
        """A trial that runs with these settings, in one entry of the journal: asked, each parameter would be one."""
        distributions = self._distributions(settings)
        template = optuna.create_trial(state=TrialState.RUNNING, params=dict(settings), distributions=distributions)
        return Trial(self.study, self.study._storage.create_new_trial(self.study._study_id, template))

    def _distributions(self, settings: Settings) -> dict[str, BaseDistribution]:
        return {name: distribution(self._parameters[name]) for name in settings}

    def _for_the_dashboard(self, observation: Observation) -> dict[str, list[float]]:
        """The constraints once more, as optuna-dashboard reads them: a list. Without it every trial is feasible there.

        Optuna's own readers take both, so its samplers see each excess twice, under its name and its place: no sign changes.
        """
        excesses = [observation.excesses[c.name] for c in self.space.constraints if c.name in observation.excesses]
        return {_DASHBOARD: excesses} if excesses and not observation.failed else {}

    def _values(self, observation: Observation) -> list[float] | None:
        if not observation.complete:
            return None
        return [observation.figures[o.metric] for o in self.space.objectives]
