"""Which trials a page holds: all of them, or, of more than it can, the front, those nearest to it and a share of the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sweep.reading.arm import ArmFront
from sweep.reading.columns import figures_of, points_of
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial, values_of

MOST = 2_000  # trials of one run; a thousand of them are half a megabyte of the page


@dataclass(frozen=True)
class Held:
    """The members a page holds, the best first; of `total` trials, the `nearest` to the front, and 1 in `every` of the rest."""

    members: tuple[Trial, ...]
    total: int
    nearest: int
    every: int

    @property
    def left_out(self) -> str | None:
        """What is left out, in a sentence; None where nothing is."""
        if len(self.members) == self.total:
            return None
        return (
            f"Of {self.total:,} trials this page draws {len(self.members):,}: every member of a front and every confirmed "
            f"trial, the {self.nearest:,} nearest to a front, and 1 in {self.every:,} of the others. Counts, tables, "
            "hypervolume and times are of all."
        )


def held(sweep: Sweep, most: int = MOST) -> Held:
    """The trials of a run that its page holds, the nearest to the front of their arm first."""
    arms = list(sweep.arms.values())
    gaps: list[tuple[float, int, int]] = []  # of each trial, with the places of its arm and of itself there
    for i, arm in enumerate(arms):
        gaps += [(value, i, j) for j, value in enumerate(gap(sweep, arm).tolist())]
    by_gap = [(i, j) for _, i, j in sorted(gaps)]
    if len(by_gap) <= most:
        chosen, every, nearest = by_gap, 1, len(by_gap)
    else:
        nearest = most // 2
        others = sorted(by_gap[nearest:])  # in order of trials: the sample spans the whole search
        every = math.ceil(len(others) / (most - nearest))
        chosen = by_gap[:nearest] + others[::every]
    return Held(tuple(arms[i].members[j] for i, j in chosen), len(by_gap), nearest, every)


def gap(sweep: Sweep, arm: ArmFront) -> np.ndarray:
    """How far each trial of an arm is from its front (n,): -1 on it or confirmed, 0 beside it; infinite without figures.

    The least improvement in all objectives at once after which no member of the front would dominate it (the additive
    epsilon indicator), in units of the spread of the arm's trials, and the violations of its constraints on top.
    """
    points = points_of(sweep, arm)
    costs = np.stack([o.sign * figures_of(arm, o.metric) for o in sweep.objectives], axis=1)
    gaps = np.full(len(costs), np.inf)
    drawn = np.isfinite(costs).all(axis=1)
    if drawn.any():
        low, high = np.quantile(costs[drawn], (0.05, 0.95), axis=0)
        costs /= np.where(high > low, high - low, 1.0)
        gaps[drawn] = 0.0
        for member in costs[points.on_front & drawn]:
            behind = (costs[drawn] - member).min(axis=1)
            gaps[drawn] = np.maximum(gaps[drawn], behind)
        table = arm.members.table
        for name in table.column_names:
            if name.startswith("excess_"):
                gaps += np.nan_to_num(np.clip(values_of(table, name), 0.0, None))
    gaps[points.on_front] = -1.0
    gaps[[arm.members.ids[m.trial_id] for m in arm.confirmed_members]] = -1.0
    return gaps
