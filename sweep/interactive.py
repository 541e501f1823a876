"""The page's interactive figures, as Plotly's own JSON: the front and the recovery curves.

Marks and conventions are those of `sweep.figures`; ink and grid colours are left to the page, which follows the
reader's light or dark scheme.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.figures import GREY, MARKS, SHOWN_CURVES, Mark, bounds, marks, role, window
from sweep.fronts import ArmFront, Front
from sweep.members import Member
from sweep.pareto import FEW_ARMS, Estimate, Recovery, recoveries
from sweep.space import CONTROL
from sweep.wording import axis, interval, shown

Spec = dict[str, Any]

CONFIG: Spec = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
}
SMALL: Spec = CONFIG | {"displayModeBar": False}  # a panel has no room for buttons


def front_plot(front: Front) -> Spec:
    """One objective against the other; every point tells its trial, parameters and figures on hover."""
    traces: list[Spec] = []
    for arm in front.arms.values():
        traces += _arm_traces(front, arm)
    for control in front.controls.values():
        if _drawn(front, control):
            name = "retrain control" if role(control) == "retrain" else "base model"
            traces.append(_points(front, [control], MARKS[role(control)], name, 11, filled=True, labelled=False))
    first, second = front.objectives
    layout: Spec = {
        "margin": {"l": 56, "r": 12, "t": 34, "b": 48},
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        "xaxis": {"title": {"text": axis(front, second, brief=True)}, "zeroline": False, "automargin": True},
        "yaxis": {"title": {"text": axis(front, first, brief=True)}, "zeroline": False, "automargin": True},
        "shapes": [], "annotations": [],
    }  # fmt: skip
    if front.budget is not None and second.metric == "fid_delta":
        line = {"color": GREY, "dash": "dash", "width": 1.5}
        at = {"xref": "x", "yref": "paper", "x": front.budget}
        layout["shapes"].append(
            {
                "type": "line",
                "xref": "x",
                "yref": "paper",
                "x0": front.budget,
                "x1": front.budget,
                "y0": 0,
                "y1": 1,
                "line": line,
            }
        )
        layout["annotations"].append(
            at | {"y": 1, "text": f"FID budget {front.budget:.3g}", "showarrow": False, "xanchor": "left", "xshift": 4}
        )
    x0, x1, y0, y1 = window(front)  # a double-click shows everything
    layout["xaxis"]["range"], layout["yaxis"]["range"] = [x0, x1], [y0, y1]
    return {"data": traces, "layout": layout, "config": CONFIG}


def recovery_plots(front: Front) -> list[Spec]:
    """Relearning accuracy against log2(k + 1), one figure an attack, with `title` beside Plotly's three parts."""
    return [_recovery(panel, front) for panel in recoveries(front)]


def _drawn(front: Front, member: Member) -> bool:
    return all(member.value(o.metric) is not None for o in front.objectives)


def _arm_traces(front: Front, arm: ArmFront) -> Iterable[Spec]:
    """An arm's front and what lies off it; one entry of the legend switches all of it where arms are many."""
    traces = list(_traces(front, arm))
    if len(front.arms) > FEW_ARMS:
        for i, trace in enumerate(traces):
            trace |= {"legendgroup": arm.name, "showlegend": i == 0}
            trace["name"] = html.escape(arm.name) if i == 0 else trace["name"]
    return traces


def _traces(front: Front, arm: ArmFront) -> Iterable[Spec]:
    mark = marks(front)[arm.name]
    name = arm.name + (" (baseline)" if arm.baseline else "")
    how = f"front confirmed on {len(set(front.seeds().values()))} seeds" if arm.confirmed else "search front, one seed"
    drawn = [m for m in arm.members if _drawn(front, m)]
    second = front.objectives[1].metric
    on = sorted((m for m in drawn if m.on_front), key=lambda m: m.value(second) or 0.0)
    if on:
        yield _points(
            front, on, mark, f"{name}: {how}", 11 if arm.confirmed else 9, filled=arm.confirmed, labelled=True
        )
    groups = (
        (
            "feasible, confirmed off the front",
            [m for m in drawn if m.feasible and not m.on_front and m.confirmed],
            mark.colour,
        ),
        ("feasible, search only", [m for m in drawn if m.feasible and not m.on_front and not m.confirmed], mark.colour),
        ("infeasible", [m for m in drawn if not m.feasible], GREY),
    )
    for told, members, colour in groups:
        if members:
            pale = Mark(colour, mark.shape, mark.symbol, mark.dash, mark.line)
            yield _points(front, members, pale, f"{name}: {told}", 6, filled="confirmed" in told, labelled=False)


