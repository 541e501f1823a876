"""One trial as a reader sees it: its figures on the search's seed and, where it was confirmed, over fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep.procedures import Columns
from sweep.reading.fresh_seeds import FreshSeeds, Row
from sweep.records import COMPLETE, recorded_settings
from sweep.space import Constraint, Objective
from sweep.space.parameters import word
from sweep.statistics.estimates import Estimate

_AT_ONCE = 1024


@dataclass(frozen=True)
class Trial:
    """One trial of an arm: its figures on the search's seed and, where it was confirmed, over fresh seeds.

    Fresh seeds may have shown the figures of its bounds alone: whether it is `feasible` is by these, and it is not
    `fully_confirmed`, so its figures are told as the search's one seed has them, and no front over fresh seeds holds it.
    """

    trial_id: str
    arm: str
    method: str
    baseline: bool
    state: str
    cause: str | None
    parameters: dict[str, Any]
    search: dict[str, float | None]
    confirmed: dict[str, Estimate] | None  # the figures that fresh seeds have shown, perhaps of its bounds alone
    within: dict[str, float]  # by constraint, the probability that it holds, given the confirmed seeds; see `trial_of`
    constraints: tuple[str, ...]  # the names of all that there are
    objectives: tuple[str, ...]  # the figures that the front is of; a control's, which nobody ranks, are none
    search_feasible: bool | None  # null where the search did not score it
    feasible: bool | None  # by the confirmed means where there are any, else the search's
    on_search_front: bool
    on_front: bool  # the confirmed front where its arm has one, else the search front

    @property
    def fully_confirmed(self) -> bool:
        """Whether fresh seeds have shown every objective, so that it can be ranked by them."""
        return self.confirmed is not None and all(name in self.confirmed for name in self.objectives)

    @property
    def chance(self) -> float | None:
        """The least probability that all constraints hold, by Bonferroni's inequality; None where seeds do not say that of each."""
        if not self.constraints or any(name not in self.within for name in self.constraints):
            return None
        return max(0.0, 1.0 - sum(1.0 - self.within[name] for name in self.constraints))

    def value(self, metric: str) -> float | None:
        """Of a fully confirmed trial the mean over fresh seeds where there is one; else the search's figure."""
        if self.confirmed is not None and self.fully_confirmed and metric in self.confirmed:
            return self.confirmed[metric].mean
        return self.search.get(metric)

    def setting(self, name: str) -> Any:
        """A setting as a table shows it: the word ``None`` where that is what was asked, null where it has no such setting."""
        value = self.parameters.get(name)
        return word(value) if value is None and name in self.parameters else value

    def at(self, metric: str) -> Estimate | None:
        """`value` with its interval; a search figure is an estimate from one seed. Never of both: they are of other seeds."""
        if self.confirmed is not None and self.fully_confirmed:
            return self.confirmed.get(metric)
        value = self.search.get(metric)
        return None if value is None else Estimate(value, None, None, 1)


@dataclass(frozen=True)
class Luck:
    """Of confirmed trials, how many measured `feasible` on the search's seed and how many of them are not by the confirmed
    means (`lost`); how many measured `infeasible` and how many of them are feasible after all (`won`)."""

    feasible: int
    lost: int
    infeasible: int
    won: int

    def __str__(self) -> str:
        """Empty where nothing was confirmed."""
        phrases = []
        if self.feasible:
            phrases.append(
                f"{self.lost} of {self.feasible} trials that measured feasible in the search are not, by the confirmed means"
            )
        if self.infeasible:
            phrases.append(f"{self.won} of {self.infeasible} that measured infeasible are feasible")
        return "; ".join(phrases)


def luck_of(confirmed: Iterable[Trial]) -> Luck:
    """What one seed's luck did to the feasibility of the confirmed members; those without a verdict are left out."""
    both = [(m.search_feasible, m.feasible) for m in confirmed if None not in (m.search_feasible, m.feasible)]
    feasible, infeasible = ([after for before, after in both if before is kind] for kind in (True, False))
    return Luck(len(feasible), feasible.count(False), len(infeasible), infeasible.count(True))


