"""When a search ends: by its trials, its time, its core-hours, or because nothing much is to be expected of more.

Whichever comes first ends it, and is told. Trials that run then are finished, and the confirm phase follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

PATIENCE = 3  # times in a row that the expected gain must be small: it is an estimate, made anew after every trial


@dataclass(frozen=True)
class Spent:
    """What a search has spent so far: wall seconds of this driver, core-seconds of all trials."""

    wall_s: float
    core_s: float


class StopRule:
    """Asked before every new trial; see `ended_by`. Zero limits nothing.

    `min_gain` is a share of the present hypervolume: the search ends once no arm's next batch of trials, one a worker, is
    expected to add that much (`sweep.samplers.nehvi.Nehvi.expected_gain`).
    """

    def __init__(self, max_hours: float = 0.0, max_core_hours: float = 0.0, min_gain: float = 0.0) -> None:
        self.max_hours, self.max_core_hours, self.min_gain = max_hours, max_core_hours, min_gain
        self._small: dict[str, int] = {}

    def ended_by(self, spent: Spent, gains: Mapping[str, Callable[[], float | None]]) -> str | None:
        """Why no further trial begins; None to go on. `gains` are the arms' expected gains, asked only where they matter.

        An arm whose sampler cannot say goes on; arms are asked one by one and the first that expects more ends the asking.
        """
        if self.max_hours and spent.wall_s >= 3600 * self.max_hours:
            return f"time: {spent.wall_s / 3600:.2f} of {self.max_hours:g} hours"
        if self.max_core_hours and spent.core_s >= 3600 * self.max_core_hours:
            return f"core-hours: {spent.core_s / 3600:.2f} of {self.max_core_hours:g}"
        if not self.min_gain or not gains:
            return None
        gains_of_arms = []
        for arm, expected in gains.items():
            gain = expected()
            if gain is None or gain >= self.min_gain:
                self._small[arm] = 0
                return None
            self._small[arm] = self._small.get(arm, 0) + 1
            gains_of_arms.append(f"{arm} {gain:.2%}")
        if min(self._small[arm] for arm in gains) < PATIENCE:
            return None
        return (
            f"expected gain of the next trials below {self.min_gain:.2%} of the hypervolume: {', '.join(gains_of_arms)}"
        )
