"""Rows of the curves table as points of named series, which is what trackers of experiments draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sweep.procedures import START, Procedure
from sweep.reading.samples import has_value


def scalars(procedure: Procedure, curves: list[Mapping[str, Any]]) -> Iterable[tuple[str, int, float]]:
    """(METRIC/SERIES, step, value): the points of `START` begin every other series of a metric that has its curves from there.

    Of confirm replicate r with ``/rR`` behind it. What is not finite has no point.
    """
    columns, traces = procedure.columns(), procedure.traces()
    others = {(c["replicate"], c[columns.series]) for c in curves if c[columns.series] != START}
    for c in curves:
        suffix = f"/r{c['replicate']}" if c["replicate"] else ""
        if not has_value(c):
            continue
        if c[columns.series] != START:
            yield f"{c['metric']}/{c[columns.series]}{suffix}", c[columns.step], c["value"]
        elif traces.begins_at_start(c["metric"]):
            for replicate, series in others or {(c["replicate"], START)}:
                if replicate == c["replicate"]:
                    yield f"{c['metric']}/{series}{suffix}", c[columns.step], c["value"]
