"""Trials and replicates that did not complete, by cause: what differs in numbers only is one cause."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow.compute as pc

from sweep.reading.sweep import Sweep
from sweep.reading.trial import Row
from sweep.records import COMPLETE, PRUNED, RUNNING

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")
NAMED = 6  # trials that a cause is shown with
LISTED = 200  # trials listed one by one


@dataclass(frozen=True)
class Cause:
    """Why some trials ended early: one of their causes as recorded, how many there are, and the first of them by name."""

    state: str  # stopped early or failed
    cause: str
    count: int
    trials: tuple[Row, ...]  # trial_id and replicate


@dataclass(frozen=True)
class Failures:
    """Causes, the most frequent first within a state, failures first; the first of the rows themselves; how many there are."""

    causes: tuple[Cause, ...]
    rows: tuple[Row, ...]
    total: int


def failures(sweep: Sweep) -> Failures:
    """Everything of a run that ended and did not complete, controls and the confirm phase's replicates included."""
    columns = ["trial_id", "state", "cause"]
    ended = sweep.trial_table.select(columns).filter(~pc.field("state").isin([COMPLETE, RUNNING]))
    trials = [row | {"replicate": 0} for row in ended.to_pylist()]
    again = [
        {"trial_id": r["trial_id"], "state": r["state"], "cause": r["cause"], "replicate": r["replicate"]}
        for r in sweep.confirm_rows
        if r["state"] not in (COMPLETE, RUNNING)
    ]
    rows = [*trials, *again]
    return Failures(_causes(rows), tuple(rows[:LISTED]), len(rows))


def _causes(rows: Iterable[Row]) -> tuple[Cause, ...]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        outcome = "stopped early" if row["state"] == PRUNED else "failed"
        groups.setdefault((outcome, _NUMBER.sub("…", row["cause"] or "")), []).append(row)
    order = sorted(groups.items(), key=lambda g: (g[0][0] != "failed", -len(g[1]), g[0][1]))
    return tuple(
        Cause(state, alike[0]["cause"] or "no cause recorded", len(alike), tuple(alike[:NAMED]))
        for (state, _), alike in order
    )
