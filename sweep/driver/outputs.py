"""What a sweep leaves for its readers as trials end, and at the end: terminal lines, TensorBoard, plot, page, commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sweep.driver.agenda import Agenda
from sweep.driver.keeping import Keeping
from sweep.jobs import Ended
from sweep.page import contents
from sweep.page.figures import front_figure, recovery_figure
from sweep.plan.plan import Plan
from sweep.reading.ending import Ending
from sweep.reading.fronts import read_front
from sweep.space import SearchSpace
from sweep.terminal.lines import Progress
from sweep.views.loggers.lanes import Loggers
from sweep.views.pictures import sample_grids
from sweep.views.tensorboard import Board
from trainables.store import CorruptArtifact, Store


class Outputs:
    """Everything here can be made again from the records and the artifact store."""

    def __init__(self, plan: Plan, space: SearchSpace, progress: Progress, keeping: Keeping | None = None) -> None:
        self.plan, self.progress = plan, progress
        self.run_dir = Path(plan.run_dir)
        self.store = Store(plan.artifacts)
        self.board = Board(self.run_dir, space)
        self.loggers = Loggers(self.run_dir, space, self.store, progress)
        self.keeping = keeping

    def take(self, ended: Ended, agenda: Agenda) -> None:
        """A trial or replicate is over and recorded: say so, and give its figures and pictures to TensorBoard and the loggers.

        What is written here is a view: where it cannot be written the sweep goes on, and says so.
        """
        self.progress.ended(ended, agenda)
        self.take_again(ended)
        if self.keeping:
            self.keeping.take()

    def take_again(self, ended: Ended) -> None:
        """The same of what ended under an earlier driver, of which nothing is said."""
        try:
            self.write_board(ended)
        except (OSError, CorruptArtifact) as error:  # a store that is unusable ends the run
            self.progress.line(f"TensorBoard: {ended.job.name} is not written: {error}")
        self.loggers.take(ended.job.name)

    def write_board(self, ended: Ended) -> None:
        """Give one that has ended to TensorBoard, in place of what was there of it."""
        trial_id, replicate = ended.job.spec.trial_id, ended.job.spec.replicate
        if replicate:
            self.board.replicate(trial_id, replicate, ended.job.curves)
            return
        self.board.trial(ended.row, ended.job.curves, self._grids(ended))

    def _grids(self, ended: Ended) -> Iterator[tuple[str, np.ndarray, int]]:
        """(tag, images, step) of the sample grids that are in the store."""
        for key, tag, step in sample_grids(ended.job.figures, ended.job.curves, ended.job.spec.rungs[-1]):
            found = self.store.find(key)
            for condition, images in (found.tensors() if found else {}).items():
                yield f"{tag}/{condition}", images, step

    def finish(self) -> None:
        """The plot, the page, the front as figures in TensorBoard, and what loggers are told of the whole."""
        self.progress.line("writing the plot, the page and the TensorBoard run")
        front = read_front(self.run_dir)
        self.board.figure("front", front_figure(front))
        self.board.figure("recovery", recovery_figure(front))
        self.board.close()
        self.loggers.finish()
        contents.write([self.run_dir], self.run_dir / "report.html")
        if self.keeping:  # once all views of what it removes are written
            self.keeping.finish()
        self.progress.line("done")

    def show(self) -> int:
        """Tell the front, the winner and what to type next; 1 where a failure leaves the question without an answer, else 0."""
        ending = Ending(read_front(self.run_dir))
        self.progress.result(ending)
        if ending.failure:
            print(f"error: {ending.failure}", file=sys.stderr)
            return 1
        return 0
