"""What the terminal shows while a sweep runs: plain lines, each with the time since the start."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from sweep.records import COMPLETE, CONTROL, PRUNED, RUNNING

if TYPE_CHECKING:  # the first line is printed before torch and Optuna are imported
    from sweep.agenda import Agenda, Ended

_STATE_WORDS = {COMPLETE: "done", PRUNED: "gated"}
_HEARTBEAT_S = 15.0


class Progress:
    """Prints what begins, what ended and, while nothing ends, what is being done."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream, self._start, self._last = stream, time.monotonic(), 0.0
        self._front: list[tuple[str, float, float]] = []
        self._ended = 0

    def line(self, text: str) -> None:
        elapsed = time.monotonic() - self._start
        self._last = time.monotonic()
        print(f"[{elapsed // 60:3.0f}:{elapsed % 60:02.0f}] {text}", file=self._stream, flush=True)

    def go_on(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count the finished trials of an earlier driver, and take up its front."""
        for row in rows:
            if row["arm"] != CONTROL and row["state"] != RUNNING:
                self._ended += 1
                if row["state"] == COMPLETE and row["feasible"]:
                    self._extend_front(row, quiet=True)

    def quiet_for(self) -> float:
        """Seconds since the last line."""
        return time.monotonic() - self._last

    def heartbeat(self, agenda: Agenda) -> None:
        """What is running, if nothing has been said for a while."""
        if self.quiet_for() >= _HEARTBEAT_S:
            stages = [f"{n} ({j.stages[-1]['stage'] if j.stages else 'starting'})" for n, j in agenda.running.items()]
            self.line("running: " + (", ".join(stages) or "waiting for a worker"))

    def ended(self, ended: Ended, agenda: Agenda) -> None:
        """One line for a trial or replicate that is over, and one for the front whenever it changed."""
        job, row = ended.job, ended.row
        state = _STATE_WORDS.get(row["state"], "FAILED")
        self._ended += job.phase == "search" and job.arm != CONTROL
        count = f"{self._ended}/{agenda.total} " if job.phase == "search" and job.arm != CONTROL else ""
        self.line(f"{count}{job.name:18s} {state:6s} {_figures(row)}{'  ' + row['cause'] if row['cause'] else ''}")
        if job.phase == "search" and job.arm != CONTROL and row["state"] == COMPLETE and row["feasible"]:
            self._extend_front(row)

    def _extend_front(self, row: Mapping[str, Any], quiet: bool = False) -> None:
        point = (row["trial_id"], row["robustness"], row["fid_delta"])
        if any(r >= point[1] and f <= point[2] for _, r, f in self._front):
            return
        kept = [p for p in self._front if not (point[1] >= p[1] and point[2] <= p[2])]
        self._front = sorted([*kept, point], key=lambda p: p[2])
        if quiet:
            return
        shown = "; ".join(f"{t}: robustness {r:.3f} at fid_delta {f:+.1f}" for t, r, f in self._front)
        self.line(f"front so far, all arms: {shown}")


def _figures(row: Mapping[str, Any]) -> str:
    names = {
        "robustness": "robustness",
        "fid_delta": "fid_delta",
        "unlearning_accuracy": "UA",
        "retain_accuracy": "retain",
    }
    return "  ".join(f"{short} {row[name]:.3f}" for name, short in names.items() if row.get(name) is not None)
