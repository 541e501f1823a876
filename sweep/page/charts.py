"""The page's interactive figures, as Plotly's own JSON: the front and the recovery curves.

Marks and conventions are those of `sweep.page.figures`; ink and grid colours are left to the page, which follows the
reader's light or dark scheme.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.page.figures import MARKS, SHOWN_CURVES, Mark, bounds, marks
from sweep.reading.sweep import Sweep
from sweep.reading.words import interval
from sweep.relearning.panels import Panel, recovery_panels
from sweep.space import CONTROL
from sweep.statistics.estimates import Estimate

Spec = dict[str, Any]

CONFIG: Spec = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
}
SMALL: Spec = CONFIG | {"displayModeBar": False}  # a panel has no room for buttons


def recovery_plots(sweep: Sweep) -> list[Spec]:
    """Relearning accuracy against log2(k + 1), one figure an attack, with `title` beside Plotly's three parts."""
    return [_recovery(panel, sweep) for panel in recovery_panels(sweep)]


def _recovery(panel: Panel, sweep: Sweep) -> Spec:
    others = [s.trial_id for s in panel.series if s.arm != CONTROL][SHOWN_CURVES:]
    curves = [
        Curve(
            series.label,
            MARKS[series.role] if series.arm == CONTROL else marks(sweep)[series.arm],
            dict(zip(series.steps, series.values, strict=True)),
            series.trial_id in others,
        )
        for series in panel.series
    ]
    title = panel.attack + ("" if panel.counts else " (does not count: its data hold what was forgotten)")
    return recovery_chart(curves, sweep.rungs) | {"title": title}


@dataclass(frozen=True)
class Curve:
    """Relearning accuracy by attack step, and how it is drawn; a `hidden` one is switched on in the legend."""

    label: str
    mark: Mark
    values: dict[int, Estimate]
    hidden: bool = False


def recovery_chart(curves: Iterable[Curve], rungs: Sequence[int]) -> Spec:
    """Relearning accuracy against log2(k + 1), each curve with the band of its intervals."""
    traces: list[Spec] = []
    for curve in curves:
        hidden = {"visible": "legendonly"} if curve.hidden else {}
        x, values = [math.log2(k + 1) for k in curve.values], tuple(curve.values.values())
        low, high = bounds(values)
        if not hidden and any(e.lower is not None for e in values):
            band: Spec = {"type": "scatter", "mode": "lines", "x": x + x[::-1], "y": high + low[::-1], "fill": "toself"}
            band |= {"hoverinfo": "skip", "fillcolor": curve.mark.colour, "opacity": 0.18, "line": {"width": 0}}
            traces.append(band | {"showlegend": False, "legendgroup": curve.label})
        label = html.escape(curve.label)
        told = [f"{label}<br>k = {k}: {interval(e)}" for k, e in curve.values.items()]
        line: Spec = {"type": "scatter", "mode": "lines+markers", "name": label, "x": x, "y": [e.mean for e in values]}
        line |= {"hovertext": told, "hoverinfo": "text", "legendgroup": curve.label}
        line |= {"line": {"color": curve.mark.colour, "dash": curve.mark.dash, "width": 2}}
        traces.append(line | {"marker": {"symbol": curve.mark.symbol, "size": 7, "color": curve.mark.colour}} | hidden)
    ticks = {"tickvals": [math.log2(k + 1) for k in rungs], "ticktext": [str(k) for k in rungs]}
    layout = {
        "margin": {"l": 48, "r": 10, "t": 10, "b": 44},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "maxheight": 0.35},
        "xaxis": {"title": {"text": "attack step k, spaced by log2(k + 1)"}, "zeroline": False, "automargin": True}
        | ticks,
        "yaxis": {"title": {"text": "relearning accuracy"}, "range": [-0.03, 1.03], "zeroline": False},
    }
    return {"data": traces, "layout": layout, "config": SMALL}
