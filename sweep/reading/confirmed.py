"""The confirmed trials of a run as a table: a row a trial, every figure's mean over the fresh seeds with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from sweep.procedures.columns import WORD, column, facts_of
from sweep.reading.sweep import Sweep
from sweep.records import NothingRecorded


def confirmed_table(sweep: Sweep) -> pa.Table:
    """Of every arm and the controls, as many columns as the run's figures and constraints ask for.

    A figure's own column is its mean; behind it are the ends of the 95 % interval, null where one seed gives none, and on how
    many seeds it is: a replicate for the sake of a bound gives no other figure.
    NothingRecorded where nothing was confirmed.
    """
    rows = list(_rows(sweep))
    if not rows:
        raise NothingRecorded(f"{sweep.run}: nothing is confirmed yet")
    return pa.Table.from_pylist(rows, schema=_schema(sweep))


def _rows(sweep: Sweep) -> Iterator[dict[str, Any]]:
    seeds = Counter(trial_id for trial_id, _ in sweep.seeds())
    trials = [trial for arm in sweep.arms.values() for trial in arm.confirmed_members]
    controls = [control for control in sweep.controls.values() if control.confirmed is not None]
    for trial in (*trials, *controls):
        row: dict[str, Any] = {
            "trial_id": trial.trial_id,
            "arm": trial.arm,
            "method": trial.method,
            "seeds": seeds[trial.trial_id],
            "feasible": trial.feasible if trial in trials else None,
            "on_front": trial.on_front,
        }
        for name, estimate in (trial.confirmed or {}).items():
            row |= {name: estimate.mean, f"{name}_lower": estimate.lower, f"{name}_upper": estimate.upper}
            row[f"{name}_seeds"] = estimate.n
        yield row | {f"within_{name}": chance for name, chance in trial.within.items()}


def _schema(sweep: Sweep) -> pa.Schema:
    fields = [
        column("trial_id", pa.string(), "ARM-NUMBER, or the control's name"),
        column("arm", WORD, "arm of the search space, or 'control'"),
        column("method", WORD, "its method; 'none' for a control"),
        column(
            "seeds",
            pa.int32(),
            "fresh seeds that it was run on, for the sake of some figures alone perhaps: see NAME_seeds of each",
        ),
        column("feasible", pa.bool_(), "whether the means keep every constraint; null of a control"),
        column("on_front", pa.bool_(), "whether it is on its arm's confirmed front"),
    ]
    for field in sweep.columns.fields:
        facts = facts_of(field)
        if field.name not in sweep.columns.quantities:
            continue
        description, unit, direction = (facts.get(fact, "") for fact in ("description", "unit", "direction"))
        fields.append(column(field.name, pa.float64(), f"mean over the seeds: {description}", unit, direction))
        for end in ("lower", "upper"):
            fields.append(column(f"{field.name}_{end}", pa.float64(), f"{end} end of its 95 % interval", unit))
        fields.append(column(f"{field.name}_seeds", pa.int32(), "fresh seeds that it is the mean over"))
    for constraint in sweep.constraints:
        what = f"probability that the mean over all seeds keeps the bound on {constraint.metric} ({constraint.side})"
        fields.append(column(f"within_{constraint.name}", pa.float64(), what, "share"))
    return pa.schema(fields)