class Trials(Sequence[Trial]):
    """An arm's members in the order of their trials. Each is made when it is first looked at: of many, few ever are."""

    def __init__(self, trials: pa.Table, make: Callable[[int, Row], Trial]) -> None:
        self.table, self._make = trials, make
        self._made: dict[int, Trial] = {}

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Where each trial is."""
        return {trial_id: i for i, trial_id in enumerate(self.table["trial_id"].to_pylist())}

    def values(self, name: str) -> np.ndarray:
        """A column as the search recorded it: see `values_of`."""
        return values_of(self.table, name)

    @overload
    def __getitem__(self, at: int) -> Trial: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Trial, ...]: ...
    def __getitem__(self, at: int | slice) -> Trial | tuple[Trial, ...]:
        if isinstance(at, slice):
            return tuple(self[i] for i in range(*at.indices(len(self))))
        at = range(len(self))[at]
        if at not in self._made:
            self._made[at] = self._make(at, self.table.slice(at, 1).to_pylist()[0])
        return self._made[at]

    def __iter__(self) -> Iterator[Trial]:
        for begin in range(0, len(self), _AT_ONCE):  # a row at a time costs five times as much
            rows = None
            for i in range(begin, min(begin + _AT_ONCE, len(self))):
                if i not in self._made:
                    rows = rows or self.table.slice(begin, _AT_ONCE).to_pylist()
                    self._made[i] = self._make(i, rows[i - begin])
                yield self._made[i]


def values_of(trials: pa.Table, name: str) -> np.ndarray:
    """A column of figures, or of what is true or false, as float64 of one's own; NaN where there is none."""
    if name not in trials.column_names:
        return np.full(trials.num_rows, np.nan)
    return np.array(pc.fill_null(pc.cast(trials[name], pa.float64()), math.nan).to_numpy())


def complete(trials: pa.Table) -> np.ndarray:
    """(n,) bool: which trials came to their end, whatever else was measured."""
    return np.array(pc.equal(trials["state"], COMPLETE).to_numpy(), dtype=bool)


def trial_of(columns: Columns, plan: Row, constraints: Sequence[Constraint], trial: Row, fresh: FreshSeeds) -> Trial:
    """The member that a trial's row and its fresh seeds make; its place on the fronts is not known yet."""
    trial_id, arm = trial["trial_id"], plan["arms"].get(trial["arm"], {})
    return Trial(
        trial_id=trial_id,
        arm=trial["arm"],
        method=trial["method"],
        baseline=bool(arm.get("baseline", False)),
        state=trial["state"],
        cause=trial["cause"],
        parameters=recorded_settings(trial),
        search={name: trial.get(name) for name in columns.names},  # an older run lacks the newer figures
        confirmed=fresh.estimates(trial_id) if trial_id in fresh.rows else None,
        within=dict(fresh.within(trial_id, constraints)),
        constraints=tuple(c.name for c in constraints),
        objectives=() if trial_id in fresh.controls else tuple(o["metric"] for o in plan["objectives"]),
        search_feasible=trial.get("feasible"),
        feasible=trial.get("feasible"),
        on_search_front=False,
        on_front=False,
    )


def objectives_of(plan: Mapping[str, Any]) -> tuple[Objective, ...]:
    """What a plan's file tells of the figures to push."""
    return tuple(Objective(o["metric"], o["direction"]) for o in plan["objectives"])


def constraints_of(plan: Mapping[str, Any], bounds: Mapping[str, float]) -> tuple[Constraint, ...]:
    """The constraints that a plan's file tells, with the numbers of bounds that are words once they are known."""
    declared = [
        Constraint(c["metric"], c.get("at_most"), c.get("at_least"), c.get("name", "")) for c in plan["constraints"]
    ]
    return tuple(c.bounded(bounds) for c in declared)
