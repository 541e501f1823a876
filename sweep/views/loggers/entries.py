"""What a logger is given of one replicate, and of the sweep: read from the records, whoever drove it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweep import procedures, records
from sweep.page.figures import front_figure, image_grid, png_bytes
from sweep.procedures import Procedure
from sweep.procedures.traces import Picture
from sweep.reading.best import front_hypervolume, leader
from sweep.reading.ending import Ending
from sweep.reading.sweep import Sweep, read_sweep
from sweep.records import FAIL
from sweep.records.names import name_of
from sweep.space import SearchSpace
from sweep.space.question import feasible
from sweep.views.curve_points import scalars
from trainables.store import Store

Number = int | float

_TAGS = ("trial_id", "replicate", "arm", "method", "phase", "state", "cause")


@dataclass(frozen=True)
class Entry:
    """One replicate that ended. Its name is TRIAL-rN; a tag or parameter that it does not have is left out."""

    name: str
    parameters: dict[str, Any]  # what the sampler chose
    tags: dict[str, str]  # trial_id, arm, state, cause, feasible …
    facts: dict[str, Any]  # what its figures depend on: seed, code version, device …
    figures: dict[str, Number]  # of the replicate as a whole, as its row has them
    curves: list[tuple[str, int, float]]  # (METRIC/SERIES, step, value)
    step: str  # what the curves' steps are called
    pictures: dict[str, np.ndarray]  # by WHAT/CONDITION, a grid (h, w) or (h, w, 3) uint8
    started_at: dt.datetime | None
    finished_at: dt.datetime | None

    @property
    def failed(self) -> bool:
        return self.tags["state"] == FAIL


@dataclass(frozen=True)
class Whole:
    """What is said of a sweep that is over."""

    tags: dict[str, str]  # state, winner
    figures: dict[str, Number]  # hypervolume/ARM, of one objective best_METRIC/ARM, and how many trials ended how
    front: bytes  # the plot, a PNG


def ended_names(run_dir: Path) -> list[str]:
    """TRIAL-rN of every replicate that ended, in the order of their ends."""
    rows = [r for r in records.rows(run_dir, "replicates") if r["state"] != records.RUNNING]
    return [
        name_of(r) for r in sorted(rows, key=lambda r: (r["finished_at"] is None, r["finished_at"] or r["trial_id"]))
    ]


def entry(run_dir: Path, name: str, space: SearchSpace, store: Store) -> Entry:
    """The replicate called `name`, as it is recorded."""
    (row,) = records.rows(run_dir, "replicates", name)
    curves = records.rows(run_dir, "curves", name)
    trial = next(iter(records.rows(run_dir, "trials", row["trial_id"])), {})
    verdict = feasible(space, row)
    procedure = procedures.named(space.procedure)
    columns, pictures = procedure.columns(), procedure.traces().pictures(space, row, curves)
    if row["replicate"]:  # on another seed they would show the same once more
        pictures = ()
    tags = {t: str(row[t]) for t in _TAGS if row.get(t) is not None}
    tags["feasible"] = "not scored" if verdict is None else str(verdict).lower()
    return Entry(
        name,
        parameters=records.recorded_settings(trial),
        tags=tags,
        facts={f: row[f] for f in _facts(procedure) if row.get(f) is not None},
        figures={name: row[name] for name in columns.names if row.get(name) is not None and math.isfinite(row[name])},
        curves=sorted(scalars(procedure, [c | {"replicate": 0} for c in curves])),
        step=columns.step,
        pictures=_grids(pictures, store),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )


def whole(run_dir: Path) -> Whole:
    """The sweep as its front tells it."""
    sweep = read_sweep(run_dir)
    winner = Ending(sweep).winner
    figures: dict[str, Number] = {}
    for name, arm in sweep.arms.items():
        figures |= _reached(sweep, name)
        figures |= {f"trials/{name}/{how}": n for how, n in arm.counts.items()}
    tags = {"state": str(sweep.status.get("state", "")), "winner": winner.trial_id if winner else "none"}
    return Whole(tags, figures, png_bytes(front_figure(sweep)))


def _reached(sweep: Sweep, arm: str) -> dict[str, Number]:
    """How far an arm came: the hypervolume of its front, or, of one objective, its best value; nothing before there is any."""
    if len(sweep.objectives) == 1:
        metric, best = sweep.objectives[0].metric, leader(sweep, arm)
        value = best.value(metric) if best and best.feasible else None
        return {f"best_{metric}/{arm}": value} if value is not None else {}
    volume = front_hypervolume(sweep, arm)
    return {f"hypervolume/{arm}": volume} if volume is not None else {}


def _facts(procedure: Procedure) -> list[str]:
    """Columns of the replicates that say what their figures depend on, in the order of the table."""
    columns = procedure.columns()
    names = {*columns.conditions, *procedure.traces().facts()}
    return ["seed", *(one.name for one in columns.dependencies if one.name in names), "code_version", "device"]


def _grids(pictures: Iterable[Picture], store: Store) -> dict[str, np.ndarray]:
    """By WHAT/CONDITION, a grid of each picture that is in the store."""
    grids = {}
    for key, what, _ in pictures:
        artifact = store.find(key)
        for condition, images in (artifact.tensors() if artifact else {}).items():
            grids[f"{what}/{condition}"] = image_grid(images)
    return grids
