"""The page's interactive figures of curves, as Plotly's own JSON.

Marks and conventions are those of `sweep.page.curves`; ink and grid colours are left to the page, which follows the
reader's light or dark scheme.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sweep.page.curves import SHARES, SHOWN_CURVES, bounds, places
from sweep.page.marks import Mark, mark_of
from sweep.procedures.panels import Axes, Panel
from sweep.reading.sweep import Sweep
from sweep.reading.words import interval
from sweep.space import CONTROL
from sweep.statistics.estimates import Estimate

Spec = dict[str, Any]

CONFIG: Spec = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
}
SMALL: Spec = CONFIG | {"displayModeBar": False}  # a panel has no room for buttons


@dataclass(frozen=True)
class DrawnCurve:
    """A figure by step, and how it is drawn; a `hidden` one is switched on in the legend."""

    label: str
    mark: Mark
    values: dict[int, Estimate]
    hidden: bool = False


def panel_chart(sweep: Sweep, axes: Axes, panel: Panel) -> Spec:
    """A panel's curves; of very many arms those that stand first are drawn at once."""
    others = [c.trial_id for c in panel.curves if c.arm != CONTROL][SHOWN_CURVES:]
    curves = [
        DrawnCurve(
            curve.label,
            mark_of(sweep, curve.arm, curve.trial_id),
            dict(zip(curve.steps, curve.values, strict=True)),
            curve.trial_id in others,
        )
        for curve in panel.curves
    ]
    return curves_chart(axes, curves)


def curves_chart(axes: Axes, curves: Iterable[DrawnCurve]) -> Spec:
    """A figure over steps, each curve with the band of its intervals."""
    traces: list[Spec] = []
    for curve in curves:
        hidden = {"visible": "legendonly"} if curve.hidden else {}
        x, values = places(axes, tuple(curve.values)), tuple(curve.values.values())
        low, high = bounds(axes, values)
        if not hidden and any(e.lower is not None for e in values):
            band: Spec = {"type": "scatter", "mode": "lines", "x": x + x[::-1], "y": high + low[::-1], "fill": "toself"}
            band |= {"hoverinfo": "skip", "fillcolor": curve.mark.colour, "opacity": 0.18, "line": {"width": 0}}
            traces.append(band | {"showlegend": False, "legendgroup": curve.label})
        label = html.escape(curve.label)
        texts = [f"{label}<br>{html.escape(axes.symbol)} = {k}: {interval(e)}" for k, e in curve.values.items()]
        line: Spec = {"type": "scatter", "mode": "lines+markers", "name": label, "x": x, "y": [e.mean for e in values]}
        line |= {"hovertext": texts, "hoverinfo": "text", "legendgroup": curve.label}
        line |= {"line": {"color": curve.mark.colour, "dash": curve.mark.dash, "width": 2}}
        traces.append(line | {"marker": {"symbol": curve.mark.symbol, "size": 7, "color": curve.mark.colour}} | hidden)
    ticks = {"tickvals": places(axes, axes.steps), "ticktext": [str(k) for k in axes.steps]}
    share = {"range": list(SHARES)} if axes.share else {}
    layout = {
        "margin": {"l": 48, "r": 10, "t": 10, "b": 44},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "maxheight": 0.35},
        "xaxis": {"title": {"text": html.escape(axes.x)}, "zeroline": False, "automargin": True} | ticks,
        "yaxis": {"title": {"text": html.escape(axes.y)}} | share | {"zeroline": False},
    }
    return {"data": traces, "layout": layout, "config": SMALL}
