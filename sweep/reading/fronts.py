"""What a run found, read from its records: the members of each arm, their fronts, and arm against arm.

The search front is the feasible, non-dominated COMPLETE trials on the search's one seed; the confirmed front is made of
means over the confirm phase's fresh seeds, with intervals. The confirmed one is what is reported: a
search picks winners, and a winner's search figure is biased upwards by the picking.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep.errors import UsageError
from sweep.reading.members import Member, Members, Row, constraints_of, member_of, values_of
from sweep.reading.samples import COUNTED_BY, CURVE_COLUMNS, Counts, counts_of, points_of
from sweep.records import (
    COMPLETE,
    FAIL,
    RUNNING,
    SEARCH,
    NothingRecorded,
    fact,
    read,
    read_json,
    run_folder,
    track_schemas,
)
from sweep.space import CONTROL, Constraint, Objective
from sweep.statistics.estimates import hypervolume, nondominated
from sweep.statistics.shares import Point

FEW = 3  # a front of fewer feasible members than this needs a reason

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
_FACTS = (*CONDITIONS, "base_model", "code_version", "device")
_REPLICATE_FACTS = (
    "trial_id",
    "replicate",
    "seed",
    "state",
    *_FACTS,
)  # of very many replicates the rest is read of few


@dataclass(frozen=True)
class ArmFront:
    """The members of one arm, how its trials ended, and why there are so few where there are."""

    name: str
    baseline: bool
    members: Members
    counts: dict[str, int]
    reason: str | None
    front: tuple[Member, ...]
    search_front: tuple[Member, ...]
    confirmed_members: tuple[Member, ...]
    search_best: Member | None  # of those feasible on the search's seed, the best by the first objective

    @property
    def confirmed(self) -> bool:
        """Whether the front is of confirmed means rather than of the search's one seed."""
        return bool(self.confirmed_members)


@dataclass(frozen=True)
class Front:
    """A run as its reader sees it. `replicates`, `curves` and `stages` are the tables' rows, controls included, read when they
    are first asked for; what asks of few trials takes `confirm_rows`, `curves_of` or `of_phase` instead.
    """

    run: Path
    plan: Row
    prepared: Row
    status: Row
    arms: dict[str, ArmFront]
    controls: dict[str, Member]
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
    def members(self) -> tuple[Member, ...]:
        return tuple(m for arm in self.arms.values() for m in arm.members)

    @property
    def rungs(self) -> list[int]:
        return list(self.plan["rungs"])

    @property
    def reason(self) -> str | None:
        """Why arms have so few feasible members, or None where every arm has enough."""
        told = [f"{arm.name}: {arm.reason}" for arm in self.arms.values() if arm.reason]
        return "; ".join(told) or None

    def member(self, trial_id: str) -> Member:
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


def read_front(run: str | os.PathLike[str]) -> Front:
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
        arms = {name: _arm(plan, constraints, name, _of_arm(trials, name), confirm, counts) for name in plan["arms"]}
        controls = {
            t["trial_id"]: member_of(plan, constraints, t, confirm.get(t["trial_id"], ()), counts)
            for t in trials.filter(pc.field("arm") == CONTROL).to_pylist()
        }
        search = read_json(folder / SEARCH) if (folder / SEARCH).is_file() else {}
        ended_by = str(search.get("ended_by", ""))
        return Front(folder, plan, prepared, status, arms, controls, ended_by, tuple(rows), trials, facts, counts)
    except KeyError as missing:
        raise UsageError(f"{run}: its plan or records lack {missing}; was it written by another version?") from None


def merit(front: Front, value: float | None) -> float:
    """A value of the first objective, turned so that more is better; nothing is worse than none."""
    sign = 1.0 if front.objectives[0].direction == "maximise" else -1.0
    return -math.inf if value is None else sign * value


def best(front: Front, arm: str) -> Member | None:
    """Of the members that fresh seeds confirm as feasible, the search's best by the first objective; None: there is none.

    Chosen by the search's figures and reported by the confirmed ones: a choice by the latter would flatter its winner.
    """
    metric = front.objectives[0].metric
    found = [m for m in front.arms[arm].confirmed_members if m.feasible and metric in (m.confirmed or {})]
    return max(found, key=lambda m: (merit(front, m.search[metric]), m.trial_id), default=None)


def closest(front: Front, arm: str) -> Member | None:
    """`best`, or the confirmed member whose means break the constraints least; None where nothing was confirmed."""
    metric = front.objectives[0].metric
    found = [m for m in front.arms[arm].confirmed_members if metric in (m.confirmed or {})]
    return best(front, arm) or min(found, key=lambda m: (_violation(front, m), m.trial_id), default=None)


