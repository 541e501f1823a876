"""What a run found, read from its records: the members of each arm, their fronts, and arm against arm.

The search front is the feasible, non-dominated COMPLETE trials on the search's one seed; the confirmed front is made of
means over the confirm phase's fresh seeds, with intervals. The confirmed one is what is reported: a
search picks winners, and a winner's search figure is biased upwards by the picking.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sweep.errors import UsageError
from sweep.estimates import Estimate, estimate, hypervolume, nondominated
from sweep.records import COMPLETE, FAIL, FIGURES, RUNNING, fact, read, read_json, run_folder
from sweep.space import CONTROL, Constraint, Objective

Row: TypeAlias = dict[str, Any]

BASE, RETRAIN = "control-base", "control-retrain"
FIGURE_NAMES = tuple(f.name for f in FIGURES)
_SHARES = frozenset(f.name for f in FIGURES if f.metadata.get(b"unit") == b"share")
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


@dataclass(frozen=True)
class Member:
    """One trial of an arm: its figures on the search's seed and, where it was confirmed, over fresh seeds."""

    trial_id: str
    arm: str
    method: str
    baseline: bool
    state: str
    cause: str | None
    parameters: dict[str, Any]
    search: dict[str, float | None]
    confirmed: dict[str, Estimate] | None
    search_feasible: bool | None  # null where the search did not score it
    feasible: bool | None  # by the confirmed means where there are any, else the search's
    on_search_front: bool
    on_front: bool  # the confirmed front where its arm has one, else the search front

    def value(self, metric: str) -> float | None:
        """The confirmed mean where there is one, else the search's figure."""
        if self.confirmed is not None and metric in self.confirmed:
            return self.confirmed[metric].mean
        return self.search.get(metric)

    def at(self, metric: str) -> Estimate | None:
        """`value` with its interval; a search figure is an estimate from one seed."""
        if self.confirmed is not None:
            return self.confirmed.get(metric)
        value = self.search.get(metric)
        return None if value is None else Estimate(value, None, None, 1)


@dataclass(frozen=True)
class ArmFront:
    """The members of one arm, how its trials ended, and why there are so few where there are."""

    name: str
    baseline: bool
    members: tuple[Member, ...]
    counts: dict[str, int]
    reason: str | None

    @property
    def confirmed(self) -> bool:
        """Whether the front is of confirmed means rather than of the search's one seed."""
        return any(m.confirmed for m in self.members)

    @property
    def front(self) -> tuple[Member, ...]:
        return tuple(m for m in self.members if m.on_front)

    @property
    def search_front(self) -> tuple[Member, ...]:
        return tuple(m for m in self.members if m.on_search_front)


@dataclass(frozen=True)
class Front:
    """A run as its reader sees it. `replicates`, `curves` and `stages` are the tables' rows, controls included."""

    run: Path
    plan: Row
    prepared: Row
    status: Row
    arms: dict[str, ArmFront]
    controls: dict[str, Member]
    replicates: tuple[Row, ...]
    curves: tuple[Row, ...]
    stages: tuple[Row, ...]

    @property
    def budget(self) -> float | None:
        """The FID budget in units of `fid_delta`; None before the prepare phase has found it."""
        return _budget(self.plan, self.prepared)

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

    def seeds(self, trial_id: str | None = None, confirm: bool = True) -> dict[tuple[str, int], int]:
        """Seed of each COMPLETE (trial_id, replicate): of the confirm phase, or of the search."""
        return {
            (r["trial_id"], r["replicate"]): r["seed"]
            for r in self.replicates
            if (r["replicate"] >= 1) == confirm and r["state"] == COMPLETE and trial_id in (None, r["trial_id"])
        }


def read_front(run: str | os.PathLike[str]) -> Front:
    """Everything a reader needs of a run, finished or still running. Raises UsageError where it is no run folder."""
    folder = run_folder(run)
    plan = read_json(folder / "plan.json")
    prepared = read_json(folder / "prepared.json") if (folder / "prepared.json").is_file() else {}
    status = read_json(folder / "status.json") if (folder / "status.json").is_file() else {}
    try:
        trials = read(folder, "trials").to_pylist()
        replicates, curves, stages = (_rows(folder, table) for table in ("replicates", "curves", "stages"))
        arms = _arms(plan, prepared, trials, replicates)
        controls = {
            t["trial_id"]: _member(plan, t, [r for r in replicates if r["trial_id"] == t["trial_id"]])
            for t in trials
            if t["arm"] == CONTROL
        }
        return Front(folder, plan, prepared, status, arms, controls, tuple(replicates), tuple(curves), tuple(stages))
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
    found = [m for m in front.arms[arm].members if m.confirmed and m.feasible and metric in m.confirmed]
    return max(found, key=lambda m: (merit(front, m.search[metric]), m.trial_id), default=None)


