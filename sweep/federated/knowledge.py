"""What rows say of a run's figures beyond their values: their errors over synthetic rows, and how training seeds differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.federated.columns import ALL
from sweep.procedures import Row

_TWO_SIDED = 1.96  # standard errors of a 95 % interval

# Standard deviation of a replicate over training seeds, as a share of its mean, of the default run's confirmed trials on two or
# three fresh seeds: .17 to .29, .08 to .11, .02 to .04 and .07 to .11.
SEEDS_SHARE = {"fd": 0.25, "party_fd": 0.1, "dependence_error": 0.03, "utility_gap": 0.09}


@dataclass(frozen=True)
class Knowledge:
    """Of one run; `samples` are a trial's synthetic rows."""

    samples: int

    def errors(self, figures: Row, curves: Sequence[Row]) -> dict[str, float]:
        """Of fd as the score resampled it; of agreement a binomial's, one hit and one miss added."""
        errors = {}
        for row in curves:
            if (row["party"], row["metric"]) == (ALL, "fd") and row["lower"] is not None and row["upper"] is not None:
                errors["fd"] = (row["upper"] - row["value"]) / _TWO_SIDED
        agreement = figures.get("cross_agreement")
        if agreement is not None and self.samples:
            p = (agreement * self.samples + 1) / (self.samples + 2)
            errors["cross_agreement"] = math.sqrt(p * (1 - p) / self.samples)
        return errors

    def possible(self, curves: Sequence[Row]) -> dict[str, tuple[float, float]]:
        """Nothing: a training may still come to anything."""
        return {}

    def sd(self, figure: str, value: float) -> float:
        """Of one replicate about the mean over seeds."""
        return SEEDS_SHARE.get(figure, 0.0) * abs(value)