def leader(front: Front, arm: str) -> Member | None:
    """`best`, or, where nothing was confirmed, the feasible member that is best on the search's seed."""
    return best(front, arm) or front.arms[arm].search_best or closest(front, arm)


def corner(front: Front) -> tuple[float, ...] | None:
    """The point that the front's hypervolume is measured up to: see `corner_of`."""
    return corner_of(front.objectives, front.constraints)


def corner_of(objectives: Sequence[Objective], constraints: Sequence[Constraint]) -> tuple[float, ...] | None:
    """Each objective's bound on its worse side, or the worst that a share can be.

    None where a bound is not known yet, or an objective has neither.
    """
    worst = []
    for objective in objectives:
        side = "at_least" if objective.direction == "maximise" else "at_most"
        bound = next((c for c in constraints if c.metric == objective.metric and c.side == side), None)
        if bound is None and fact(objective.metric, "unit") != "share":
            return None
        if bound is not None and bound.bound is None:
            return None
        share = 0.0 if objective.direction == "maximise" else 1.0
        worst.append(share if bound is None or bound.bound is None else bound.bound)
    return tuple(worst)


def front_hypervolume(front: Front, arm: str) -> float | None:
    """Area dominated by the arm's front, up to `corner`; None without one."""
    reference = corner(front)
    if reference is None:
        return None
    points = [[m.value(o.metric) for o in front.objectives] for m in front.arms[arm].front]
    return hypervolume(np.array(points, dtype=float), reference, [o.direction for o in front.objectives])


def conditions(
    front: Front, trial_ids: Iterable[str] | None = None, confirm_only: bool = False
) -> dict[str, list[str]]:
    """What figures depend on: the values each fact of the replicates takes, sorted; one value where they compare."""
    found = front.of_phase(True) if confirm_only else front.replicate_facts
    if trial_ids is not None:
        found = found.filter(pc.field("trial_id").isin(pa.array(list(trial_ids), pa.string())))
    values = {name: pc.unique(found[name]).to_pylist() if name in found.column_names else [] for name in _FACTS}
    return {name: sorted({str(v) for v in told if v is not None}) for name, told in values.items()}


def differing(front: Front, *members: Member) -> list[str]:
    """The conditions in which the members' confirm replicates differ, so that their figures may not be compared."""
    found = conditions(front, [m.trial_id for m in members], confirm_only=True)
    return [f"{name} ({' and '.join(v[:12] for v in found[name])})" for name in CONDITIONS if len(found[name]) > 1]


def comparable(fronts: Sequence[Front]) -> list[str]:
    """What differs between runs and so forbids comparing their figures; empty where they may be compared."""
    each = []
    for f in fronts:
        facts = {
            name: tuple(values) for name, values in conditions(f).items() if name not in ("device", "code_version")
        }
        facts |= {name: (str(f.plan.get(name)),) for name in ("data", "forget", "rungs", "attacks")}
        facts |= {name: (str(f.plan.get(name) or ""),) for name in ("data_limit", "data_fingerprint")}
        facts |= {
            f"code of {a}": tuple(conditions(f, [m.trial_id for m in arm.members])["code_version"])
            for a, arm in f.arms.items()
        }
        each.append(facts)
    shared = set.intersection(*(set(facts) for facts in each))
    return sorted(name for name in shared if len({facts[name] for facts in each}) > 1)


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


def _of_arm(trials: pa.Table, name: str) -> pa.Table:
    """The rows of one arm's trials in order of their numbers."""
    own = trials.filter(pc.field("arm") == name)
    order = pa.table({"number": pc.fill_null(own["number"], 0), "trial_id": own["trial_id"]})
    return own.take(pc.sort_indices(order, sort_keys=[("number", "ascending"), ("trial_id", "ascending")]))


