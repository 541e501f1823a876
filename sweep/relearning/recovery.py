"""What rows of the curves and replicates tables say of a model under attack: recovery curves and what is made of them.

`recoveries` groups rows by trial and attack; all else takes one such `Recovery`, or one `Point` a seed, and gives an
`Estimate` over training seeds. Intervals of shares are those of `sweep.statistics.shares`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from sweep.procedures import START
from sweep.reading.samples import curve_point, has_value
from sweep.records import COMPLETE
from sweep.relearning.columns import RELEARNED, columns
from sweep.statistics.estimates import Estimate
from sweep.statistics.shares import Point, ratio_estimate, share_difference, share_estimate
from trainables.metrics import REVIVED, aurc, revival_step

Rows: TypeAlias = "pa.Table | Iterable[Mapping[str, Any]]"

SPAN = 0.2  # RA(θ₀) - RA_k(θ*) below which excess recovery as a ratio says nothing


Recovery = dict[int, dict[int, Point]]  # seed -> attack step -> figure


@dataclass(frozen=True)
class Revival:
    """The first rung at which each seed's model shows again what was forgotten; None where it never does within `horizon`.

    `median` over the seeds, a seed without revival counting as later than any; None where that lies past the horizon.
    """

    steps: dict[int, int | None]
    median: float | None
    horizon: int

    @property
    def revived(self) -> int:
        return sum(step is not None for step in self.steps.values())


@dataclass(frozen=True)
class WorstCase:
    """What the strongest attack recovers on each seed, chosen on the other seeds; or the `reason` of none."""

    score: Estimate | None = None
    chosen: Mapping[int, str] = field(default_factory=dict)  # by seed, the attack that recovers most on all others
    points: Mapping[int, Point] = field(default_factory=dict)  # by seed, what that one recovers there
    reason: str | None = None

    @property
    def attack(self) -> str | None:
        """The one that was chosen for most seeds."""
        votes = Counter(self.chosen.values())
        return max(sorted(votes), key=votes.__getitem__) if votes else None


@dataclass(frozen=True)
class Excess:
    """Recovery beyond learning anew: RA_k - RA_k(θ*) in points, and as a share of RA(θ₀) - RA_k(θ*) or the `reason` of none."""

    difference: Estimate | None
    ratio: Estimate | None = None
    reason: str | None = None


def recoveries(
    curves: Rows, replicates: Rows, metric: str = RELEARNED, phase: str | None = "confirm"
) -> dict[tuple[str, str], Recovery]:
    """One figure over the steps of every attack, by (trial_id, attack): of the COMPLETE replicates of a phase, or of all.

    Step 0 is the figure before any attack, and belongs to every attack of its trial.
    """
    seeds = {
        (r["trial_id"], r["replicate"]): r["seed"]
        for r in _rows(replicates)
        if r["state"] == COMPLETE and phase in (None, r["phase"])
    }
    before: dict[tuple[str, int], Point] = {}
    by_trial: dict[tuple[str, str], Recovery] = {}
    for row in _rows(curves):
        seed = seeds.get((row["trial_id"], row["replicate"]))
        if seed is None or row["metric"] != metric or not has_value(row):
            continue
        point = curve_point(columns(), row)
        if row["attack"] == START:
            before[row["trial_id"], seed] = point
        else:
            by_seed = by_trial.setdefault((row["trial_id"], row["attack"]), {})
            by_seed.setdefault(seed, {})[row["attack_step"]] = point
    for (trial_id, _), recovery in by_trial.items():
        for seed, steps in recovery.items():
            if start := before.get((trial_id, seed)):
                steps[0] = start
    return by_trial


def relearning(recovery: Recovery) -> dict[int, Estimate]:
    """The figure at every rung with its interval over samples and seeds, rungs in order."""
    estimates = {}
    for step in sorted({step for steps in recovery.values() for step in steps}):
        estimate = share_estimate([steps[step] for steps in recovery.values() if step in steps])
        if estimate is not None:
            estimates[step] = estimate
    return estimates


def aurc_by_seed(recovery: Recovery) -> dict[int, Point]:
    """AURC@K of every seed. ValueError where seeds were scored at different rungs: those are different figures.

    Its N is that of a rung, not of all: the rungs share their noise. Being a weighted mean of shares it varies at most
    as much as one share of its size over N samples would, so `share_estimate` holds for it too.
    """
    rungs = {tuple(sorted(steps)) for steps in recovery.values()}
    if len(rungs) > 1:
        raise ValueError(f"AURC of seeds scored at different rungs, {' and '.join(map(str, sorted(rungs)))}")
    return {
        seed: Point(aurc({k: p.value for k, p in steps.items()}), min(p.samples for p in steps.values()))
        for seed, steps in recovery.items()
    }


def revival(recovery: Recovery, threshold: float = REVIVED) -> Revival:
    """The revival step: the first rung whose relearning accuracy exceeds `threshold`. ValueError without any seed."""
    if not recovery:
        raise ValueError("a revival step needs the curve of at least one seed")
    steps = {
        seed: revival_step({k: point.value for k, point in points.items()}, threshold)
        for seed, points in sorted(recovery.items())
    }
    median = float(np.median([math.inf if k is None else k for k in steps.values()]))
    horizon = max(k for points in recovery.values() for k in points)
    return Revival(steps, median if math.isfinite(median) else None, horizon)


def worst_case(scores: Mapping[str, Mapping[int, Point]]) -> WorstCase:
    """The strongest attack of a suite by its mean score, larger is stronger: `scores` maps attack to seed to AURC.

    For each of the seeds that all attacks share it is chosen on the others, so that the choice does not flatter its winner:
    the largest of several noisy means is too large. Every seed is reported on, each once. What is left is the other way
    round: where the others pick a weaker attack than the strongest, the score is below the true worst case.
    """
    if not scores:
        return WorstCase(reason="no attack to choose from")
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in scores.values())))
    if len(seeds) < 2:
        return WorstCase(
            reason=f"needs 2 seeds that all attacks share, one to choose on and one to report; has {len(seeds)}"
        )
    chosen = {seed: _strongest(scores, [other for other in seeds if other != seed]) for seed in seeds}
    points = {seed: scores[attack][seed] for seed, attack in chosen.items()}
    return WorstCase(share_estimate(list(points.values())), chosen, points)


def _strongest(scores: Mapping[str, Mapping[int, Point]], seeds: Sequence[int]) -> str:
    """The attack with the largest mean score over these seeds."""
    return max(sorted(scores), key=lambda name: float(np.mean([scores[name][seed].value for seed in seeds])))


def excess_recovery(
    points_of_model: Mapping[int, Point], control: Mapping[int, Point], base: Mapping[int, Point] | None = None
) -> Excess:
    """Relearning accuracy after k steps less the retrain control's, paired by seed: see `share_difference`.

    With `base`, the untouched model's accuracy, also as a share of what unlearning could have cost, wherever that span
    is at least .2. All three map seeds to points of the same attack and step.
    """
    values = [{seed: p.value for seed, p in points.items()} for points in (points_of_model, control, base or {})]
    difference = share_difference(points_of_model, control)
    if base is None:
        return Excess(difference, reason="no base model to measure the span by")
    seeds = sorted(set.intersection(*map(set, values)))
    if not seeds:
        return Excess(difference, reason="no seed that model, retrain control and base model share")
    over = np.array([values[0][s] - values[1][s] for s in seeds])
    span = np.array([values[2][s] - values[1][s] for s in seeds])
    if span.mean() < SPAN:
        return Excess(
            difference, reason=f"RA(θ₀) - RA(θ*) is {span.mean():.2f}, below {SPAN:g}: learning anew does as much"
        )
    return Excess(difference, ratio_estimate(over, span))


def _rows(table: Rows) -> Iterable[Mapping[str, Any]]:
    return table.to_pylist() if isinstance(table, pa.Table) else table
