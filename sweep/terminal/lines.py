"""What the terminal shows while a sweep runs: plain lines, each with the time since the start.

On a terminal a table takes their place (`sweep.terminal.table`), for programs lines of JSON (`sweep.terminal.json_lines`);
`sweep.terminal.choose` chooses.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TextIO

from sweep import procedures
from sweep.records import COMPLETE, PRUNED
from sweep.space import CONTROL, Objective, SearchSpace
from sweep.terminal.tally import Point, Tally

if TYPE_CHECKING:  # the first line is printed before torch and Optuna are imported
    from sweep.jobs import Ended, Jobs, SweepJobs
    from sweep.reading.ending import Ending

_STATE_WORDS = {COMPLETE: "done", PRUNED: "stopped"}
_HEARTBEAT_S = 15.0
_LOOK_S = 1.0  # between two looks at whether nothing has been said for so long


class Progress:
    """Prints what begins, what ended and, while nothing ends, what is being done. `verbose`: libraries speak too."""

    def __init__(self, stream: TextIO | None = None, verbose: bool = False) -> None:
        self._stream = sys.stdout if stream is None else stream
        self.verbose = verbose
        self.tally = Tally()
        self._start = self._last = time.monotonic()
        self._said_end = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""

    def plan(self, text: str) -> None:
        """The plan in words, before anything runs."""
        self._print(text)

    def line(self, text: str) -> None:
        """Say what happens."""
        elapsed = self.elapsed()
        self._heard()
        minutes, seconds = divmod(int(elapsed), 60)  # whole seconds first: 59.7 s rounded are no 60th second
        self._print(f"[{minutes:3d}:{seconds:02d}] {text}")

    def result(self, ending: Ending) -> None:
        """What came of it: the front, the winner, and what to type next."""
        self._print(ending.text())

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def go_on(self, rows: Iterable[Mapping[str, Any]], objectives: Sequence[Objective]) -> None:
        """Count the finished trials of an earlier driver, and take up its front."""
        self.tally.go_on(rows, objectives)

    def begin(self, jobs: SweepJobs) -> None:
        """What is prepared now runs."""
        self.tally.jobs = jobs

    def quiet_for(self) -> float:
        """Seconds since the last line."""
        return time.monotonic() - self._last

    def if_quiet(self, text: str) -> None:
        """Say how far something is, if nothing has been said for a while."""
        if self.quiet_for() >= _HEARTBEAT_S:
            self.line(text)

    def heartbeat(self, jobs: Jobs) -> None:
        """What is running, if nothing has been said for a while."""
        if self.quiet_for() >= _HEARTBEAT_S:
            self._running(jobs)

    @contextlib.contextmanager
    def while_busy(self, tell: Callable[[], None]) -> Iterator[None]:
        """While this thread is busy, have another `tell` what goes on whenever nothing has been said for a while."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_LOOK_S):
                if self.quiet_for() >= _HEARTBEAT_S:
                    with contextlib.suppress(BrokenPipeError):  # nobody reads any more, which the next line will find
                        tell()

        watcher = threading.Thread(target=watch, name="progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def ended(self, ended: Ended, jobs: SweepJobs) -> None:
        """Tell of a trial or replicate that is over, and of the front whenever it changed."""
        if jobs.ended_by and not self._said_end:
            self._said_end = True
            self.line(f"search ended by {jobs.ended_by}")
        changed = self.tally.take(ended, jobs)
        self._ended(ended, jobs)
        if changed:
            self._front(jobs.space)

    def _running(self, jobs: Jobs) -> None:
        running = list(jobs.running.items())  # another thread may add to them
        stages = [f"{n} ({j.stages[-1]['stage'] if j.stages else 'starting'})" for n, j in running]
        self.line("running: " + (", ".join(stages) or "waiting for a worker"))

    def _ended(self, ended: Ended, jobs: SweepJobs) -> None:
        self.line(ended_text(ended, jobs, self.tally.ended))

    def _front(self, space: SearchSpace) -> None:
        what = "front" if len(space.objectives) > 1 else "best"
        self.line(f"{what} so far, all arms: {front_text(self.tally.front, space)}")

    def _heard(self) -> None:
        self._last = time.monotonic()

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def ended_text(ended: Ended, jobs: SweepJobs, count: int) -> str:
    """``3/24 dimum-0002-r0 done accuracy 0.9 …``, or ``FAILED`` with the cause."""
    job, row = ended.job, ended.row
    state = _STATE_WORDS.get(row["state"], "FAILED")
    of = f"{count}/{jobs.total} " if job.phase == "search" and job.arm != CONTROL else ""
    figures = _figures(row, jobs.space)
    return f"{of}{job.name:18s} {state:6s} {figures}{'  ' + row['cause'] if row['cause'] else ''}"


def figure_format(space: SearchSpace, place: int) -> str:
    """How a line shows an objective: the first, and a share, by three digits, a difference by its sign, else three that matter."""
    metric = space.objectives[place].metric
    columns = procedures.named(space.procedure).columns()
    if place == 0 or columns.is_share(metric):
        return "{:.3f}"
    return "{:+.1f}" if metric in columns.signed else "{:.3g}"


def front_text(front: Sequence[Point], space: SearchSpace) -> str:
    """Every trial of the front so far with its objectives: ``a: accuracy 0.900 at loss 3.1 and width 12``."""
    named = [f"{o.metric} {figure_format(space, i)}" for i, o in enumerate(space.objectives)]
    text = " at ".join([named[0], *([" and ".join(named[1:])] if named[1:] else [])])
    return "; ".join(f"{trial}: {text.format(*values)}" for trial, *values in front)


def _figures(row: Mapping[str, Any], space: SearchSpace) -> str:
    shown = procedures.named(space.procedure).columns().shown
    names = {o.metric: o.metric for o in space.objectives} | dict(shown)
    return "  ".join(f"{short} {row[name]:.3f}" for name, short in names.items() if row.get(name) is not None)
