"""The trials of an arm as columns: what a figure of very many of them is drawn from, without making a `Trial` of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweep.reading.arm import ArmFront
from sweep.reading.sweep import Sweep


@dataclass(frozen=True)
class Points:
    """Arrays over an arm's trials, in their order: both objectives, NaN where a trial has none, and what is known of each."""

    first: np.ndarray
    second: np.ndarray
    feasible: np.ndarray  # by the confirmed means where there are any
    on_front: np.ndarray
    confirmed: np.ndarray

    @property
    def drawn(self) -> np.ndarray:
        """Where both objectives are finite."""
        return np.isfinite(self.first) & np.isfinite(self.second)


def points_of(sweep: Sweep, arm: ArmFront) -> Points:
    """The arm's trials by the front's two objectives: the confirmed mean where there is one, else the search's figure."""
    values = [arm.members.values(o.metric) for o in sweep.objectives]
    feasible = arm.members.values("feasible") > 0
    on_front, confirmed = np.zeros(len(feasible), bool), np.zeros(len(feasible), bool)
    ids = arm.members.ids
    for chosen, marked in ((arm.front, on_front), (arm.confirmed_members, confirmed)):
        marked[[ids[m.trial_id] for m in chosen]] = True
    for trial in arm.confirmed_members:
        at = ids[trial.trial_id]
        feasible[at] = bool(trial.feasible)
        for column, objective in zip(values, sweep.objectives, strict=True):
            found = trial.value(objective.metric)
            column[at] = np.nan if found is None else found
    return Points(values[0], values[1], feasible, on_front, confirmed)
