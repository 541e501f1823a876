"""How many independent samples each share is over, and the estimate over seeds that leaves room for them.

Which samples a figure is a share of, its column says (``samples``). A share whose column names none, as an AUC or a recall, is
not one of independent samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from sweep.procedures import Columns, Counts
from sweep.statistics.estimates import Estimate, estimate
from sweep.statistics.shares import Point, share_estimate


def points_of(columns: Columns, figure: str, rows: Iterable[Mapping[str, Any]], counts: Counts) -> dict[int, Point]:
    """The figure of each replicate that has it, by seed, with its N; 0 samples of what is no share of samples."""
    kind = columns.fact(figure, "samples")
    return {
        row["seed"]: Point(row[figure], counts.get((row["trial_id"], row["replicate"]), {}).get(kind, 0))
        for row in rows
        if row.get(figure) is not None and math.isfinite(row[figure])
    }


def has_value(row: Mapping[str, Any]) -> bool:
    """Whether a row of the curves has a value that is a number: one that is none says nothing of a mean."""
    return row["value"] is not None and math.isfinite(row["value"])


def curve_point(columns: Columns, row: Mapping[str, Any]) -> Point:
    """The figure of a row of the curves, with its N; 0 samples of what is no share of samples."""
    counted = columns.fact(row["metric"], "samples")
    return Point(row["value"], (row["samples"] or 0) if counted else 0)


def over_seeds(columns: Columns, figure: str, points: Iterable[Point]) -> Estimate | None:
    """Mean and interval over seeds: of a share `share_estimate`'s, of any other figure Student's t."""
    every = list(points)
    return share_estimate(every) if columns.is_share(figure) else estimate(p.value for p in every)