def _arm(
    plan: Row,
    constraints: Sequence[Constraint],
    name: str,
    own: pa.Table,
    confirm: dict[str, list[Row]],
    counts: Counts,
) -> ArmFront:
    """An arm with its fronts: whole columns decide; a member is made where somebody looks at it."""
    found = pc.fill_null(own["feasible"], False).to_numpy(), pc.equal(own["state"], COMPLETE).to_numpy()
    feasible, complete = (column.astype(bool) for column in found)
    values = [values_of(own, o["metric"]) for o in plan["objectives"]]
    directions = [o["direction"] for o in plan["objectives"]]
    ids = own["trial_id"]
    kept = {t: [r for r in rows if r["state"] == COMPLETE] for t, rows in confirm.items()}
    at = np.flatnonzero(pc.is_in(ids, pa.array([t for t, rows in kept.items() if rows], pa.string())).to_numpy())
    confirmed = {
        int(i): member_of(plan, constraints, own.slice(i, 1).to_pylist()[0], kept[ids[i].as_py()], counts) for i in at
    }
    confirmed = {i: replace(m, feasible=_holds(constraints, m)) for i, m in confirmed.items()}

    search = feasible & complete
    search[search] = nondominated(np.stack(values, axis=1)[search], directions)
    final = search
    if confirmed:
        held = [i for i, m in confirmed.items() if m.feasible]
        points = [[_number(confirmed[i].value(o["metric"])) for o in plan["objectives"]] for i in held]
        final = np.zeros(len(own), dtype=bool)
        final[held] = nondominated(np.array(points, dtype=float), directions)

    def make(i: int, row: Row) -> Member:
        member = confirmed.get(i) or member_of(plan, constraints, row, (), counts)
        return replace(member, on_search_front=bool(search[i]), on_front=bool(final[i]))

    members = Members(own, make)
    merits = np.where(feasible, values[0] * (1 if directions[0] == "maximise" else -1), np.nan)
    best_at = None if np.isnan(merits).all() else int(np.nanargmax(merits))
    places = (np.flatnonzero(final), np.flatnonzero(search), list(confirmed))
    front, search_front, checked = (tuple(members[int(i)] for i in place) for place in places)
    states = Counter(own["state"].to_pylist())
    beaten = int((feasible & complete & ~search).sum())
    reason = (
        _reason(constraints, own, states, int((feasible & complete).sum()), beaten, checked)
        if len(front) < FEW
        else None
    )
    return ArmFront(
        name=name,
        baseline=bool(plan["arms"][name]["baseline"]),
        members=members,
        counts=dict(states),
        reason=reason,
        front=front,
        search_front=search_front,
        confirmed_members=checked,
        search_best=None if best_at is None else members[best_at],
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _holds(constraints: Sequence[Constraint], member: Member) -> bool | None:
    """Whether the confirmed means satisfy every constraint; None where a figure or a bound is missing."""
    for constraint in constraints:
        found = (member.confirmed or {}).get(constraint.metric)
        if found is None or constraint.bound is None:
            return None
        if constraint.violation(found.mean) > 0:
            return False
    return True


def _violation(front: Front, member: Member) -> float:
    """Sum of the violations of the confirmed means, in units of the bounds."""
    violation, found = 0.0, member.confirmed or {}
    for constraint in front.constraints:
        if constraint.metric in found and constraint.bound is not None:
            violation += max(constraint.violation(found[constraint.metric].mean), 0.0)
    return violation


def _reason(
    constraints: Sequence[Constraint],
    own: pa.Table,
    counts: Counter[str],
    feasible: int,
    beaten: int,
    confirmed: Sequence[Member],
) -> str:
    """What kept an arm's trials off the front, counted from the records, where fewer than FEW are on it."""
    told = [f"{feasible} of {len(own)} trials feasible" + _infeasible(constraints, own, counts)]
    if beaten:
        told.append(f"{beaten} of the feasible dominated by others in the search")
    if lost := sum(not m.feasible for m in confirmed):
        told.append(f"{lost} of {len(confirmed)} confirmed members broke a constraint on fresh seeds")
    if dominated := sum(bool(m.feasible and not m.on_front) for m in confirmed):
        told.append(f"{dominated} of {len(confirmed)} confirmed members dominated by another")
    return "; ".join(told)


def _infeasible(constraints: Sequence[Constraint], own: pa.Table, states: Counter[str]) -> str:
    """``: 9 exceeded the FID budget, 4 had not unlearned``, counted from the records; a trial can have done both."""
    told = []
    for constraint in constraints:
        over = int((values_of(own, f"excess_{constraint.name}") > 0).sum())
        told += [f"{over} {_broke(constraint)}"] if over else []
    told += [f"{states[FAIL]} failed"] if states[FAIL] else []
    told += [f"{states[RUNNING]} still running"] if states[RUNNING] else []
    return f": {', '.join(told)}" if told else ""


def _broke(constraint: Constraint) -> str:
    if constraint.metric == "fid_delta" and constraint.at_most is not None:
        return "exceeded the FID budget"
    if constraint.metric == "unlearning_accuracy":
        return "had not unlearned"
    return f"had {constraint.metric} {'above' if constraint.at_most is not None else 'below'} its bound"
