"""What rows say of a replicate under attack: errors of its figures over sampling, what it can still be, noise between seeds.

The same rows say it while the trial runs and after a restart, so a restarted sweep knows what the first one knew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.procedures import START, Row
from sweep.relearning.columns import AFTER_ATTACK, RELEARNED, RETAINED, columns
from sweep.space import SearchSpace
from trainables.metrics import aurc

Curves = dict[str, dict[int, float]]
"""Relearning accuracy by attack and attack step; step 0 is before any."""
WITHSTOOD = {"robustness": True, "malicious_robustness": False}  # 1 - max AURC, and whether of the attacks that count

# What training seeds add to the noise of sampling, from the recorded sweep, 50 settings on 3 seeds (benchmarks/search.md):
# fid_delta varies 1.8 times as much as over sampling seeds; shares by .28 on the logit scale beyond the binomial.
SEEDS_FACTOR = 1.8
LOGIT_SD = 0.28


@dataclass(frozen=True)
class Knowledge:
    """Of one run. `fid_delta_sd` is over sampling seeds, as the prepare phase measured it; infinite where it did not.

    `rungs` are the question's, empty where the run's were others: then its curves say nothing here. `samples` are those of
    the forgotten condition, `retained` those of all retained ones together, 0 where they are not known.
    """

    rungs: tuple[int, ...]
    fid_delta_sd: float = math.inf
    samples: int = 0
    retained: int = 0

    def errors(self, figures: Row, curves: Sequence[Row]) -> dict[str, float]:
        """Standard errors over sampling, training seeds left out.

        A share's is binomial, one hit and one miss added. An AURC's is that of its rungs, weighted as they enter it: they
        share their noise, so their errors add up.
        """
        errors = {}
        if figures.get("fid_delta") is not None and math.isfinite(self.fid_delta_sd):
            errors["fid_delta"] = self.fid_delta_sd
        for share in ("unlearning_accuracy", "retain_accuracy"):
            n = self._samples_of(share)
            if n and figures.get(share) is not None:
                errors[share] = binomial(figures[share], n)
        for metric, attacks in self._curves(curves).items():
            if figures.get(metric) is not None and attacks:
                errors[metric] = self._error(self._worst(attacks))
        return errors

    def possible(self, curves: Sequence[Row]) -> dict[str, tuple[float, float]]:
        """1 - the largest AURC that is certain already, with its error.

        A rung not reached may still show a relearning accuracy of 0 and counts as that: the whole trapezoid is at least
        that of the rungs that are there. Nothing of a figure without a rung, not even the one before any attack.
        """
        bounds = {}
        for metric, attacks in self._curves(curves).items():
            if attacks:
                worst = self._worst(attacks)
                bounds[metric] = 1.0 - self._certain(worst), self._error(worst)
        return bounds

    def sd(self, figure: str, value: float) -> float:
        """Of one replicate about the mean over seeds."""
        if figure == "fid_delta":
            return SEEDS_FACTOR * self.fid_delta_sd if math.isfinite(self.fid_delta_sd) else 0.0
        n = self._samples_of(figure)
        if not columns().is_share(figure) or not n:
            return 0.0
        p = (min(max(value, 0.0), 1.0) * n + 1) / (n + 2)
        return math.hypot(math.sqrt(p * (1 - p) / n), LOGIT_SD * p * (1 - p))

    def _samples_of(self, figure: str) -> int:
        """N of what a share is of; after an attack as many retained ones are drawn as before it."""
        return self.retained if columns().fact(figure, "samples") in (RETAINED, AFTER_ATTACK) else self.samples

    def _curves(self, rows: Sequence[Row]) -> dict[str, Curves]:
        return curves_of(rows) if self.rungs else {}

    def _worst(self, attacks: Curves) -> dict[int, float]:
        return max(attacks.values(), key=self._certain)

    def _certain(self, curve: Mapping[int, float]) -> float:
        """The AURC that a curve has at least; its AURC where it lacks no rung."""
        return aurc({step: curve.get(step, 0.0) for step in self.rungs})

    def _error(self, curve: Mapping[int, float]) -> float:
        """Standard error of `_certain`."""
        if not self.samples:
            return 0.0
        return self._certain({step: binomial(accuracy, self.samples) for step, accuracy in curve.items()})


def knowledge_of(space: SearchSpace, prepared: Row, plan: Row) -> Knowledge:
    """Of a run of this question, by its ``prepared.json`` and the values of its plan."""
    rungs = space.rungs if tuple(plan.get("rungs", space.rungs)) == space.rungs else ()
    samples = plan.get("samples_forgotten") or 0, prepared.get("samples_retained") or 0
    return Knowledge(rungs, prepared.get("fid_delta_sd", math.inf), *samples)


def curves_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Curves]:
    """The curves that each figure of WITHSTOOD is of, from one replicate's rows of the curves table."""
    before: dict[int, float] = {}
    by_metric: dict[str, Curves] = {metric: {} for metric in WITHSTOOD}
    for row in rows:
        if row["metric"] != RELEARNED or row["value"] is None:
            continue
        if row["attack"] == START:
            before[row["attack_step"]] = row["value"]
        else:
            metric = next(m for m, counts in WITHSTOOD.items() if counts == bool(row["counts"]))
            by_metric[metric].setdefault(row["attack"], {})[row["attack_step"]] = row["value"]
    return {
        metric: {attack: before | curve for attack, curve in attacks.items()} for metric, attacks in by_metric.items()
    }


def binomial(share: float, n: int) -> float:
    """Standard error of a share of `n` samples, one hit and one miss added."""
    p = (share * n + 1) / (n + 2)
    return math.sqrt(p * (1 - p) / n)
