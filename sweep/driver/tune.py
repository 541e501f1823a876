"""The agenda as Ray Tune sees it: a searcher that suggests jobs, a scheduler that stops them, and a callback for lost ones."""

from __future__ import annotations

import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweep.driver.ray_health import RayHealth
from sweep.jobs import Ended, Jobs
from trainables.store import StoreUnusable
from trainables.training.failure import SickProcess


def unreachable() -> None:
    """For a driver that does not know the store: what a worker says of it holds."""
    raise StoreUnusable("the driver does not know the store")


class AgendaSearcher(Searcher):
    """Suggests the agenda's jobs and hands it their reports. Tune's snapshots of it are not used: the records are the truth."""

    def __init__(
        self,
        agenda: Jobs,
        on_end: Callable[[Ended], None],
        on_report: Callable[[], None],
        most_losses: int,
        timeout_s: float = 0.0,
        check_store: Callable[[], None] = unreachable,
        workers: int = 1,
    ) -> None:
        super().__init__()
        self.agenda, self.on_end, self.on_report = agenda, on_end, on_report
        self.most_losses, self.timeout_s = most_losses, timeout_s
        self.check_store, self.most_halts = check_store, max(most_losses, workers)
        self.halts = 0  # in a row, of whichever jobs
        self.gone: set[str] = set()  # Tune's trials whose job is another's by now
        self.job_of: dict[str, str] = {}
        self.losses: Counter[str] = Counter()  # by job, since it last got a stage further
        self.failures: dict[str, int] = {}  # by trial, those that Tune had counted by then
        self.again: list[str] = []  # jobs that Tune has given up and that may be tried once more
        self.error: Exception | None = None  # what ended the run: Tune says it in its own words
        self._heard: dict[str, float] = {}  # by trial, when it began or last reported

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searchers, and this one's knowledge, threads included, is not for pickles."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        with self.remembered():
            self.on_report()  # Tune asks again and again while it waits: the terminal's heartbeat
            if self.agenda.finished:
                return Searcher.FINISHED
            job = self.agenda.running[self.again.pop(0)] if self.again else self.agenda.next_job()
            if job is None:
                return Searcher.FINISHED if self.agenda.finished else None
            self.job_of[trial_id] = job.name
            spec = json.dumps(job.spec.to_json())
            return {"spec": spec, "timeout_s": self.timeout_s, "every_stage": job.every_stage}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: the scheduler has had it, and decided."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The last result comes here and to no scheduler; a lost process is heard of through `LostTrials`."""
        if result and not error:
            self.take(trial_id, result)

    def lost(self, trial_id: str, times: int, said: str) -> None:
        """Tune has given a trial up after `times` deaths of its process; its job begins anew unless it has had its share.

        Only those since its last new stage count.

        Tune does so at once, whatever it was told, where a process dies before it has started: on a node that is gone but
        not yet missed, say.
        """
        name = self.job_of.get(trial_id)
        if name not in self.agenda.running or trial_id in self.gone:
            return
        self.gone.add(trial_id)
        self.losses[name] += max(times - self.failures.get(trial_id, 0), 1)
        if self.losses[name] <= self.most_losses:
            self.again.append(name)
        else:
            self._fail(name, f"its process was lost {self.losses[name]} times: {said}")

    def started(self, trial_id: str) -> None:
        """Its process runs, perhaps anew."""
        self._heard[trial_id] = time.monotonic()

    def hung(self, trial_id: str) -> None:
        """A process has died: where it made no report for as long as it may, that is why, and its trial is recorded so."""
        silent, name = time.monotonic() - self._heard.get(trial_id, math.inf), self.job_of.get(trial_id)
        if trial_id in self.gone:
            return
        if self.timeout_s and silent >= self.timeout_s and name in self.agenda.running:
            self._fail(
                name,
                f"hung: no report for {silent:.0f} s (--trial-timeout {self.timeout_s:g}); its process was ended",
            )

    def _fail(self, name: str, cause: str) -> None:
        with self.remembered():
            self.on_end(self.agenda.fail(name, cause))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a run is resumed from its records."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a run is resumed from its records: python -m sweep.launch --resume RUN")

    def take(self, trial_id: str, result: dict[str, Any], failures: int = 0) -> bool:
        """Give a result to the agenda; whether the trial is over by its own report or because it was stopped.

        `failures`: how often the trial has lost its process so far. With a stage that is new to the job that is forgotten: one
        that gets on is only short of time, on nodes that are reclaimed.
        """
        name = self.job_of[trial_id]
        self.started(trial_id)
        if (
            trial_id not in self.gone and name in self.agenda.running
        ):  # Tune repeats a trial's last result on completion
            with self.remembered():
                reports = json.loads(result["reports"])
                halt = reports[-1]["halt"]
                known = {row["key"] for row in self.agenda.running[name].stages}
                if any(r["stage"] and r["stage"]["key"] not in known for r in reports):
                    self.losses.pop(name, None)
                    self.failures[trial_id] = failures
                ended = self.agenda.take(name, *(r for r in reports if not r["halt"]))
                if halt:
                    self._halted(trial_id, halt)
                else:
                    self.halts = 0
                if ended:
                    self.on_end(ended)
                self.on_report()
        return name not in self.agenda.running or trial_id in self.gone

    def _halted(self, trial_id: str, said: str) -> None:
        """A worker cannot use the store. Where the driver can, that is its node's, and the job begins anew as one that was lost.

        StoreUnusable where the driver cannot either, or so many workers in a row say so that it must be more than a node.
        """
        self.halts += 1
        if self.halts >= self.most_halts:
            raise StoreUnusable(f"{said}; so said {self.halts} in a row")
        try:
            self.check_store()
        except StoreUnusable as error:
            raise StoreUnusable(said) from error
        self.lost(trial_id, 1, said)

    @contextmanager
    def remembered(self) -> Iterator[None]:
        """What is raised within ends the run, and is told as it was raised."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise


class AgendaScheduler(FIFOScheduler):
    """Stops a trial where the agenda ends it between two stages. It keeps no state: what it knows is in the records."""

    def __init__(self, searcher: AgendaSearcher) -> None:
        super().__init__()
        self.searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return (
            TrialScheduler.STOP
            if self.searcher.take(trial.trial_id, result, trial.num_failures)
            else TrialScheduler.CONTINUE
        )

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A process died. Where it hung its trial is over, and `LostTrials` stops it before it is started again."""
        self.controller = tune_controller
        self.searcher.hung(trial.trial_id)


