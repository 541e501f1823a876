"""A run as its reader sees it, read from its records: its arms with their fronts, its controls, its tables.

The search front is the feasible, non-dominated COMPLETE trials on the search's one seed; the confirmed front is made of
means over the confirm phase's fresh seeds, with intervals. The confirmed one is what is reported: a
search picks winners, and a winner's search figure is biased upwards by the picking.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from sweep.errors import UsageError
from sweep.reading.arm import ArmFront, arm_of
from sweep.reading.samples import COUNTED_BY, CURVE_COLUMNS, Counts, counts_of, points_of
from sweep.reading.trial import Row, Trial, constraints_of, trial_of
from sweep.records import (
    COMPLETE,
    SEARCH,
    NothingRecorded,
    read,
    read_json,
    run_folder,
    track_schemas,
)
from sweep.space import CONTROL, Constraint, Objective
from sweep.statistics.shares import Point

# What a figure depends on besides the seed. `code_version` may differ between methods, so it is not one of them here:
# it is compared within an arm only.
CONDITIONS = (
    "samples_forgotten",
    "samples_per_retained",
    "sampler",
    "feature_network",
    "feature_network_hash",
    "reference",
)
FACTS = (*CONDITIONS, "base_model", "code_version", "device")
_REPLICATE_FACTS = (
    "trial_id",
    "replicate",
    "seed",
    "state",
    *FACTS,
)  # of very many replicates the rest is read of few


@dataclass(frozen=True)
class Sweep:
    """A run as its reader sees it. `replicates`, `curves` and `stages` are the tables' rows, controls included, read when they
    are first asked for; what asks of few trials takes `confirm_rows`, `curves_of` or `of_phase` instead.
    """

    run: Path
    plan: Row
    prepared: Row
    status: Row
    arms: dict[str, ArmFront]
    controls: dict[str, Trial]
    ended_by: str  # what ended the search; empty while it goes on
    confirm_rows: tuple[Row, ...]  # of the confirm phase's replicates
    trial_table: pa.Table
    replicate_facts: pa.Table  # of every replicate what tells it from others, and what its figures depend on
    counts: Counts  # N of the confirm phase's replicates

    @cached_property
    def replicates(self) -> tuple[Row, ...]:
        return tuple(_table(self.run, "replicates").to_pylist())

    @cached_property
    def curves(self) -> tuple[Row, ...]:
        return tuple(_table(self.run, "curves").to_pylist())

    @cached_property
    def stages(self) -> tuple[Row, ...]:
        return tuple(_table(self.run, "stages").to_pylist())

    def stage_columns(self, columns: Iterable[str]) -> pa.Table:
        """Some columns of the stages of every replicate: of very many, what only sums ask for."""
        return _table(self.run, "stages", columns).select(list(columns))

    def rows_of(
        self, table: str, trial_ids: Iterable[str], columns: Iterable[str] | None = None, metric: str | None = None
    ) -> list[Row]:
        """Rows of `replicates`, `curves` or `stages` of some trials, in order of the records; of curves, one metric's."""
        found = _table(self.run, table, columns, trial_ids)
        return list((found if metric is None else found.filter(pc.field("metric") == metric)).to_pylist())

    @cached_property
    def attacked(self) -> tuple[tuple[str, int, str, bool], ...]:
        """Every (attack, step, metric, counts) that the curves hold."""
        names = ["attack", "attack_step", "metric", "counts"]
        found = _table(self.run, "curves", names)
        rows = found.group_by(names).aggregate([]).to_pylist() if found.num_rows else []
        return tuple((r["attack"], r["attack_step"], r["metric"], r["counts"]) for r in rows)

    @cached_property
    def _curves(self) -> dict[str, tuple[Row, ...]]:
        return {}

    def curves_of(self, trial_id: str) -> tuple[Row, ...]:
        """The curves of one trial, of all its replicates."""
        if trial_id not in self._curves:
            self._curves[trial_id] = tuple(_table(self.run, "curves", trials=[trial_id]).to_pylist())
        return self._curves[trial_id]

    def of_phase(self, confirm: bool) -> pa.Table:
        """The facts of the replicates of the confirm phase, or of the search."""
        table = self.replicate_facts
        return table.filter(pc.field("replicate") >= 1 if confirm else pc.field("replicate") < 1)

    def has(self, metric: str) -> bool:
        """Whether any trial, control included, has the figure, on the search's seed or on others."""
        found = metric in self.trial_table.column_names and self.trial_table[metric].null_count < len(self.trial_table)
        everyone = (*(m for a in self.arms.values() for m in a.confirmed_members), *self.controls.values())
        return found or any(m.value(metric) is not None for m in everyone)

    @property
    def budget(self) -> float | None:
        """The FID budget in units of `fid_delta`; None before the prepare phase has found it."""
        return _budget(self.plan, self.prepared)

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """What must hold, with bounds as numbers as far as they are known."""
        return constraints_of(self.plan, self.budget)

    @property
    def objectives(self) -> tuple[Objective, Objective]:
        """What the front is of: the first is drawn upwards and decides which member is best, the second rightwards."""
        first, second = (Objective(o["metric"], o["direction"]) for o in self.plan["objectives"])
        return first, second

    @property
    def members(self) -> tuple[Trial, ...]:
        return tuple(m for arm in self.arms.values() for m in arm.members)

    @property
    def rungs(self) -> list[int]:
        return list(self.plan["rungs"])

    @property
    def reason(self) -> str | None:
        """Why arms have so few feasible members, or None where every arm has enough."""
        told = [f"{arm.name}: {arm.reason}" for arm in self.arms.values() if arm.reason]
        return "; ".join(told) or None

    def member(self, trial_id: str) -> Trial:
        return next(m for m in (*self.members, *self.controls.values()) if m.trial_id == trial_id)

    def points(self, trial_id: str, metric: str) -> dict[int, Point]:
        """A figure of a trial's COMPLETE replicates of the confirm phase, by seed, each with its N."""
        rows = [r for r in self.confirm_rows if r["trial_id"] == trial_id and r["state"] == COMPLETE]
        return points_of(metric, rows, self.counts)

    def seeds(self, trial_id: str | None = None, confirm: bool = True) -> dict[tuple[str, int], int]:
        """Seed of each COMPLETE (trial_id, replicate): of the confirm phase, or of the search."""
        rows: Iterable[Row] = self.confirm_rows
        if not confirm:
            table = self.of_phase(False).select(["trial_id", "replicate", "seed", "state"])
            rows = (table if trial_id is None else table.filter(pc.field("trial_id") == trial_id)).to_pylist()
        return {
            (r["trial_id"], r["replicate"]): r["seed"]
            for r in rows
            if r["state"] == COMPLETE and trial_id in (None, r["trial_id"])
        }

    def seeds_run(self, confirm: bool = True) -> list[int]:
        """The seeds that any COMPLETE replicate of the confirm phase, or of the search, was run on."""
        table = self.of_phase(confirm)
        return sorted(
            s for s in pc.unique(table.filter(pc.field("state") == COMPLETE)["seed"]).to_pylist() if s is not None
        )


