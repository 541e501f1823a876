"""What a sweep spent and what it had for it: time by kind of stage; hypervolume, or the best value, as trials and time went."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep.reading.best import corner
from sweep.reading.sweep import Sweep
from sweep.reading.trial import complete, values_of
from sweep.statistics.estimates import areas

_CORE = " core"  # behind the name of what was prepared, where its seconds are of processor time


def stage_times(sweep: Sweep) -> list[dict[str, Any]]:
    """A row a kind of stage: how many were made and found, and the seconds (wall, core, and the parts of wall) of those made.

    The parts are the procedure's activities; `other` is what is none of them: loading and storing.
    """
    activities = [one.name for one in sweep.columns.activities]
    parts, seconds = [name.removesuffix("_s") for name in activities], ["wall_s", "core_s", *activities]
    table = sweep.stage_columns(["kind", "found", *seconds])
    table = table.set_column(0, "kind", pc.cast(table["kind"], pa.string()))
    table = table.set_column(1, "found", pc.fill_null(table["found"], False))
    sums = table.group_by(["kind", "found"]).aggregate([("kind", "count"), *((s, "sum") for s in seconds)])
    kinds: dict[str, dict[str, Any]] = {}
    for row in sums.to_pylist():
        nothing = dict.fromkeys(("wall", "core", *parts, "other"), 0.0)
        row_of_kind = kinds.setdefault(row["kind"], {"kind": row["kind"], "made": 0, "found": 0} | nothing)
        row_of_kind["found" if row["found"] else "made"] = row["kind_count"]
        if not row["found"]:
            row_of_kind |= {s.removesuffix("_s"): row[f"{s}_sum"] or 0.0 for s in seconds}
            rest = row_of_kind["wall"]
            for part in parts:
                rest -= row_of_kind[part]
            row_of_kind["other"] = max(0.0, rest)
    first = list(sweep.sections.first_stages)
    order = {kind: place - len(first) for place, kind in enumerate(first)}
    return sorted(kinds.values(), key=lambda r: (order.get(r["kind"], 0), -r["wall"], r["kind"]))


def preparing_times(sweep: Sweep) -> list[dict[str, Any]]:
    """A row of everything that was prepared: the elapsed (wall) and processor (core) seconds of it, as far as they are recorded."""
    rows: dict[str, dict[str, Any]] = {}
    for name, seconds in (sweep.prepared.get("seconds") or {}).items():
        if isinstance(seconds, int | float):
            kind = name.removesuffix(_CORE)
            rows.setdefault(kind, {"kind": kind, "wall": None, "core": None})[
                "core" if name.endswith(_CORE) else "wall"
            ] = seconds
    return list(rows.values())


@dataclass(frozen=True)
class Climb:
    """What one arm's search had where it rose, and at the end, by trials of the run told and core-hours spent.

    `volume` is the hypervolume of its search front, or, of one objective, its best value.
    """

    arm: str
    trials: tuple[int, ...]
    core_hours: tuple[float, ...]
    volume: tuple[float, ...]


def climbs(sweep: Sweep) -> tuple[Climb, ...]:
    """How each arm's hypervolume rose as the search went on, or its best value, by the search's own figures.

    Nothing where several objectives have no corner.
    """
    reference = corner(sweep)
    if reference is None and len(sweep.objectives) > 1:
        return ()
    table = sweep.trial_table.filter(pc.is_valid(sweep.trial_table["told_at"]))
    table = table.take(pc.sort_indices(table, sort_keys=[("told_at", "ascending"), ("trial_id", "ascending")]))
    spent = np.cumsum(np.nan_to_num(values_of(table, "core_s"))) / 3600
    trials = np.cumsum([name in sweep.arms for name in table["arm"].to_pylist()])
    signs = np.array([o.sign for o in sweep.objectives])
    costs = np.stack([values_of(table, o.metric) for o in sweep.objectives], axis=1) * signs
    usable = complete(table) & np.isfinite(costs).all(axis=1) & (values_of(table, "feasible") > 0)
    arms = np.array(table["arm"].to_pylist(), dtype=object)
    every = []
    for arm in sweep.arms:
        order = np.flatnonzero(usable & (arms == arm))
        if reference is None or len(signs) == 1:
            rises = [(i, float(signs[0] * costs[i, 0])) for i in _records(costs[:, 0], order)]
        elif len(signs) == 2:
            rises = _rises(costs, order, signs * np.array(reference))
        else:
            rises = _rises_of_many(costs, order, signs * np.array(reference))
        if rises:
            at = [i for i, _ in rises]
            x, hours = [*trials[at].tolist(), int(trials[-1])], [*spent[at].tolist(), float(spent[-1])]
            volumes = [v for _, v in rises]
            every.append(Climb(arm, tuple(x), tuple(hours), (*volumes, volumes[-1])))
    return tuple(every)


def _records(costs: np.ndarray, order: np.ndarray) -> list[int]:
    """The rows of `order` whose cost is less than that of all before."""
    least = np.minimum.accumulate(costs[order])
    return [int(order[i]) for i in np.flatnonzero(np.diff(least, prepend=np.inf) < 0)]


def _rises(costs: np.ndarray, order: np.ndarray, reference: np.ndarray) -> list[tuple[int, float]]:
    """(row, hypervolume) wherever the next trial of `order` joins the front; the front is kept sorted by its first cost."""
    first: list[float] = []
    second: list[float] = []
    rises, before = [], 0.0
    for i in order.tolist():
        a, b = costs[i].tolist()
        at = bisect.bisect_right(first, a)
        if at and second[at - 1] <= b:
            continue  # as good a one is there already
        end = at = bisect.bisect_left(first, a)
        while end < len(first) and second[end] >= b:
            end += 1
        first[at:end], second[at:end] = [a], [b]
        volume = float(areas(np.array([first, second]).T, reference))
        if not math.isclose(volume, before, rel_tol=1e-12):
            rises.append((i, volume))
            before = volume
    return rises


def _rises_of_many(costs: np.ndarray, order: np.ndarray, reference: np.ndarray) -> list[tuple[int, float]]:
    """The same of three or more costs: a trial adds its box up to the corner, less what the front has of it already."""
    front = np.zeros((0, len(reference)))
    rises, volume = [], 0.0
    for i in order.tolist():
        point = costs[i]
        if not (point < reference).all() or (front <= point).all(axis=1).any():
            continue
        volume += float(np.prod(reference - point)) - float(areas(np.maximum(front, point), reference))
        front = np.vstack([front[~(point <= front).all(axis=1)], point])
        rises.append((i, volume))
    return rises
