"""Tasks and jobs one after the other in this process, without Ray: for a debugger, and where one process is enough."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

from sweep.errors import UsageError
from sweep.jobs import Ended, Jobs
from sweep.procedures import Tasks
from sweep.terminal.lines import Progress
from trainables.running.pipeline import Pipeline
from trainables.running.procedures import pipeline_of
from trainables.store import StoreUnusable
from trainables.training.failure import failure_report


def here(tasks: Tasks) -> dict[str, Any]:
    """Do tasks one after the other in this process."""
    return {name: task.function(*task.arguments) for name, task in tasks.items()}


class Here:
    """This process as the place where tasks and jobs run; `sweep.driver.on_ray.OnRay` has the same interface."""

    def __init__(self, preparation: Callable[[Sequence[str]], str], progress: Progress) -> None:
        self.preparation, self.progress = preparation, progress

    def __enter__(self) -> Self:
        import torch

        torch.set_num_threads(1)  # as in a worker, for speed on shared cores and for the same figures
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""

    def execute(self, tasks: Tasks) -> dict[str, Any]:
        """Do the tasks, saying now and then how far a long one is; returns their artifacts by name."""
        made: dict[str, Any] = {}
        for name, task in tasks.items():
            tell = partial(self._tell, [n for n in tasks if n not in made])
            with self.progress.while_busy(tell):
                made[name] = task.function(*task.arguments)
        return made

    def _tell(self, waiting: Sequence[str]) -> None:
        with contextlib.suppress(StoreUnusable):  # which the task itself will meet
            self.progress.line(f"prepare: {self.preparation(waiting)}")

    def drive(self, jobs: Jobs, take: Callable[[Ended], None]) -> None:
        """Do every job; `take` hears of each that ended."""
        bench = None
        while job := jobs.next_job():
            ended: Ended | None = None
            pipeline: Pipeline | None = None
            while ended is None:
                try:
                    with self.progress.while_busy(partial(self.progress.heartbeat, jobs)):
                        pipeline = pipeline or pipeline_of(job.spec.to_json(), bench)
                        bench = pipeline.bench
                        report = pipeline.step()
                except (StoreUnusable, UsageError):
                    raise
                except Exception:  # as in trainables.trial: what a stage raises is the trial's recorded cause
                    report = failure_report()
                ended = jobs.take(job.name, report.to_json())  # what this raises is the run's, not the trial's
            take(ended)