def closest(front: Front, arm: str) -> Member | None:
    """`best`, or the confirmed member whose means break the constraints least; None where nothing was confirmed."""
    metric = front.objectives[0].metric
    found = [m for m in front.arms[arm].members if m.confirmed and metric in m.confirmed]
    return best(front, arm) or min(found, key=lambda m: (_violation(front, m), m.trial_id), default=None)


def leader(front: Front, arm: str) -> Member | None:
    """`best`, or, where nothing was confirmed, the feasible member that is best on the search's seed."""
    metric = front.objectives[0].metric
    found = [m for m in front.arms[arm].members if m.search_feasible and m.search.get(metric) is not None]
    picked = best(front, arm) or max(found, key=lambda m: merit(front, m.search[metric]), default=None)
    return picked or closest(front, arm)


def corner(front: Front) -> tuple[float, float] | None:
    """The point a front's hypervolume is measured up to: each objective's bound, or the worst that a share can be.

    None without a budget, or where an objective has neither.
    """
    worst = []
    for objective in front.objectives:
        bounds = [_constraint(c) for c in front.plan["constraints"] if c["metric"] == objective.metric]
        if bounds and "fid_budget" in (bounds[0].at_most, bounds[0].at_least) and front.budget is None:
            return None
        if not bounds and fact(objective.metric, "unit") != "share":
            return None
        share = 0.0 if objective.direction == "maximise" else 1.0
        worst.append(bounds[0].bound(front.budget or 0.0) if bounds else share)
    return worst[0], worst[1]


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
    wanted = None if trial_ids is None else set(trial_ids)
    rows = [r for r in front.replicates if wanted is None or r["trial_id"] in wanted]
    rows = [r for r in rows if r["replicate"] >= 1 or not confirm_only]
    names = (*CONDITIONS, "base_model", "code_version", "device")
    return {name: sorted({str(r[name]) for r in rows if r.get(name) is not None}) for name in names}


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


def _rows(folder: Path, table: str) -> list[Row]:
    """A table's rows; none where nothing of it is recorded yet, as early in a running sweep."""
    try:
        return read(folder, table).to_pylist()
    except UsageError:
        return []


def _budget(plan: Row, prepared: Row) -> float | None:
    found = prepared.get("fid_budget", plan.get("fid_budget"))
    return float(found) if isinstance(found, int | float) else None


def _member(plan: Row, trial: Row, replicates: Iterable[Row]) -> Member:
    confirmed = _confirmed(replicates)
    arm = plan["arms"].get(trial["arm"], {})
    return Member(
        trial_id=trial["trial_id"],
        arm=trial["arm"],
        method=trial["method"],
        baseline=bool(arm.get("baseline", False)),
        state=trial["state"],
        cause=trial["cause"],
        parameters={k.removeprefix("param_"): v for k, v in trial.items() if k.startswith("param_") and v is not None},
        search={name: trial.get(name) for name in FIGURE_NAMES},  # an older run lacks the newer figures
        confirmed=confirmed,
        search_feasible=trial.get("feasible"),
        feasible=trial.get("feasible"),
        on_search_front=False,
        on_front=False,
    )


def _confirmed(replicates: Iterable[Row]) -> dict[str, Estimate] | None:
    """Each figure over the confirm phase's COMPLETE replicates; None where there is none."""
    rows = [r for r in replicates if r["replicate"] >= 1 and r["state"] == COMPLETE]
    found = {name: estimate([r.get(name) for r in rows]) for name in FIGURE_NAMES if name != "forgotten_top_class"}
    told = {name: e.as_share() if name in _SHARES else e for name, e in found.items() if e is not None}
    return told if rows else None


def _arms(plan: Row, prepared: Row, trials: list[Row], replicates: list[Row]) -> dict[str, ArmFront]:
    by_trial: dict[str, list[Row]] = {}
    for row in replicates:
        by_trial.setdefault(row["trial_id"], []).append(row)
    arms = {}
    for name, facts in plan["arms"].items():
        own = sorted((t for t in trials if t["arm"] == name), key=lambda t: (t["number"] or 0, t["trial_id"]))
        members = [_member(plan, t, by_trial.get(t["trial_id"], ())) for t in own]
        members = _fronts(plan, _budget(plan, prepared), members)
        counts = dict(Counter(t["state"] for t in own))
        arms[name] = ArmFront(name, bool(facts["baseline"]), tuple(members), counts, _reason(plan, own, members))
    return arms


