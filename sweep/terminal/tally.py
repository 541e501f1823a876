"""How far a running sweep is: its trials by what became of them, the front so far, what was spent, how long is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.records import COMPLETE, DOMINATION, FAIL, PRUNED, RUNNING
from sweep.space import CONTROL, Objective
from sweep.statistics.estimates import nondominated

if TYPE_CHECKING:  # what the terminal shows first is shown before torch and Optuna are imported
    from sweep.jobs import Ended, Job, SweepJobs

FEASIBLE, INFEASIBLE, GATED, DOMINATED, FAILED = "feasible", "infeasible", "gated", "dominated", "failed"
Point = tuple[Any, ...]  # a trial's id and its objectives, in their order
OUTCOMES = (FEASIBLE, INFEASIBLE, GATED, DOMINATED, FAILED)


class Tally:
    """Counts the search's trials by what became of them, and sums the times and core-hours of everything this driver ran.

    Controls are not counted.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.front: list[Point] = []  # by the second objective, where there is one
        self.jobs: SweepJobs | None = None
        self._core_s, self._wall_s = 0.0, 0.0
        self._seen: dict[str, float] = {}
        self._took: dict[str, list[float]] = {}  # by phase, the wall seconds of each replicate that ended

    @property
    def ended(self) -> int:
        return self.outcomes.total()

    def go_on(self, rows: Iterable[Mapping[str, Any]], objectives: Sequence[Objective]) -> None:
        """Count the finished trials of an earlier driver, and take up its front."""
        for row in rows:
            if row["arm"] != CONTROL and row["state"] != RUNNING:
                self._count(row, objectives)

    def take(self, ended: Ended, jobs: SweepJobs) -> bool:
        """Count a trial or replicate that is over; whether the front has changed."""
        job, row, self.jobs = ended.job, ended.row, jobs
        core_s, wall_s = _spent(job)
        self._core_s, self._wall_s = self._core_s + core_s, self._wall_s + wall_s
        self._took.setdefault(job.phase, []).append(wall_s)
        return job.phase == "search" and job.arm != CONTROL and self._count(row, jobs.space.objectives)

    def counts(self) -> dict[str, int]:
        """Trials running and waiting, and those that ended, by outcome; confirm replicates run and wait like trials."""
        running = waiting = 0
        if self.jobs:
            running, waiting = len(self.jobs.running), self.jobs.waiting
        return {"running": running, "waiting": waiting} | {name: self.outcomes[name] for name in OUTCOMES}

    def core_hours(self) -> float:
        return (self._core_s + sum(_spent(j)[0] for j in self._running())) / 3600

    def gpu_hours(self) -> float:
        """Elapsed hours of stages times the share of a GPU that each held; 0 on CPUs."""
        if self.jobs is None:
            return 0.0
        share = self.jobs.plan.place.gpus_per_trial
        return share * (self._wall_s + sum(_spent(j)[1] for j in self._running())) / 3600

    def left_s(self) -> float | None:
        """Seconds that this phase still takes, if what is left takes as long as what ended; None before anything has."""
        if self.jobs is None or not (took := self._took.get(self.jobs.phase)):
            return None
        mean = float(np.mean(took))
        going = sum(max(0.0, mean - self.running_s(j)) for j in self._running())
        return (going + mean * self.jobs.waiting) / max(self.jobs.plan.place.workers, 1)

    def running_s(self, job: Job) -> float:
        """Seconds since the job was first seen here to run: jobs that confirm are all made long before most begin."""
        return time.monotonic() - self._seen.setdefault(job.name, time.monotonic())

    def _running(self) -> list[Job]:
        return list(self.jobs.running.values()) if self.jobs else []

    def _count(self, row: Mapping[str, Any], objectives: Sequence[Objective]) -> bool:
        self.outcomes[outcome(row)] += 1
        return outcome(row) == FEASIBLE and self._extend(row, objectives)

    def _extend(self, row: Mapping[str, Any], objectives: Sequence[Objective]) -> bool:
        point = (row["trial_id"], *(row[o.metric] for o in objectives))
        if point[1:] in [p[1:] for p in self.front]:
            return False
        points = [*self.front, point]
        on = nondominated(np.array([p[1:] for p in points]), [o.direction for o in objectives])
        if on[-1]:
            self.front = sorted((p for p, kept in zip(points, on, strict=True) if kept), key=lambda p: p[1:3][-1])
        return bool(on[-1])


def outcome(row: Mapping[str, Any]) -> str:
    """What became of a trial, by its row: one of OUTCOMES."""
    if row["state"] == COMPLETE:
        return FEASIBLE if row["feasible"] else INFEASIBLE
    if row["state"] == PRUNED:
        return DOMINATED if row["stopped_by"] == DOMINATION else GATED
    assert row["state"] == FAIL, "a trial that ended is COMPLETE, PRUNED or FAIL"
    return FAILED


def _spent(job: Job) -> tuple[float, float]:
    """Core and wall seconds of the job's stages that were made here."""
    made = [s for s in list(job.stages) if not s["found"]]
    return sum(s["core_s"] for s in made), sum(s["wall_s"] for s in made)
