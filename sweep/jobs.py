"""What is driven and who hears of it: a job (one replicate on its way), what hands jobs out, where they run, what views are told.

A sweep, a track and the benchmarks share it: the driver, terminals and views know each other by these alone.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from sweep import procedures
from sweep.procedures import Spec
from sweep.records import COMPLETE, RUNNING, now, recorded_settings, rows
from sweep.records.names import replicate_name
from sweep.space import CONTROL, Arm, SearchSpace, Settings
from sweep.space.parameters import cell
from sweep.space.question import excesses, feasible


@dataclass
class Job:
    """One replicate of one trial, on its way: its spec, and the rows its reports have brought so far."""

    spec: Any  # a `Spec`
    arm: str
    number: int
    phase: str
    asked_at: dt.datetime
    parameters: Mapping[str, Any] = field(default_factory=dict)  # what the sampler chose
    stages: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    points: set[tuple[Any, ...]] = field(
        default_factory=set
    )  # series, step and metric of those that reports have brought
    figures: dict[str, Any] = field(default_factory=dict)
    stopped_by: str | None = None
    asked_for: frozenset[str] | None = None  # the figures for whose sake it runs, where it gives no others
    every_stage: bool = False  # whether it is decided after each stage if it goes on: each is to be reported as it ends

    @property
    def name(self) -> str:
        return replicate_name(self.spec.trial_id, self.spec.replicate)


@dataclass(frozen=True)
class Ended:
    """What became of a job: its trial's row (search) or its replicate's row (confirm, controls), and its curves."""

    job: Job
    row: dict[str, Any]


class Jobs(Protocol):
    """What is driven: a sweep's agenda, or a track's. One process holds it."""

    running: dict[str, Job]

    @property
    def finished(self) -> bool: ...

    def next_job(self) -> Job | None: ...
    def take(self, name: str, *reports: Mapping[str, Any]) -> Ended | None: ...
    def fail(self, name: str, cause: str) -> Ended: ...
    def close(self) -> None: ...


class SweepJobs(Jobs, Protocol):
    """The jobs of a sweep, with what a terminal asks of them: how far the search is, and what it asks for."""

    @property
    def plan(self) -> Planned: ...
    @property
    def space(self) -> SearchSpace: ...
    @property
    def phase(self) -> str:
        """``search`` or ``confirm``."""
        ...

    @property
    def ended_by(self) -> str:
        """What ended the search; empty while it goes on."""
        ...

    @property
    def total(self) -> int:
        """Trials that the search will run."""
        ...

    @property
    def waiting(self) -> int:
        """What the phase has still to begin."""
        ...


class View(Protocol):
    """What is given every job that ended and is recorded, and is closed once all have. It can be made again from the records."""

    @property
    def name(self) -> str:
        """What a line calls it."""
        ...

    def take(self, ended: Ended) -> None: ...
    def finish(self) -> None: ...


class Place(Protocol):
    """Where jobs run: how many at a time, on what share of a GPU, on which cluster, or in this very process."""

    @property
    def workers(self) -> int: ...
    @property
    def gpus_per_trial(self) -> float: ...
    @property
    def gpu_type(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def in_process(self) -> bool: ...
    @property
    def trial_timeout(self) -> float: ...


class Planned(Protocol):
    """What whoever drives jobs asks of their plan: the run's folder, and where they run."""

    @property
    def run_dir(self) -> str: ...
    @property
    def place(self) -> Place: ...


def replicate_row(job: Job, state: str, cause: str | None, columns: Collection[str]) -> dict[str, Any]:
    """The job's row of the replicates table, with those of its figures that are among the table's columns."""
    started, finished = ([s[at] for s in job.stages] for at in ("started_at", "finished_at"))
    row = identity(job.spec) | {
        "arm": job.arm,
        "method": job.spec.method,
        "seed": job.spec.seed,
        "phase": job.phase,
        "state": state,
        "cause": cause,
        "stopped_by": job.stopped_by,
        "core_s": sum(s["core_s"] for s in job.stages),
        "started_at": min(started, default=None),
        "finished_at": max(finished, default=None),
    }
    return row | {k: v for k, v in job.figures.items() if k in columns}


def trial_row(job: Job, space: SearchSpace, state: str, cause: str | None) -> dict[str, Any]:
    """The job's row of the trials table: what the sampler chose, and what search is told of it."""
    names = procedures.named(space.procedure).columns().names
    figures = {k: v for k, v in job.figures.items() if k in names}
    over = excesses(space, job.figures)
    row = {"trial_id": job.spec.trial_id, "arm": job.arm, "method": job.spec.method, "number": job.number}
    row |= {"state": state, "cause": cause, "stopped_by": job.stopped_by, "asked_at": job.asked_at}
    known = space.parameters()
    row |= {f"param_{k}": cell(known[k], v) for k, v in job.parameters.items()} | figures
    row["settings"] = json.dumps(dict(job.parameters))
    row |= {f"excess_{k}": v for k, v in over.items()}
    if state != RUNNING:
        row["told_at"] = now()
        row["core_s"] = sum(s["core_s"] for s in job.stages)
        row["feasible"] = feasible(space, job.figures)
    return row


def settings_of(arm: Arm, row: Mapping[str, Any]) -> Settings:
    """What the sampler chose, by a row of the trials table: the values that were asked, of the types they had."""
    return arm.check(recorded_settings(row))


def identity(spec: Spec) -> dict[str, Any]:
    return {"trial_id": spec.trial_id, "replicate": spec.replicate}


def add_report(job: Job, report: Mapping[str, Any]) -> None:
    """Add a report's rows to a job's. A restarted process reports its stages again, as found: they are already here."""
    if report["stage"] and report["stage"]["key"] not in {s["key"] for s in job.stages}:
        job.stages.append(_stage_row(job.spec, report["stage"]) | {"points": len(report["curves"])})
    columns = procedures.named(job.spec.procedure).columns()
    at = (columns.series, columns.step, "metric")
    for row in report["curves"]:
        point = tuple(row[name] for name in at)
        if point not in job.points:
            job.points.add(point)
            job.curves.append(identity(job.spec) | row)
    job.figures |= report["figures"]


def with_past(run_dir: Path, job: Job) -> Job:
    """The job with the stage rows an earlier driver recorded, so that what was made is not forgotten when it is found."""
    return replace(job, stages=[s for s in rows(run_dir, "stages", job.name) if not s["found"]])


def fault(job: Job, state: str, asked: Iterable[str], asker: str) -> str:
    """Which of the figures that are asked for an ended job has as no finite number, or lacks; empty where there is none.

    One that was stopped need not have them all, nor need a control: it is what others are held against.
    """
    for metric in dict.fromkeys(asked):
        value = job.figures.get(metric)
        if value is None and (state != COMPLETE or job.arm == CONTROL):
            continue
        if value is None:
            return f"{metric} is missing: no metric gave it, and {asker} asks for it"
        if not math.isfinite(value):
            return f"{metric} is {value}, not finite, and {asker} asks for it"
    return ""


def _stage_row(spec: Spec, stage: Mapping[str, Any]) -> dict[str, Any]:
    times = {k: dt.datetime.fromtimestamp(stage[k], dt.UTC) for k in ("started_at", "finished_at")}
    return identity(spec) | dict(stage) | times