class LostTrials(tune.Callback):
    """Hears of a trial that Tune gives up because its process died, with what Ray says of it; no hung one is tried again."""

    def __init__(self, searcher: AgendaSearcher, scheduler: AgendaScheduler) -> None:
        self.searcher, self.scheduler = searcher, scheduler
        self.health = RayHealth()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if (
            self.searcher.error is not None
        ):  # raised where a trial is stopped: Tune takes it for that trial's own failure
            raise self.searcher.error
        with self.searcher.remembered():
            self.health.check()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.searcher.started(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if self.searcher.job_of[trial.trial_id] not in self.searcher.agenda.running:
            self.scheduler.controller.stop_trial(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        with self.searcher.remembered():
            self.health.check(now=True)  # with its raylet a driver loses every worker, which is no trial's failure
        error = trial.get_error() if hasattr(trial, "get_error") else None
        said = last_line(error) if error else "no message from Ray"
        self.searcher.lost(trial.trial_id, trial.num_failures, said)


class ToldAfterwards(tune.Callback):
    """Lets views hear of what ended once the process that it left has its next trial.

    What they write can be made again from the records, and takes as long as all else that a trial's end asks of the driver.
    `ended` is what the searcher adds to.
    """

    def __init__(self, ended: list[Ended], searcher: AgendaSearcher, take: Callable[[Ended], None]) -> None:
        self.ended, self.searcher, self.take = ended, searcher, take
        self._due = 0  # how many ended before the step of Tune's that is on its way, which begins by handing out trials

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks, and views are not for pickles."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._due = len(self.ended)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._tell(self._due)

    def tell_the_rest(self) -> None:
        """No step is to come."""
        self._tell(len(self.ended))

    def _tell(self, count: int) -> None:
        with self.searcher.remembered():
            for _ in range(count):
                self.take(self.ended.pop(0))


class ToldOnce(logging.Filter):
    """Keeps out of Tune's log, where it would stand with its traceback, what is told otherwise.

    That is what ends the run, which whoever ends it tells, and, where there is a `tell`, a worker that died: a line of it.
    """

    def __init__(self, searcher: AgendaSearcher, tell: Callable[[str], None] | None) -> None:
        super().__init__()
        self.searcher, self.tell = searcher, tell

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return True
        if error is self.searcher.error:
            return False
        if self.tell and isinstance(error, ray.exceptions.RayActorError | SickProcess):
            why = f" ({last_line(error)})" if isinstance(error, SickProcess) else ""
            self.tell(f"a worker's process ended{why}: what it was at goes on in another, a few times at most")
            return False
        return True


def last_line(error: Exception) -> str:
    """What an exception says at its end; of one that was raised in another process, without the traceback."""
    return (str(getattr(error, "cause", None) or error).strip() or type(error).__name__).splitlines()[-1]