def _points(
    front: Front, members: list[Member], mark: Mark, name: str, size: int, filled: bool, labelled: bool
) -> Spec:
    y, x = ([m.at(o.metric) for m in members] for o in front.objectives)
    line = labelled and len(members) > 1
    spec: Spec = {
        "type": "scatter",
        "mode": ("lines+" if line else "") + "markers" + ("+text" if labelled else ""),
        "name": html.escape(name),
        "x": [e.mean if e else None for e in x],
        "y": [e.mean if e else None for e in y],
        "hovertext": [_hover(front, m) for m in members],
        "hoverinfo": "text",
        "marker": {"symbol": mark.symbol + ("" if filled else "-open"), "size": size, "color": mark.colour},
        "line": {"color": mark.colour, "dash": mark.dash, "width": 1},
        "error_x": _bars(x, mark.colour, size),
        "error_y": _bars(y, mark.colour, size),
    }
    if labelled:
        told = [m.trial_id if len(front.arms) <= FEW_ARMS else m.arm for m in members]
        if len(front.arms) > FEW_ARMS:  # an arm's name once, at its best member
            told[:-1] = [""] * (len(told) - 1)
        spec |= {"text": [html.escape(t) for t in told], "textfont": {"size": 11}}
        spec["textposition"] = (
            "top left" if mark == MARKS["main"] else "bottom right"
        )  # where a rising front leaves room
        spec |= {"cliponaxis": False}
    return spec


def _bars(values: list[Estimate | None], colour: str, size: int) -> Spec:
    halves = [e.upper - e.mean if e and e.upper is not None else None for e in values]
    width = {"thickness": 1.4, "width": 4} if size > 6 else {"thickness": 0.7, "width": 2}
    return {"type": "data", "array": halves, "color": colour, "visible": any(h is not None for h in halves)} | width


def _hover(front: Front, member: Member) -> str:
    """A hover's text in Plotly's small markup; everything that is not ours is escaped."""
    lines = [f"<b>{html.escape(member.trial_id)}</b> {html.escape(member.state.lower())}"]
    lines += [
        f"{html.escape(k)} = {html.escape(f'{v:.4g}' if isinstance(v, float) else str(v))}"
        for k, v in member.parameters.items()
    ]
    for metric in shown(front):
        lines.append(f"{metric.replace('_', ' ')} {interval(member.at(metric))}")
    n = len(front.seeds(member.trial_id))
    lines.append(f"mean [95 % interval] over {n} fresh seeds" if member.confirmed else "one seed, search only")
    return "<br>".join(lines)


def _recovery(panel: Recovery, front: Front) -> Spec:
    others = [s.trial_id for s in panel.series if s.arm != CONTROL][SHOWN_CURVES:]
    curves = [
        Curve(
            series.label,
            MARKS[series.role] if series.arm == CONTROL else marks(front)[series.arm],
            dict(zip(series.steps, series.values, strict=True)),
            series.trial_id in others,
        )
        for series in panel.series
    ]
    title = panel.attack + ("" if panel.counts else " (does not count: its data hold what was forgotten)")
    return recovery_chart(curves, front.rungs) | {"title": title}


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
        "legend": {"orientation": "h", "y": -0.24, "yanchor": "top", "x": 0},
        "xaxis": {"title": {"text": "attack step k, spaced by log2(k + 1)"}, "zeroline": False} | ticks,
        "yaxis": {"title": {"text": "relearning accuracy"}, "range": [-0.03, 1.03], "zeroline": False},
    }
    return {"data": traces, "layout": layout, "config": SMALL}