def read_sweep(run: str | os.PathLike[str]) -> Sweep:
    """Everything a reader needs of a run, finished or still running. Raises UsageError where it is no run folder."""
    folder = run_folder(run)
    plan = read_json(folder / "plan.json")
    prepared = read_json(folder / "prepared.json") if (folder / "prepared.json").is_file() else {}
    status = read_json(folder / "status.json") if (folder / "status.json").is_file() else {}
    try:
        trials, facts = read(folder, "trials"), _table(folder, "replicates", _REPLICATE_FACTS)
        confirm: dict[str, list[Row]] = {}
        again = set(facts.filter(pc.field("replicate") >= 1)["trial_id"].to_pylist())
        rows: list[Row] = []
        if again:
            rows = [r for r in _table(folder, "replicates", trials=again).to_pylist() if r["replicate"] >= 1]
        curves = _table(folder, "curves", CURVE_COLUMNS, again).filter(pc.field("metric") == COUNTED_BY)
        counts = counts_of(rows, curves.select(list(CURVE_COLUMNS)).to_pylist())
        for row in rows:
            confirm.setdefault(row["trial_id"], []).append(row)
        constraints = constraints_of(plan, _budget(plan, prepared))
        arms = {name: arm_of(plan, constraints, name, trials, confirm, counts) for name in plan["arms"]}
        controls = {
            t["trial_id"]: trial_of(plan, constraints, t, confirm.get(t["trial_id"], ()), counts)
            for t in trials.filter(pc.field("arm") == CONTROL).to_pylist()
        }
        search = read_json(folder / SEARCH) if (folder / SEARCH).is_file() else {}
        ended_by = str(search.get("ended_by", ""))
        return Sweep(folder, plan, prepared, status, arms, controls, ended_by, tuple(rows), trials, facts, counts)
    except KeyError as missing:
        raise UsageError(f"{run}: its plan or records lack {missing}; was it written by another version?") from None


def _table(
    folder: Path, table: str, columns: Iterable[str] | None = None, trials: Iterable[str] | None = None
) -> pa.Table:
    """A table, or without rows where nothing of it is recorded yet, as early in a running sweep."""
    try:
        return read(folder, table, columns, trials)
    except NothingRecorded:
        return track_schemas()[table].empty_table()


def _budget(plan: Row, prepared: Row) -> float | None:
    found = prepared.get("fid_budget", plan.get("fid_budget"))
    return float(found) if isinstance(found, int | float) else None
