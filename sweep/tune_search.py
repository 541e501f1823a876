"""The agenda as Ray Tune sees it: a `Searcher` that suggests jobs, and a callback that hears of processes lost for good."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from sweep.jobs import Ended, Jobs


class AgendaSearcher(Searcher):
    """Suggests the agenda's jobs and hands it their reports. Tune's snapshots of it are not used: the records are the truth."""

    def __init__(self, agenda: Jobs, on_end: Callable[[Ended], None], on_report: Callable[[], None]) -> None:
        super().__init__()
        self.agenda, self.on_end, self.on_report = agenda, on_end, on_report
        self.job_of: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        self.on_report()  # Tune asks again and again while it waits: the terminal's heartbeat
        if self.agenda.finished:
            return Searcher.FINISHED
        job = self.agenda.next_job()
        if job is None:
            return Searcher.FINISHED if self.agenda.finished else None
        self.job_of[trial_id] = job.name
        return {"spec": json.dumps(job.spec.to_json())}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._take(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The last result comes here and not to `on_trial_result`; a lost process is heard of through `LostTrials`."""
        if result and not error:
            self._take(trial_id, result)

    def lost(self, trial_id: str, cause: str) -> None:
        name = self.job_of.get(trial_id)
        if name in self.agenda.running:
            self.on_end(self.agenda.fail(name, cause))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a run is resumed from its records."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a run is resumed from its records: python -m sweep.launch --resume RUN")

    def _take(self, trial_id: str, result: dict[str, Any]) -> None:
        name = self.job_of[trial_id]
        if name in self.agenda.running:  # Tune repeats a trial's last result on completion
            ended = self.agenda.take(name, json.loads(result["report"]))
            if ended:
                self.on_end(ended)
            self.on_report()


class LostTrials(tune.Callback):
    """Records a trial whose process died more often than it may, with what Ray says of it."""

    def __init__(self, searcher: AgendaSearcher) -> None:
        self.searcher = searcher

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error = trial.get_error() if hasattr(trial, "get_error") else None
        said = str(error).strip().splitlines()[-1] if error else "no message from Ray"
        self.searcher.lost(trial.trial_id, f"its process was lost {trial.num_failures} times: {said}")
