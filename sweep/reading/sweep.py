"""A run as its reader sees it, read from its records: its arms with their fronts, its controls, its tables.

The search front is the feasible, non-dominated COMPLETE trials on the search's one seed; the confirmed front is made of
means over the confirm phase's fresh seeds, with intervals. The confirmed one is what is reported: a
search picks winners, and a winner's search figure is biased upwards by the picking.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from sweep import procedures
from sweep.errors import UsageError
from sweep.procedures import Columns, Knowledge, Procedure
from sweep.procedures.columns import recorded_figures, with_figures
from sweep.procedures.sections import Sections
from sweep.reading.arm import ArmFront, arm_of, sure_of
from sweep.reading.fresh_seeds import FreshSeeds, Row
from sweep.reading.samples import curve_point, has_value
from sweep.reading.trial import Trial, constraints_of, objectives_of, trial_of
from sweep.records import (
    COMPLETE,
    CONFIRMATION,
    RUNNING,
    SEARCH,
    NothingRecorded,
    empty_table,
    read,
    read_json,
    run_folder,
)
from sweep.records.tables import adaptive
from sweep.space import CONTROL, Constraint, Objective, SearchSpace
from sweep.statistics.moderated import Moderated
from sweep.statistics.shares import Point

_REPLICATE_FACTS = ("trial_id", "replicate", "seed", "state")  # of very many replicates the rest is read of few


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
    confirmation: (
        Row  # of one that goes where something is open: what was `asked` for it, and at its end `ended_by` and `open`
    )
    confirm_rows: tuple[Row, ...]  # of the confirm phase's replicates
    trial_table: pa.Table
    replicate_facts: pa.Table  # of every replicate what tells it from others, and what its figures depend on
    fresh: FreshSeeds  # the confirm phase's COMPLETE replicates, and the intervals that they make together

    @cached_property
    def procedure(self) -> Procedure:
        """The kind of trial that the run is of."""
        return procedure_of(self.plan, self.run)

    @cached_property
    def columns(self) -> Columns:
        """What its tables hold beside those of every procedure."""
        return self.procedure.columns()

    @cached_property
    def sections(self) -> Sections:
        """What its readers are told of its procedure alone."""
        sections: Sections = self.procedure.sections()
        return sections

    def knowledge(self, space: SearchSpace) -> Knowledge:
        """What its rows say beyond their values, `space` being its question."""
        return self.procedure.knowledge(space, self.prepared, self.plan)

    @cached_property
    def replicates(self) -> tuple[Row, ...]:
        return tuple(_table(self.run, "replicates", self.columns).to_pylist())

    @cached_property
    def curves(self) -> tuple[Row, ...]:
        return tuple(_table(self.run, "curves", self.columns).to_pylist())

    @cached_property
    def stages(self) -> tuple[Row, ...]:
        return tuple(_table(self.run, "stages", self.columns).to_pylist())

    def stage_columns(self, columns: Iterable[str]) -> pa.Table:
        """Some columns of the stages of every replicate: of very many, what only sums ask for."""
        return _table(self.run, "stages", self.columns, columns).select(list(columns))

    def rows_of(
        self, table: str, trial_ids: Iterable[str], columns: Iterable[str] | None = None, metric: str | None = None
    ) -> list[Row]:
        """Rows of `replicates`, `curves` or `stages` of some trials, in order of the records; of curves, one metric's."""
        rows = _table(self.run, table, self.columns, columns, trial_ids)
        return list((rows if metric is None else rows.filter(pc.field("metric") == metric)).to_pylist())

    @cached_property
    def places(self) -> tuple[Row, ...]:
        """Every place of the curves, by their axes, with each metric that some trial has there."""
        names = [*(axis.name for axis in self.columns.axes), "metric"]
        table = _table(self.run, "curves", self.columns, names)
        known = [name for name in names if name in table.column_names]
        return tuple(table.group_by(known).aggregate([]).to_pylist() if table.num_rows else ())

    @cached_property
    def _curves(self) -> dict[str, tuple[Row, ...]]:
        return {}

    def curves_of(self, trial_id: str) -> tuple[Row, ...]:
        """The curves of one trial, of all its replicates."""
        if trial_id not in self._curves:
            self._curves[trial_id] = tuple(_table(self.run, "curves", self.columns, trials=[trial_id]).to_pylist())
        return self._curves[trial_id]

    def moderated_curve(self, metric: str) -> dict[tuple[str, int], Moderated]:
        """A figure of the curves of the arms' confirmed trials, by (series, step), over the fresh seeds."""
        if metric not in self._moderated_curves:
            trials = [trial.trial_id for arm in self.arms.values() for trial in arm.confirmed_members]
            seeds, at = self.seeds(), (self.columns.series, self.columns.step)
            points: dict[tuple[str, int], dict[str, dict[int, Point]]] = {}
            for row in self.rows_of("curves", trials, metric=metric):
                seed = seeds.get((row["trial_id"], row["replicate"]))
                if seed is not None and has_value(row):
                    of_place = points.setdefault((row[at[0]], row[at[1]]), {})
                    of_place.setdefault(row["trial_id"], {})[seed] = curve_point(self.columns, row)
            share = self.columns.is_share(metric)
            self._moderated_curves[metric] = {place: Moderated(of, share) for place, of in points.items()}
        return self._moderated_curves[metric]

    @cached_property
    def _moderated_curves(self) -> dict[str, dict[tuple[str, int], Moderated]]:
        return {}

    def of_phase(self, confirm: bool) -> pa.Table:
        """The facts of the replicates of the confirm phase, or of the search."""
        table = self.replicate_facts
        return table.filter(pc.field("replicate") >= 1 if confirm else pc.field("replicate") < 1)

    def has(self, metric: str) -> bool:
        """Whether any trial, control included, has the figure, on the search's seed or on others."""
        in_search = metric in self.trial_table.column_names and self.trial_table[metric].null_count < len(
            self.trial_table
        )
        everyone = (*(m for a in self.arms.values() for m in a.confirmed_members), *self.controls.values())
        return in_search or any(m.value(metric) is not None for m in everyone)

    @property
    def bounds_asked(self) -> tuple[str, ...]:
        """The words that the question has for bounds."""
        return _bounds_asked(self.procedure, self.plan)

    @cached_property
    def bounds(self) -> dict[str, float]:
        """The numbers of bounds that are words, as far as the prepare phase has found them."""
        return _bounds(self.procedure, self.plan, self.prepared)

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """What must hold, with bounds as numbers as far as they are known."""
        return constraints_of(self.plan, self.bounds)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What the front is of: the first decides which member is best; of two it is drawn upwards, the second rightwards."""
        return objectives_of(self.plan)

    @property
    def adaptive(self) -> bool:
        """Whether confirming goes on where something is open, so that trials have different seeds."""
        return adaptive(sure_of(self.plan), self.plan["confirm_seeds"])

    @cached_property
    def order(self) -> dict[str, int]:
        """The place of every trial that ended among all of the arms', from 1, by when it was told."""
        table = self.trial_table.select(["trial_id", "arm", "state", "told_at"])
        table = table.filter((pc.field("arm") != CONTROL) & (pc.field("state") != RUNNING))
        table = table.take(pc.sort_indices(table, sort_keys=[("told_at", "ascending"), ("trial_id", "ascending")]))
        return {trial_id: place for place, trial_id in enumerate(table["trial_id"].to_pylist(), 1)}

    @cached_property
    def space_name(self) -> str:
        """The question's own name: the plan's is how its file was asked for."""
        facts = self.trial_table.schema.metadata or {}
        return str(facts[b"space"].decode() if b"space" in facts else self.plan["space"])

    @property
    def members(self) -> tuple[Trial, ...]:
        return tuple(m for arm in self.arms.values() for m in arm.members)

    @property
    def reason(self) -> str | None:
        """Why arms have so few members on their fronts, or None where every front has enough."""
        reasons = [f"{arm.name}: {arm.reason}" for arm in self.arms.values() if arm.reason]
        return "; ".join(reasons) or None

    def member(self, trial_id: str) -> Trial:
        """A trial, or a control, by its name; UsageError where the records have none such."""
        for trial in (*self.members, *self.controls.values()):
            if trial.trial_id == trial_id:
                return trial
        raise UsageError(
            f"{self.run}: its records have no trial {trial_id}; mend it: python -m sweep.repair {self.run}"
        )

    def points(self, trial_id: str, metric: str) -> dict[int, Point]:
        """A figure of a trial's COMPLETE replicates of the confirm phase, by seed, each with its N."""
        return dict(self.fresh.moderated(metric, trial_id).points.get(trial_id, {}))

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
    procedure = procedure_of(plan, folder)
    columns = procedure.columns()
    try:
        trials = read(folder, "trials")
        facts = _table(folder, "replicates", columns, (*_REPLICATE_FACTS, *columns.conditions))
        again = set(facts.filter(pc.field("replicate") >= 1)["trial_id"].to_pylist())
        rows: list[Row] = []
        if again:
            rows = [r for r in _table(folder, "replicates", columns, trials=again).to_pylist() if r["replicate"] >= 1]
        counts = procedure.counts(rows, _counted(folder, columns, again))
        control_rows = trials.filter(pc.field("arm") == CONTROL).to_pylist()
        fresh = FreshSeeds.of(columns, rows, counts, (row["trial_id"] for row in control_rows))
        constraints = constraints_of(plan, _bounds(procedure, plan, prepared))
        arms = {name: arm_of(procedure, plan, constraints, name, trials, fresh) for name in plan["arms"]}
        controls = {row["trial_id"]: trial_of(columns, plan, constraints, row, fresh) for row in control_rows}
        search = read_json(folder / SEARCH) if (folder / SEARCH).is_file() else {}
        ended_by = str(search.get("ended_by", ""))
        confirmation = read_json(folder / CONFIRMATION) if (folder / CONFIRMATION).is_file() else {}
        return Sweep(
            folder, plan, prepared, status, arms, controls, ended_by, confirmation, tuple(rows), trials, facts, fresh
        )
    except KeyError as missing:
        raise UsageError(f"{run}: its plan or records lack {missing}; was it written by another version?") from None


