"""One arm of a run as its reader sees it: its trials, which of them are on its fronts, and why so few are where they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep.procedures import Columns, Procedure
from sweep.procedures.sections import Sections
from sweep.reading.fresh_seeds import FreshSeeds, Row
from sweep.reading.trial import Trial, Trials, complete, objectives_of, trial_of, values_of
from sweep.records import FAIL, RUNNING
from sweep.space import Constraint, Objective
from sweep.statistics.estimates import nondominated

FEW = 3  # a front of fewer feasible members than this needs a reason


@dataclass(frozen=True)
class ArmFront:
    """The members of one arm, how its trials ended, and why there are so few where there are."""

    name: str
    baseline: bool
    members: Trials
    counts: dict[str, int]
    reason: str | None
    front: tuple[Trial, ...]
    search_front: tuple[Trial, ...]
    confirmed_members: tuple[Trial, ...]  # those that fresh seeds have shown, be it of their bounds alone
    search_best: Trial | None  # by the first objective, of those feasible on its seed that fresh ones do not disprove

    @property
    def confirmed(self) -> bool:
        """Whether the front is of confirmed means rather than of the search's one seed."""
        return any(member.fully_confirmed for member in self.confirmed_members)


@dataclass(frozen=True)
class KeptOff:
    """What kept an arm's trials off its front, counted from the records."""

    trials: int
    feasible: int
    beaten: int  # feasible ones that others dominated in the search
    untried: int  # of the search's front, those that were not confirmed; 0 where nothing was
    confirmed: int
    broken: int  # confirmed ones whose means break a constraint
    partly: int  # confirmed ones of which fresh seeds have not shown every objective
    behind: int  # confirmed ones that another dominates
    doubtful: int  # confirmed ones that may break a constraint, where others surely do not
    infeasible: str = ""  # why trials were not feasible, in words

    @property
    def text(self) -> str:
        """Each count that is not 0, in words; empty where all are."""
        reasons = []
        if not self.trials:
            reasons.append("it has no trial")
        elif self.trials < FEW:
            reasons.append(f"it has {self.trials} trial{'s' if self.trials > 1 else ''}")
        if self.feasible < self.trials:
            reasons.append(f"{self.feasible} of {self.trials} trials feasible{self.infeasible}")
        if self.beaten:
            reasons.append(f"{self.beaten} of the feasible dominated by others in the search")
        if self.untried:
            reasons.append(f"{self.untried} of the search's front not confirmed")
        members = f"of {self.confirmed} confirmed members"
        if self.broken:
            reasons.append(f"{self.broken} {members} broke a constraint on fresh seeds")
        if self.partly:
            reasons.append(f"{self.partly} {members} without every objective on fresh seeds")
        if self.behind:
            reasons.append(f"{self.behind} {members} dominated by another")
        if self.doubtful:
            reasons.append(f"{self.doubtful} {members} may break a constraint")
        return "; ".join(reasons)


def arm_of(
    procedure: Procedure,
    plan: Row,
    constraints: Sequence[Constraint],
    name: str,
    trials: pa.Table,
    fresh: FreshSeeds,
) -> ArmFront:
    """An arm with its fronts: whole columns decide; a member is made where somebody looks at it."""
    columns, table = procedure.columns(), _of_arm(trials, name)
    feasible, ended = values_of(table, "feasible") > 0, complete(table)
    objectives = objectives_of(plan)
    values = [values_of(table, o.metric) for o in objectives]
    confirmed = _confirmed(columns, plan, constraints, table, fresh)

    ranked = {i: m for i, m in confirmed.items() if m.fully_confirmed}
    search = _front_of(feasible & ended, values, objectives)
    disproved = [i for i, m in confirmed.items() if m.feasible is False]
    kept = feasible & ended & ~np.isin(np.arange(len(table)), disproved)
    standing = _front_of(kept, values, objectives) if disproved else search
    final = _confirmed_front(plan, objectives, ranked, len(table)) if ranked else standing

    def make(i: int, row: Row) -> Trial:
        member = confirmed.get(i) or trial_of(columns, plan, constraints, row, fresh)
        return replace(member, on_search_front=bool(search[i]), on_front=bool(final[i]))

    members = Trials(table, make)
    costs = np.where(standing if standing.any() else search, objectives[0].sign * values[0], np.nan)
    best_at = None if np.isnan(costs).all() else int(np.nanargmin(costs))
    places = (np.flatnonzero(final), np.flatnonzero(search), list(confirmed))
    front, search_front, checked = (tuple(members[int(i)] for i in place) for place in places)
    states = Counter(table["state"].to_pylist())
    off = [m for m in checked if m.feasible and not m.on_front]
    doubtful = [m for m in off if unsure(plan, m)] if any(not unsure(plan, m) for m in front) else []
    kept_off = KeptOff(
        trials=len(table),
        feasible=int((feasible & ended).sum()),
        beaten=int((feasible & ended & ~search).sum()),
        untried=int(search.sum()) - sum(bool(search[i]) for i in confirmed) if ranked else 0,
        confirmed=len(checked),
        broken=sum(m.feasible is False for m in checked),
        partly=sum(not m.fully_confirmed for m in off if m not in doubtful),
        behind=sum(m.fully_confirmed for m in off if m not in doubtful),
        doubtful=len(doubtful),
    )
    few = len(front) < FEW
    if len(objectives) == 1:  # one trial is the best; the others being behind it is no want
        few = kept_off.feasible < FEW or not front
        kept_off = replace(kept_off, beaten=0, untried=0, behind=0)
    reason = None
    if few:
        infeasible = _infeasible(procedure.sections(), constraints, table, states)
        reason = replace(kept_off, infeasible=infeasible).text or None
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


