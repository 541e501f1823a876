"""How many independent samples each share is over, and the estimate over seeds that leaves room for them.

Which samples a figure is a share of, its column says (`fact(FIGURE, "samples")`): those of what was forgotten, those of what
is retained, or the latter after an attack. A share whose column names none, as an AUC or a recall, is not one of
independent samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from sweep.records import AFTER_ATTACK, FORGOTTEN, RETAINED, fact
from sweep.statistics.estimates import Estimate, estimate
from sweep.statistics.shares import Point, share_estimate

Counts: TypeAlias = dict[tuple[str, int], dict[str, int]]  # (trial_id, replicate) -> N by kind of samples

CURVE_COLUMNS = ("trial_id", "replicate", "attack", "metric", "samples")  # what `counts_of` asks of the curves
COUNTED_BY = "retain_accuracy"  # the curve whose N is that of all retained conditions; replicates tell N of each
RELEARNED = "relearning_accuracy"  # of curves alone: a share of the samples of what was forgotten


def counts_of(replicates: Iterable[Mapping[str, Any]], curves: Iterable[Mapping[str, Any]]) -> Counts:
    """N of every kind of samples, by replicate, from rows of the replicates table and the curves' CURVE_COLUMNS."""
    counts = {(row["trial_id"], row["replicate"]): {FORGOTTEN: row["samples_forgotten"] or 0} for row in replicates}
    for row in curves:
        own = counts.get((row["trial_id"], row["replicate"]))
        if own is not None and row["metric"] == COUNTED_BY and row["samples"]:
            kind = RETAINED if row["attack"] == "none" else AFTER_ATTACK
            own[kind] = min(own.get(kind, row["samples"]), row["samples"])
    return counts


def points_of(figure: str, rows: Iterable[Mapping[str, Any]], counts: Counts) -> dict[int, Point]:
    """The figure of each replicate that has it, by seed, with its N; 0 samples of what is no share of samples."""
    kind = fact(figure, "samples")
    return {
        row["seed"]: Point(row[figure], counts.get((row["trial_id"], row["replicate"]), {}).get(kind, 0))
        for row in rows
        if row.get(figure) is not None and math.isfinite(row[figure])
    }


def curve_point(row: Mapping[str, Any]) -> Point:
    """The figure of a row of the curves, with its N; 0 samples of what is no share of samples."""
    counted = row["metric"] == RELEARNED or fact(row["metric"], "samples")
    return Point(row["value"], (row["samples"] or 0) if counted else 0)


def over_seeds(figure: str, points: Iterable[Point]) -> Estimate | None:
    """Mean and interval over seeds: of a share `share_estimate`'s, of any other figure Student's t."""
    found = list(points)
    share = figure == RELEARNED or fact(figure, "unit") == "share"
    return share_estimate(found) if share else estimate(p.value for p in found)