def procedure_of(plan: object, run: Path) -> Procedure:
    """The kind of trial of a run, by its ``plan.json``, with the figures of the members that it brought along, which are not run.

    UsageError where that is no plan, or of a kind that is not here.
    """
    path = run / "plan.json"
    if not isinstance(plan, dict):
        raise UsageError(f"{path}: not a plan of this version")
    name = plan.get("procedure", procedures.DEFAULT)
    if not isinstance(name, str):
        raise UsageError(f"{path}: procedure {name!r} is no name of one")
    try:
        procedure, figures = procedures.named(name), recorded_figures(plan.get("member_figures", []))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: not a plan of this version ({error})") from None
    return replace(procedure, columns=lambda: with_figures(procedure.columns(), figures)) if figures else procedure


def _counted(folder: Path, columns: Columns, trials: Iterable[str]) -> list[Row]:
    """The curves that say N of replicates, as far as `Procedure.counts` asks for them."""
    if not columns.counted_by:
        return []
    names = ("trial_id", "replicate", columns.series, "metric", "samples")
    table = _table(folder, "curves", columns, names, trials).filter(pc.field("metric") == columns.counted_by)
    return list(table.select(list(names)).to_pylist())


def _table(
    folder: Path,
    table: str,
    columns: Columns,
    names: Iterable[str] | None = None,
    trials: Iterable[str] | None = None,
) -> pa.Table:
    """A table, or without rows where nothing of it is recorded yet, as early in a running sweep."""
    try:
        return read(folder, table, names, trials)
    except NothingRecorded:
        return empty_table(table, columns)


def _bounds_asked(procedure: Procedure, plan: Row) -> tuple[str, ...]:
    used = {
        bound for c in plan["constraints"] for bound in (c.get("at_most"), c.get("at_least")) if isinstance(bound, str)
    }
    return tuple(word for word in procedure.bounds if word in used)


def _bounds(procedure: Procedure, plan: Row, prepared: Row) -> dict[str, float]:
    every = {word: prepared.get(word, plan.get(word)) for word in _bounds_asked(procedure, plan)}
    return {word: float(number) for word, number in every.items() if isinstance(number, int | float)}