def _front_of(kept: np.ndarray, values: Sequence[np.ndarray], objectives: Sequence[Objective]) -> np.ndarray:
    """(trials,) bool: of those that are `kept`, the ones that none of them dominates on the search's seed."""
    front = kept.copy()
    front[kept] = nondominated(np.stack(values, axis=1)[kept], [o.direction for o in objectives])
    return front


def _confirmed_front(plan: Row, objectives: Sequence[Objective], ranked: dict[int, Trial], trials: int) -> np.ndarray:
    """(trials,) bool: of the fully confirmed that are feasible, surely if any is, those that none of them dominates.

    One whose objectives fresh seeds have not all shown is none of them: the search's figures, by which it was chosen, flatter it.
    """
    feasible = [i for i, m in ranked.items() if m.feasible]
    held = [i for i in feasible if not unsure(plan, ranked[i])] or feasible
    points = [[_number(ranked[i].value(o.metric)) for o in objectives] for i in held]
    front = np.zeros(trials, dtype=bool)
    front[held] = nondominated(np.array(points, dtype=float), [o.direction for o in objectives])
    return front


def sure_of(plan: Row) -> float:
    """The probability of keeping every bound from which on a trial counts as sure; 0 of a plan that asks for none."""
    return float(plan.get("confirm_sure") or 0.0)


def unsure(plan: Row, trial: Trial) -> bool:
    """Whether a trial's seeds leave open that it breaks a constraint; never in a run whose plan does not ask for that.

    A single seed leaves it open, whatever it measured.
    """
    least = sure_of(plan)
    if not least or not trial.constraints:
        return False
    return trial.chance is None or trial.chance < least


def _confirmed(
    columns: Columns,
    plan: Row,
    constraints: Sequence[Constraint],
    table: pa.Table,
    fresh: FreshSeeds,
) -> dict[int, Trial]:
    """An arm's trials that have a complete confirm replicate, by their row: feasible is what their means are."""
    ids = table["trial_id"]
    at = np.flatnonzero(pc.is_in(ids, pa.array(list(fresh.rows), pa.string())).to_numpy())
    members = {}
    for i in at:
        row = table.slice(i, 1).to_pylist()[0]
        member = trial_of(columns, plan, constraints, row, fresh)
        members[int(i)] = replace(member, feasible=_holds(constraints, member))
    return members


def _of_arm(trials: pa.Table, name: str) -> pa.Table:
    """The rows of one arm's trials in order of their numbers."""
    table = trials.filter(pc.field("arm") == name)
    order = pa.table({"number": pc.fill_null(table["number"], 0), "trial_id": table["trial_id"]})
    return table.take(pc.sort_indices(order, sort_keys=[("number", "ascending"), ("trial_id", "ascending")]))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _holds(constraints: Sequence[Constraint], trial: Trial) -> bool | None:
    """Whether the confirmed means satisfy every constraint; None where a figure or a bound is missing."""
    for constraint in constraints:
        estimate = (trial.confirmed or {}).get(constraint.metric)
        if estimate is None or constraint.bound is None:
            return None
        if constraint.violation(estimate.mean) > 0:
            return False
    return True


def _infeasible(sections: Sections, constraints: Sequence[Constraint], table: pa.Table, states: Counter[str]) -> str:
    """``: 9 had loss above its bound, 4 failed``, counted from the records; a trial can have broken several constraints."""
    reasons = []
    for constraint in constraints:
        over = int((values_of(table, f"excess_{constraint.name}") > 0).sum())
        reasons += [f"{over} {sections.broke(constraint) or _broke(constraint)}"] if over else []
    reasons += [f"{states[FAIL]} failed"] if states[FAIL] else []
    reasons += [f"{states[RUNNING]} still running"] if states[RUNNING] else []
    return f": {', '.join(reasons)}" if reasons else ""


def _broke(constraint: Constraint) -> str:
    return f"had {constraint.metric} {'above' if constraint.at_most is not None else 'below'} its bound"
