"""The plot and the page of a run, written once all of its jobs have ended."""

from __future__ import annotations

from pathlib import Path

from sweep.jobs import Ended
from sweep.page import contents


class PlotAndPage:
    """``RUN/front.png`` and ``RUN/report.html``."""

    name = "plot and page"

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir

    def take(self, ended: Ended) -> None:
        """Nothing: `sweep.report --live` shows a run that goes on."""

    def finish(self) -> None:
        contents.write([self.run_dir], self.run_dir / "report.html")
