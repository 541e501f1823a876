"""When each replicate ran, and on which worker: stretches of time on lanes, one lane for processes that follow one another."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sweep.reading.sweep import Sweep

_PLACE = ("node", "pid")


@dataclass(frozen=True)
class Stretch:
    """From when to when a process made stages of a replicate, in seconds since the first of the run; by its worker's number."""

    trial_id: str
    replicate: int
    worker: int
    began: float
    ended: float


@dataclass(frozen=True)
class Timeline:
    """The stretches of a run in order of their beginning; `workers` are hosts with a number each, `start` the first's beginning."""

    start: str
    workers: tuple[str, ...]
    stretches: tuple[Stretch, ...]


def timeline(sweep: Sweep) -> Timeline | None:
    """Of all stages that were made; None where none was, or no process is recorded."""
    table = sweep.stage_columns(["trial_id", "replicate", "found", "started_at", "finished_at", *_PLACE])
    made = pc.and_(pc.invert(pc.fill_null(table["found"], False)), pc.is_valid(table["pid"]))
    table = table.filter(pc.and_(made, pc.and_(pc.is_valid(table["started_at"]), pc.is_valid(table["finished_at"]))))
    if not table.num_rows:
        return None
    node = pc.fill_null(pc.cast(table["node"], pa.string()), "")
    table = table.set_column(table.column_names.index("node"), "node", node)
    rows = table.group_by(["trial_id", "replicate", *_PLACE]).aggregate([("started_at", "min"), ("finished_at", "max")])
    processes = rows.sort_by([("started_at_min", "ascending"), ("trial_id", "ascending")]).to_pylist()
    workers, names = _workers(processes)
    first = processes[0]["started_at_min"]
    return Timeline(
        first.isoformat(),
        names,
        tuple(
            Stretch(
                row["trial_id"],
                row["replicate"],
                workers[row["node"], row["pid"]],
                (row["started_at_min"] - first).total_seconds(),
                (row["finished_at_max"] - first).total_seconds(),
            )
            for row in processes
        ),
    )


def _workers(rows: list[dict[str, Any]]) -> tuple[dict[tuple[str, int], int], tuple[str, ...]]:
    """The worker of each process, and their names: a process takes the lane of one of its host that had ended before it began."""
    spans: dict[tuple[str, int], list[Any]] = {}
    for row in rows:
        span = spans.setdefault((row["node"], row["pid"]), [row["started_at_min"], row["finished_at_max"]])
        span[1] = max(span[1], row["finished_at_max"])
    lanes: dict[str, list[tuple[Any, int]]] = {}  # by host, when each of its lanes is free
    places: dict[tuple[str, int], tuple[str, int]] = {}
    for process, (began, ended) in spans.items():
        free = lanes.setdefault(process[0], [])
        lane = heapq.heappop(free)[1] if free and free[0][0] <= began else len(free)
        heapq.heappush(free, (ended, lane))
        places[process] = (process[0], lane)
    order = sorted(set(places.values()))
    numbers = {place: i for i, place in enumerate(order)}
    return (
        {process: numbers[place] for process, place in places.items()},
        tuple(f"{host or 'unknown host'}, worker {lane + 1}" for host, lane in order),
    )