def _fronts(plan: Row, budget: float | None, members: list[Member]) -> list[Member]:
    """The members with their feasibility and their places on the two fronts filled in."""
    confirmed = [m for m in members if m.confirmed]
    feasible = {m.trial_id: _holds(plan, budget, m) if m.confirmed else m.search_feasible for m in members}
    search = _nondominated(
        plan, [m for m in members if m.search_feasible and m.state == COMPLETE], lambda m, name: m.search.get(name)
    )
    final = (
        _nondominated(plan, [m for m in confirmed if feasible[m.trial_id]], lambda m, name: m.value(name))
        if confirmed
        else search
    )
    return [
        replace(m, feasible=feasible[m.trial_id], on_search_front=m.trial_id in search, on_front=m.trial_id in final)
        for m in members
    ]


def _nondominated(plan: Row, members: list[Member], figure: Any) -> set[str]:
    points = [[_number(figure(m, o["metric"])) for o in plan["objectives"]] for m in members]
    front = nondominated(np.array(points, dtype=float), [o["direction"] for o in plan["objectives"]])
    return {m.trial_id for m, on in zip(members, front, strict=True) if on}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _holds(plan: Row, budget: float | None, member: Member) -> bool | None:
    """Whether the confirmed means satisfy every constraint; None where a figure or the budget is missing."""
    for facts in plan["constraints"]:
        constraint = _constraint(facts)
        found = (member.confirmed or {}).get(constraint.metric)
        if found is None or (budget is None and "fid_budget" in facts.values()):
            return None
        if constraint.violation(found.mean, budget or 0.0) > 0:
            return False
    return True


def _violation(front: Front, member: Member) -> float:
    """Sum of the violations of the confirmed means, in units of the bounds."""
    violation, found = 0.0, member.confirmed or {}
    for constraint in map(_constraint, front.plan["constraints"]):
        if constraint.metric in found:
            violation += max(constraint.violation(found[constraint.metric].mean, front.budget or 0.0), 0.0)
    return violation


def _constraint(facts: Mapping[str, Any]) -> Constraint:
    return Constraint(facts["metric"], at_most=facts.get("at_most"), at_least=facts.get("at_least"))


def _reason(plan: Row, trials: list[Row], members: list[Member]) -> str | None:
    """What kept an arm's trials off the front, counted from the records, where fewer than FEW are on it."""
    if sum(m.on_front for m in members) >= FEW:
        return None
    feasible = [m for m in members if m.search_feasible and m.state == COMPLETE]
    confirmed = [m for m in members if m.confirmed]
    told = [f"{len(feasible)} of {len(trials)} trials feasible" + _infeasible(plan, trials)]
    if beaten := sum(not m.on_search_front for m in feasible):
        told.append(f"{beaten} of the feasible dominated by others in the search")
    if lost := sum(not m.feasible for m in confirmed):
        told.append(f"{lost} of {len(confirmed)} confirmed members broke a constraint on fresh seeds")
    if beaten := sum(bool(m.feasible and not m.on_front) for m in confirmed):
        told.append(f"{beaten} of {len(confirmed)} confirmed members dominated by another")
    return "; ".join(told)


def _infeasible(plan: Row, trials: list[Row]) -> str:
    """``: 9 exceeded the FID budget, 4 had not unlearned``, counted from the records; a trial can have done both."""
    told = []
    for facts in plan["constraints"]:
        over = sum(1 for t in trials if (t.get(f"excess_{facts['metric']}") or 0) > 0)
        told += [f"{over} {_broke(_constraint(facts))}"] if over else []
    states = Counter(t["state"] for t in trials)
    told += [f"{states[FAIL]} failed"] if states[FAIL] else []
    told += [f"{states[RUNNING]} still running"] if states[RUNNING] else []
    return f": {', '.join(told)}" if told else ""


def _broke(constraint: Constraint) -> str:
    if constraint.metric == "fid_delta" and constraint.at_most is not None:
        return "exceeded the FID budget"
    if constraint.metric == "unlearning_accuracy":
        return "had not unlearned"
    return f"had {constraint.metric} {'above' if constraint.at_most is not None else 'below'} its bound"
