"""The live table of a terminal: what runs, what became of the trials, the best so far, what was spent and how long is left.

What a trial ended with, and what begins, scrolls by above it as plain lines, so that nothing is told by the table alone.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweep.space import SearchSpace
from sweep.terminal.lines import Progress, figure_format
from sweep.terminal.tally import FAILED, FEASIBLE, OUTCOMES

if TYPE_CHECKING:
    from sweep.jobs import Job, Jobs, SweepJobs

SHOWN = 8  # rows of running trials, and of members of the front; of more, the others are counted
_A_SECOND = 2  # redrawn so often: what is shown changes no faster


def can_draw(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


class LiveTable(Progress):
    """Draws while it is entered; however it is left, the table is gone and the cursor is back."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._console = Console(file=self._stream, highlight=False)
        self._live = Live(
            console=self._console, get_renderable=self._draw, refresh_per_second=_A_SECOND, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def begin(self, jobs: SweepJobs) -> None:
        """Drawn at once: a search whose trials are all found is over before the table would be drawn again."""
        super().begin(jobs)
        self._live.refresh()

    def heartbeat(self, jobs: Jobs) -> None:
        """The table shows what runs."""

    def _front(self, space: SearchSpace) -> None:
        """The table shows the front."""

    def _print(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def _draw(self) -> RenderableType:
        """The table as it is now; called by the thread that redraws it."""
        tally, elapsed = self.tally, _clock(self.elapsed())
        if tally.jobs is None:
            return Text(f"preparing, {elapsed}", style="bold")
        jobs, left = tally.jobs, tally.left_s()
        head = Text(f"{jobs.phase}, {elapsed}", style="bold")
        head.append(f"   left: {'not known yet' if left is None else 'about ' + _clock(left)}", style="not bold")
        spent = f"   {tally.core_hours():.2f} core-hours"
        if jobs.plan.place.gpus_per_trial:
            spent += f", {tally.gpu_hours():.2f} GPU-hours"
        head.append(spent, style="not bold")
        return Group(head, self._counts(), self._running_jobs(list(jobs.running.values())), self._best())

    def _counts(self) -> Table:
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
        colours = {FEASIBLE: "green", FAILED: "red"}
        counts = self.tally.counts()
        for name in ("running", "waiting", *OUTCOMES):
            table.add_column(name, style=colours.get(name, "") if counts[name] else "dim")
        table.add_row(*(str(n) for n in counts.values()))
        return table

    def _running_jobs(self, jobs: list[Job]) -> Table:
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
        for name in ("running", "last stage", "for"):
            table.add_column(name, no_wrap=True)
        for job in jobs[:SHOWN]:
            stage = job.stages[-1]["stage"] if job.stages else "starting"
            table.add_row(Text(job.name), Text(stage), _clock(self.tally.running_s(job)))
        if len(jobs) > SHOWN:
            table.add_row(f"and {len(jobs) - SHOWN} more", "", "")
        return table

    def _best(self) -> Table:
        assert self.tally.jobs is not None, "there is something to draw"
        space = self.tally.jobs.space
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
        for name in ("best so far", *(o.metric for o in space.objectives)):
            table.add_column(name, no_wrap=True)
        sign = space.objectives[0].sign
        best = sorted(self.tally.front, key=lambda p: sign * p[1])
        for trial, *values in best[:SHOWN]:
            table.add_row(Text(trial), *(figure_format(space, i).format(value) for i, value in enumerate(values)))
        if len(best) > SHOWN:
            table.add_row(f"and {len(best) - SHOWN} more")
        return table


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
