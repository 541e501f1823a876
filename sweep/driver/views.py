"""The views of a sweep, in the order they are told: terminal, TensorBoard, loggers, plot and page; last, what is not kept goes."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from sweep.driver.agenda import Agenda
from sweep.driver.keeping import Keeping
from sweep.errors import UsageError
from sweep.jobs import Ended, SweepJobs, View
from sweep.plan.plan import Plan
from sweep.procedures import Setup, Tell
from sweep.space import SearchSpace
from sweep.terminal.lines import Progress
from sweep.views.loggers.lanes import Loggers
from sweep.views.plot_and_page import PlotAndPage
from sweep.views.tensorboard import TensorBoard
from trainables.store import CorruptArtifact, Store, StoreUnusable


class Terminal:
    """What whoever watches is told of a sweep's trials and replicates."""

    name = "terminal"

    def __init__(self, progress: Progress, jobs: SweepJobs) -> None:
        self.progress, self.jobs = progress, jobs

    def take(self, ended: Ended) -> None:
        self.progress.ended(ended, self.jobs)

    def finish(self) -> None:
        self.progress.line("writing the plot, the page and the TensorBoard run")


class ConfirmedInJournal:
    """What was confirmed, in ``RUN/optuna.journal``: the rest of it is written as the search goes on."""

    name = "optuna.journal"

    def __init__(self, agenda: Agenda) -> None:
        self.agenda = agenda

    def take(self, ended: Ended) -> None:
        """Nothing: means are over all seeds."""

    def finish(self) -> None:
        self.agenda.write_confirmed()


def views_of(plan: Plan[Setup], agenda: Agenda, progress: Progress) -> list[View]:
    """What a driver of the plan tells."""
    keeping = [Keeping(agenda)] if plan.keep == "front" else []  # once all views of what it removes are written
    written = written_views(plan, agenda.space, progress.line)
    return [Terminal(progress, agenda), ConfirmedInJournal(agenda), *written, *keeping]


def written_views(plan: Plan[Setup], space: SearchSpace, tell: Tell) -> list[View]:
    """Those that are files of the run folder, or a tracker's."""
    run_dir, store = Path(plan.run_dir), Store(plan.artifacts)
    return [TensorBoard(run_dir, space, store), Loggers(run_dir, space, store, tell), PlotAndPage(run_dir)]


class Telling:
    """Gives views what they hear. One that fails costs a line, and the run goes on: it can be made again from the records."""

    def __init__(self, views: Iterable[View], tell: Tell, verbose: bool = False) -> None:
        """`verbose`: where a failure is no matter of a disk, its traceback is told as well."""
        self.views, self.tell, self.verbose = list(views), tell, verbose
        self.failed: list[str] = []  # names of views, once a failure

    def take(self, ended: Ended) -> None:
        """A job has ended and is recorded."""
        for view in self.views:
            self._give(view, f"{ended.job.name} is not written", lambda view=view: view.take(ended))  # type: ignore[misc]

    def finish(self) -> None:
        """All jobs have."""
        for view in self.views:
            self._give(view, "is not whole", view.finish)

    def _give(self, view: View, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except StoreUnusable:  # which ends the run
            raise
        except (OSError, CorruptArtifact, UsageError) as error:
            self._failed(view, f"{what}: {error}")
        except Exception as error:
            self._failed(view, f"{what}: {type(error).__name__}: {error}")
            if self.verbose:
                self.tell(traceback.format_exc())

    def _failed(self, view: View, why: str) -> None:
        self.failed.append(view.name)
        self.tell(f"{view.name}: {why}")
