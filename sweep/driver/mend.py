"""Rows that a run's tables lack of replicates that ended: a damaged file held them. They are read again from the artifacts.

`sweep.repair` does it, and so does every ``--resume``: a trial that has ended is in all tables, or it is made again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep import records
from sweep.driver.confirmation import asked_of, given_figures
from sweep.jobs import Job, replicate_row, settings_of, trial_row
from sweep.procedures import Specs, Tell
from sweep.reading.asked import Asked
from sweep.records import COMPLETE, FAIL, GATE, PRUNED, RUNNING
from sweep.records.damage import Damaged, damaged_files, set_aside
from sweep.records.names import name_of, parts_of, replicate_name, replicate_of, trial_of
from sweep.space import CONTROL, SearchSpace

Row = dict[str, Any]


@dataclass
class Rows:
    """What the tables hold: trials by id, replicates by name, and the names that have curves and stages."""

    trials: dict[str, Row]
    replicates: dict[str, Row]
    curves: set[str]
    stages: dict[str, list[Row]]

    @classmethod
    def of(cls, run: Path) -> Rows:
        stages: dict[str, list[Row]] = {}
        for row in records.rows(run, "stages"):
            stages.setdefault(name_of(row), []).append(row)
        return cls(
            {r["trial_id"]: r for r in records.rows(run, "trials")},
            {name_of(r): r for r in records.rows(run, "replicates")},
            {name_of(r) for r in records.rows(run, "curves")},
            stages,
        )

    def incomplete(self) -> list[str]:
        """Replicates of which some table has rows and another lacks them, though they ended."""
        every = sorted(
            {*(replicate_name(trial_id, 0) for trial_id in self.trials), *self.replicates, *self.curves, *self.stages}
        )
        return [name for name in every if self._lacks(name)]

    def _lacks(self, name: str) -> bool:
        replicate = self.replicates.get(name)
        if is_search(name):
            trial = self.trials.get(trial_of(name))
            if trial is None:
                return True
            if trial["state"] == RUNNING:
                return False  # --resume goes on with it
            if replicate is None or replicate["state"] != trial["state"]:
                return True
        elif replicate is None:
            return True
        if replicate is None or replicate["state"] not in (COMPLETE, PRUNED):
            return False
        return name not in self.stages or (name not in self.curves and self._has_points(name, replicate["state"]))

    def _has_points(self, name: str, state: str) -> bool:
        """Whether curves of the replicate were recorded: a gate may stop a trial at a glance, which gives none."""
        points = [row.get("points") for row in self.stages[name]]
        if None in points:  # a run of schema 3 or before
            return state == COMPLETE
        return any(points)


@dataclass
class Repair:
    """What a repair did, or would do."""

    damaged: list[str] = field(default_factory=list)
    rebuilt: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # to --resume
    other_code: bool = False  # made the run: this code can neither read its artifacts again nor go on with it


def set_tables_aside(run: Path, done: Repair, tell: Tell) -> None:
    """Move the tables' damaged files to ``RUN/damaged/``; which rows they held `mend_rows` knows by the other tables."""
    for damaged in damaged_files(run):
        if damaged.table:
            set_one_aside(run, damaged, done, tell)


def set_one_aside(run: Path, damaged: Damaged, done: Repair, tell: Tell) -> None:
    where = set_aside(run, damaged)
    done.damaged.append(f"{damaged.file}: damaged ({damaged.why}); moved to {where}")
    tell(done.damaged[-1])


def mend_rows(run: Path, space: SearchSpace, specs: Specs, done: Repair, tell: Tell) -> None:
    """Write again what the tables lack of replicates that ended, for the one process that holds the run."""
    from sweep.driver.replay import replay

    known = Rows.of(run)
    names = known.incomplete()
    if not names:
        return
    writer = records.Writer(run, records.schemas(space))
    columns, bench, asked = frozenset(writer.schemas["replicates"].names), None, asked_of(run)
    for name in names:
        job = job_of(name, known, space, specs, asked)
        if job is None:
            done.left.append(f"{name}: its parameters are lost; --resume asks for the trial again")
            continue
        trial = known.trials.get(job.spec.trial_id) if is_search(name) else None
        job.stages = known.stages.get(name, [])
        state, cause, bench = replay(job, bench)
        row_before = trial or known.replicates.get(name, {})
        if row_before.get("state") == FAIL or (row_before.get("state") == PRUNED and job.figures):
            state, cause = row_before["state"], row_before["cause"]
        if state == PRUNED:
            job.stopped_by = row_before.get("stopped_by") or GATE
        if state is None:
            done.left.append(f"{name}: not all of its artifacts are there; --resume makes it again")
            if trial is not None and trial["state"] != RUNNING:  # else it would count as ended, without its rows
                writer.trial(trial | {"state": RUNNING, "cause": None, "stopped_by": None, "told_at": None})
            continue
        row = replicate_row(job, state, cause, columns)
        writer.replicate(row, job.curves, job.stages)
        if is_search(name) and trial is None:
            at = {"asked_at": row["started_at"], "told_at": row["finished_at"]}
            writer.trial(trial_row(job, space, state, cause) | at)
        done.rebuilt.append(f"{name}: read again from its artifacts")
        tell(done.rebuilt[-1])
    for line in done.left:
        tell(line)


def job_of(name: str, known: Rows, space: SearchSpace, specs: Specs, asked: Asked) -> Job | None:
    """Make the job of a recorded replicate again, by its name, of the settings that some table holds; None where all lost them."""
    trial_id, replicate = replicate_of(name)
    arm_name, number = parts_of(trial_id)
    phase, now = "search" if replicate == 0 else "confirm", records.now()
    if arm_name == CONTROL:
        return Job(specs.of_control(number, replicate), CONTROL, 0, phase, now)
    arm = space.arm(arm_name)
    if trial_id in known.trials:
        settings: Any = settings_of(arm, known.trials[trial_id])
    else:
        rows = [known.replicates.get(name), *(r for r in known.replicates.values() if r["trial_id"] == trial_id)]
        candidates = [specs.parameters_of(arm, r) for r in rows if r]
        settings = next((arm.check(f) for f in candidates if f is not None), None)
    if settings is None:
        return None
    spec = specs.of(trial_id, replicate, arm, settings, gate=replicate == 0)
    figures = asked.figures(name)
    if figures is None and name not in asked.recorded and name in known.replicates:  # what was asked of it may be lost
        figures = given_figures(space, known.replicates[name])
    if figures is not None:
        spec, part = specs.reduced(spec, arm, figures)
        figures = figures if part < 1 else None
    return Job(spec, arm_name, int(number), phase, now, settings, asked_for=figures)


def is_search(name: str) -> bool:
    """Whether the replicate of this name is the search's own."""
    return name == replicate_name(trial_of(name), 0)
