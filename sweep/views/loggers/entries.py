"""What a logger is given of one replicate, and of the sweep: read from the records, whoever drove it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweep import records
from sweep.page.figures import front_figure, image_grid, png_bytes
from sweep.reading.best import front_hypervolume
from sweep.reading.ending import Ending
from sweep.reading.sweep import read_sweep
from sweep.records import FAIL, figure_columns
from sweep.records.names import name_of
from sweep.space import SearchSpace
from sweep.space.question import feasible
from sweep.views.curve_points import scalars
from sweep.views.pictures import sample_grids
from trainables.store import Store

Number = int | float

_TAGS = ("trial_id", "replicate", "arm", "method", "phase", "state", "cause")
_FACTS = (
    "seed",
    "samples_forgotten",
    "samples_per_retained",
    "sampler",
    "feature_network",
    "feature_network_hash",
    "reference",
    "base_model",
    "unlearned_model",
    "code_version",
    "device",
)  # what its figures depend on


@dataclass(frozen=True)
class Entry:
    """One replicate that ended. Its name is TRIAL-rN; a tag or parameter that it does not have is left out."""

    name: str
    parameters: dict[str, Any]  # what the sampler chose
    tags: dict[str, str]  # trial_id, arm, state, cause, feasible …
    facts: dict[str, Any]  # what its figures depend on: seed, N, sampler …
    figures: dict[str, Number]  # of the replicate as a whole, as its row has them
    curves: list[tuple[str, int, float]]  # (METRIC/ATTACK, attack step, value), step 0 before any
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
    figures: dict[str, Number]  # hypervolume/ARM, and how many trials ended how
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
    tags = {t: str(row[t]) for t in _TAGS if row.get(t) is not None}
    tags["feasible"] = "not scored" if verdict is None else str(verdict).lower()
    return Entry(
        name,
        parameters=records.recorded_settings(trial),
        tags=tags,
        facts={f: row[f] for f in _FACTS if row.get(f) is not None},
        figures={
            f.name: row[f.name] for f in figure_columns() if row.get(f.name) is not None and math.isfinite(row[f.name])
        },
        curves=sorted(scalars([c | {"replicate": 0} for c in curves])),
        pictures=_pictures(row, curves, space.rungs[-1], store),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )


def whole(run_dir: Path) -> Whole:
    """The sweep as its front tells it."""
    sweep = read_sweep(run_dir)
    winner = Ending(sweep).winner
    figures: dict[str, Number] = {}
    for name, arm in sweep.arms.items():
        volume = front_hypervolume(sweep, name)
        figures |= {f"hypervolume/{name}": volume} if volume is not None else {}
        figures |= {f"trials/{name}/{how}": n for how, n in arm.counts.items()}
    tags = {"state": str(sweep.status.get("state", "")), "winner": winner.trial_id if winner else "none"}
    return Whole(tags, figures, png_bytes(front_figure(sweep)))


def _pictures(row: Mapping[str, Any], curves: list[dict[str, Any]], last: int, store: Store) -> dict[str, np.ndarray]:
    """Grids of the search's samples; those of confirm replicates would be the same kinds of picture once more."""
    if row["replicate"]:
        return {}
    told = {}
    for key, what, _ in sample_grids(row, curves, last):
        found = store.find(key)
        for condition, images in (found.tensors() if found else {}).items():
            told[f"{what}/{condition}"] = image_grid(images)
    return told
