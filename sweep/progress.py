"""What the terminal shows while a sweep runs: plain lines, each with the time since the start."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from sweep.estimates import nondominated
from sweep.records import COMPLETE, PRUNED, RUNNING, fact
from sweep.space import CONTROL, Objective

if TYPE_CHECKING:  # the first line is printed before torch and Optuna are imported
    from sweep.agenda import Agenda
    from sweep.jobs import Ended, Jobs

_STATE_WORDS = {COMPLETE: "done", PRUNED: "stopped"}
_HEARTBEAT_S = 15.0


class Progress:
    """Prints what begins, what ended and, while nothing ends, what is being done."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream, self._start, self._last = stream, time.monotonic(), 0.0
        self._front: list[tuple[str, float, float]] = []  # trial, first and second objective
        self._ended = 0
        self._told_end = False

    def line(self, text: str) -> None:
        elapsed = time.monotonic() - self._start
        self._last = time.monotonic()
        print(f"[{elapsed // 60:3.0f}:{elapsed % 60:02.0f}] {text}", file=self._stream, flush=True)

    def go_on(self, rows: Iterable[Mapping[str, Any]], objectives: Sequence[Objective]) -> None:
        """Count the finished trials of an earlier driver, and take up its front."""
        for row in rows:
            if row["arm"] != CONTROL and row["state"] != RUNNING:
                self._ended += 1
                if row["state"] == COMPLETE and row["feasible"]:
                    self._extend_front(row, objectives, quiet=True)

    def quiet_for(self) -> float:
        """Seconds since the last line."""
        return time.monotonic() - self._last

    def heartbeat(self, agenda: Jobs) -> None:
        """What is running, if nothing has been said for a while."""
        if self.quiet_for() >= _HEARTBEAT_S:
            stages = [f"{n} ({j.stages[-1]['stage'] if j.stages else 'starting'})" for n, j in agenda.running.items()]
            self.line("running: " + (", ".join(stages) or "waiting for a worker"))

    def ended(self, ended: Ended, agenda: Agenda) -> None:
        """One line for a trial or replicate that is over, and one for the front whenever it changed."""
        job, row = ended.job, ended.row
        if agenda.ended_by and not self._told_end:
            self._told_end = True
            self.line(f"search ended by {agenda.ended_by}")
        state = _STATE_WORDS.get(row["state"], "FAILED")
        self._ended += job.phase == "search" and job.arm != CONTROL
        count = f"{self._ended}/{agenda.total} " if job.phase == "search" and job.arm != CONTROL else ""
        told = _figures(row, agenda.space.objectives)
        self.line(f"{count}{job.name:18s} {state:6s} {told}{'  ' + row['cause'] if row['cause'] else ''}")
        if job.phase == "search" and job.arm != CONTROL and row["state"] == COMPLETE and row["feasible"]:
            self._extend_front(row, agenda.space.objectives)

    def _extend_front(self, row: Mapping[str, Any], objectives: Sequence[Objective], quiet: bool = False) -> None:
        first, second = objectives
        point = (row["trial_id"], row[first.metric], row[second.metric])
        if point[1:] in [p[1:] for p in self._front]:
            return
        points = [*self._front, point]
        on = nondominated(np.array([p[1:] for p in points]), [o.direction for o in objectives])
        if not on[-1]:
            return
        self._front = sorted((p for p, kept in zip(points, on, strict=True) if kept), key=lambda p: p[2])
        if quiet:
            return
        told = "{:.3f}" if fact(second.metric, "unit") == "share" else "{:+.1f}"
        shown = "; ".join(f"{t}: {first.metric} {r:.3f} at {second.metric} {told.format(f)}" for t, r, f in self._front)
        self.line(f"front so far, all arms: {shown}")


def _figures(row: Mapping[str, Any], objectives: Sequence[Objective]) -> str:
    names = {o.metric: o.metric for o in objectives} | {
        "robustness": "robustness",
        "fid_delta": "fid_delta",
        "unlearning_accuracy": "UA",
        "retain_accuracy": "retain",
    }
    return "  ".join(f"{short} {row[name]:.3f}" for name, short in names.items() if row.get(name) is not None)
