"""What a front is drawn in: two objectives, each pair of more of them, or one over the trials in the order in which they ended."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.reading.words import axis
from sweep.space import CONTROL, Objective

ORDER = "order"  # stands for the objective drawn rightwards where there is none


@dataclass(frozen=True)
class Plane:
    """One objective upwards and another rightwards; None there: the order in which trials ended."""

    up: Objective
    right: Objective | None

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Those that are drawn, the one upwards first."""
        return (self.up,) if self.right is None else (self.up, self.right)

    @property
    def rightwards(self) -> str:
        """The name of what is drawn rightwards."""
        return ORDER if self.right is None else self.right.metric

    def labels(self, sweep: Sweep, brief: bool = False) -> tuple[str, str]:
        """What its axes say, the one upwards first."""
        right = "trials, in the order in which they ended" if self.right is None else axis(sweep, self.right, brief)
        return axis(sweep, self.up, brief), right

    def place(self, sweep: Sweep, trial: Trial) -> tuple[float | None, float | None]:
        """How far to the right a trial is drawn, and how far up. A control, which nobody searched, is drawn before all trials."""
        if self.right is not None:
            return trial.value(self.right.metric), trial.value(self.up.metric)
        return 0 if trial.arm == CONTROL else sweep.order.get(trial.trial_id), trial.value(self.up.metric)


def planes(sweep: Sweep) -> tuple[Plane, ...]:
    """Every pair of the objectives, in their order; of one objective it over the trials."""
    if len(sweep.objectives) == 1:
        return (Plane(sweep.objectives[0], None),)
    return tuple(Plane(up, right) for up, right in combinations(sweep.objectives, 2))
