"""The confirm phase's replicates as one table of fresh seeds: every interval over seeds is made of it, by all trials together.

What trials of the arms vary by from seed to seed moderates one another (`sweep.statistics.moderated`). A control is no trial of
a method, so it stands apart: its interval is of its own seeds alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sweep.procedures import Columns, Counts
from sweep.reading.samples import points_of
from sweep.records import COMPLETE
from sweep.space import Constraint
from sweep.statistics.estimates import Estimate
from sweep.statistics.moderated import Moderated

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class FreshSeeds:
    """Rows of the confirm phase's COMPLETE replicates by trial, N of each, and which trials are controls."""

    columns: Columns
    rows: Mapping[str, list[Row]]
    counts: Counts
    controls: frozenset[str]

    @classmethod
    def of(cls, columns: Columns, rows: Iterable[Row], counts: Counts, controls: Iterable[str]) -> FreshSeeds:
        """Of all rows of the confirm phase, whatever their state."""
        by_trial: dict[str, list[Row]] = {}
        for row in rows:
            if row["state"] == COMPLETE:
                by_trial.setdefault(row["trial_id"], []).append(row)
        return cls(columns, by_trial, counts, frozenset(controls))

    def moderated(self, figure: str, trial_id: str) -> Moderated:
        """The figure over the seeds of all trials that moderate this one's, itself included."""
        return self._of(figure, trial_id if trial_id in self.controls else None)

    def estimates(self, trial_id: str) -> dict[str, Estimate]:
        """Every figure of a trial over its seeds, with its interval."""
        every = {name: self.moderated(name, trial_id).estimate(trial_id) for name in self.columns.quantities}
        return {name: estimate for name, estimate in every.items() if estimate is not None}

    def within(self, trial_id: str, constraints: Iterable[Constraint]) -> Iterator[tuple[str, float]]:
        """Each constraint with the probability that the trial's mean over all seeds keeps it; none of a figure on one seed."""
        for constraint in constraints:
            if constraint.bound is None:
                continue
            below = self.moderated(constraint.metric, trial_id).probability_below(trial_id, constraint.bound)
            if below is not None:
                yield constraint.name, below if constraint.at_most is not None else 1 - below

    def difference(self, figure: str, a: str, b: str) -> Estimate | None:
        """Of two trials of arms, a − b, paired by seed."""
        return self.moderated(figure, a).difference(a, b)

    def _of(self, figure: str, control: str | None) -> Moderated:
        if (figure, control) not in self._made:
            trials = [control] if control else [t for t in self.rows if t not in self.controls]
            points = {t: points_of(self.columns, figure, self.rows.get(t, []), self.counts) for t in trials}
            self._made[figure, control] = Moderated(points, self.columns.is_share(figure))
        return self._made[figure, control]

    @cached_property
    def _made(self) -> dict[tuple[str, str | None], Moderated]:
        return {}
