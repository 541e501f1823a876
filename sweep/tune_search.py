"""The agenda as Ray Tune sees it: a searcher that suggests jobs, a scheduler that stops them, and a callback for lost ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweep.jobs import Ended, Jobs


class AgendaSearcher(Searcher):
    """Suggests the agenda's jobs and hands it their reports. Tune's snapshots of it are not used: the records are the truth."""

    def __init__(
        self, agenda: Jobs, on_end: Callable[[Ended], None], on_report: Callable[[], None], most_losses: int
    ) -> None:
        super().__init__()
        self.agenda, self.on_end, self.on_report, self.most_losses = agenda, on_end, on_report, most_losses
        self.job_of: dict[str, str] = {}
        self.losses: Counter[str] = Counter()
        self.again: list[str] = []  # jobs that Tune has given up and that may be tried once more

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searchers, and this one's knowledge, threads included, is not for pickles."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        self.on_report()  # Tune asks again and again while it waits: the terminal's heartbeat
        if self.agenda.finished:
            return Searcher.FINISHED
        job = self.agenda.running[self.again.pop(0)] if self.again else self.agenda.next_job()
        if job is None:
            return Searcher.FINISHED if self.agenda.finished else None
        self.job_of[trial_id] = job.name
        return {"spec": json.dumps(job.spec.to_json())}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: the scheduler has had it, and decided."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The last result comes here and to no scheduler; a lost process is heard of through `LostTrials`."""
        if result and not error:
            self.take(trial_id, result)

    def lost(self, trial_id: str, times: int, said: str) -> None:
        """Tune has given a trial up after `times` deaths of its process; its job begins anew unless it has had its share.

        Tune does so at once, whatever it was told, where a process dies before it has started: on a node that is gone but
        not yet missed, say.
        """
        name = self.job_of.get(trial_id)
        if name not in self.agenda.running:
            return
        self.losses[name] += max(times, 1)
        if self.losses[name] <= self.most_losses:
            self.again.append(name)
        else:
            self.on_end(self.agenda.fail(name, f"its process was lost {self.losses[name]} times: {said}"))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a run is resumed from its records."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a run is resumed from its records: python -m sweep.launch --resume RUN")

    def take(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Give a result to the agenda; whether the trial is over by its own report or because it was stopped."""
        name = self.job_of[trial_id]
        if name in self.agenda.running:  # Tune repeats a trial's last result on completion
            ended = self.agenda.take(name, json.loads(result["report"]))
            if ended:
                self.on_end(ended)
            self.on_report()
        return name not in self.agenda.running


class AgendaScheduler(FIFOScheduler):
    """Stops a trial where the agenda ends it between two stages. It keeps no state: what it knows is in the records."""

    def __init__(self, searcher: AgendaSearcher) -> None:
        super().__init__()
        self.searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return TrialScheduler.STOP if self.searcher.take(trial.trial_id, result) else TrialScheduler.CONTINUE


class LostTrials(tune.Callback):
    """Hears of a trial that Tune gives up because its process died, with what Ray says of it."""

    def __init__(self, searcher: AgendaSearcher) -> None:
        self.searcher = searcher

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error = trial.get_error() if hasattr(trial, "get_error") else None
        said = str(error).strip().splitlines()[-1] if error else "no message from Ray"
        self.searcher.lost(trial.trial_id, trial.num_failures, said)
