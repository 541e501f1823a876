"""The trials of an arm as columns: what a figure of very many of them is drawn from, without making a `Trial` of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweep.reading.arm import ArmFront
from sweep.reading.planes import Plane, planes
from sweep.reading.sweep import Sweep
from sweep.reading.trial import complete


@dataclass(frozen=True)
class Points:
    """Arrays over an arm's trials, in their order: both figures of a plane, NaN where there is none, and what is known of each."""

    first: np.ndarray  # upwards
    second: np.ndarray  # rightwards
    feasible: np.ndarray  # by the confirmed means where there are any
    on_front: np.ndarray
    confirmed: np.ndarray  # fully, so that its figures are means over fresh seeds

    @property
    def drawn(self) -> np.ndarray:
        """Where both figures are finite."""
        return np.isfinite(self.first) & np.isfinite(self.second)


def points_of(sweep: Sweep, arm: ArmFront, plane: Plane | None = None) -> Points:
    """The arm's trials in a plane of the front, the first one unless another is asked for."""
    plane = plane or planes(sweep)[0]
    feasible = arm.members.values("feasible") > 0
    on_front, confirmed = np.zeros(len(feasible), bool), np.zeros(len(feasible), bool)
    ids = arm.members.ids
    fully = [m for m in arm.confirmed_members if m.fully_confirmed]
    for chosen, marked in ((arm.front, on_front), (fully, confirmed)):
        marked[[ids[m.trial_id] for m in chosen]] = True
    for trial in arm.confirmed_members:
        feasible[ids[trial.trial_id]] = bool(trial.feasible)
    if plane.right is None:
        across = np.full(len(feasible), np.nan)
        for trial_id, at in ids.items():
            across[at] = sweep.order.get(trial_id, np.nan)
    else:
        across = figures_of(arm, plane.right.metric)
    upwards = figures_of(arm, plane.up.metric)
    unfinished = ~(complete(arm.members.table) | confirmed)  # whatever was measured before it failed or was stopped
    feasible[unfinished], upwards[unfinished] = False, np.nan
    return Points(upwards, across, feasible, on_front, confirmed)


def figures_of(arm: ArmFront, metric: str) -> np.ndarray:
    """A figure of the arm's trials (n,): of the fully confirmed the mean over fresh seeds, else the search's figure."""
    column = arm.members.values(metric)
    for trial in arm.confirmed_members:
        mean = trial.value(metric)
        column[arm.members.ids[trial.trial_id]] = np.nan if mean is None else mean
    return column
