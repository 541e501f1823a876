"""A recorded run, and what a driver does that goes on with it and logs it."""

from __future__ import annotations

import json
from pathlib import Path

from recorded_run import BUDGET, space, write_run

from sweep import records
from sweep.terminal.lines import Progress
from sweep.views.loggers.lanes import Loggers
from trainables.store import Store


def recorded(folder: Path) -> Path:
    """A recorded run whose plan names its question, as one that was launched does."""
    run = write_run(folder / "RUN")
    plan = records.read_json(run / "plan.json")
    (run / "plan.json").write_text(json.dumps(plan | {"plan": {"space": "recorded", "trials": 7, "base": ""}}))
    return run


class Told(Progress):
    """Keeps its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def log(run: Path, take: tuple[str, ...] = ()) -> list[str]:
    """What a driver does that goes on with the run: returns what it says."""
    told = Told()
    ours = Loggers(run, space().bounded({"fid_budget": BUDGET}), Store(run / "artifacts"), told.line)
    for name in take:
        ours.put(name)
    ours.finish()
    return told.lines
