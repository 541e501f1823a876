"""The curves of the best trials as one figure: a panel a series, with 95 % bands where there are intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.artist import Artist
from matplotlib.axes import Axes as Plot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sweep.page.marks import mark_of, plain
from sweep.procedures.panels import Axes, Panel
from sweep.reading.sweep import Sweep
from sweep.space import CONTROL
from sweep.statistics.estimates import Estimate

SHOWN_CURVES = 6  # arms whose curves are drawn; of more, the best


def curves_figure(sweep: Sweep) -> Figure:
    """The best trials' curves over the steps of every series of a run's procedure; an empty figure where there are none."""
    shown = sweep.procedure.panels()
    shown_curves = shown.curves(sweep)
    panels = [best_of(panel) for panel in shown.panels(sweep)] if shown_curves else []
    columns = min(3, max(1, len(panels)))
    rows = math.ceil(max(1, len(panels)) / columns)
    figure = Figure(figsize=(max(1.2 + 3.2 * columns, 7.0), 0.9 + 2.8 * rows), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    handles: dict[str, Artist] = {}
    for i, plot in enumerate(grid.flat):
        if shown_curves and i < len(panels):
            _panel(plot, sweep, shown_curves.axes, panels[i], handles)
        else:
            plot.set_axis_off()
    for plot in grid[:, 0]:
        plot.set_ylabel(shown_curves.axes.y if shown_curves else "")
    over = "seeds" if panels and panels[0].confirmed else "samples of one seed (search only)"
    of = f", the {SHOWN_CURVES} best arms" if len(sweep.arms) > SHOWN_CURVES else ""
    nothing = shown_curves.nothing if shown_curves else "No curves"
    figure.suptitle(
        f"{shown_curves.title}{of}; bands: 95 % over {over}" if shown_curves and panels else nothing, fontsize=9
    )
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=2, fontsize=8, frameon=False
        )
    return figure


def best_of(panel: Panel) -> Panel:
    """The panel with the curves of the arms that stand first and of the controls: more than that nobody can tell apart."""
    arms = [c for c in panel.curves if c.arm != CONTROL][:SHOWN_CURVES]
    return replace(panel, curves=(*arms, *(c for c in panel.curves if c.arm == CONTROL)))


def _panel(plot: Plot, sweep: Sweep, axes: Axes, panel: Panel, handles: dict[str, Artist]) -> None:
    for curve in panel.curves:
        mark = mark_of(sweep, curve.arm, curve.trial_id)
        x = places(axes, curve.steps)
        (line,) = plot.plot(
            x, [e.mean for e in curve.values], color=mark.colour, ls=mark.line, marker=mark.shape, ms=3.5, lw=1.4
        )
        low, high = bounds(axes, curve.values)
        plot.fill_between(x, low, high, color=mark.colour, alpha=0.15, lw=0)
        handles.setdefault(plain(curve.label), line)
    plot.set_title(plain(panel.series.brief), fontsize=9)
    plot.set_xticks(places(axes, axes.steps), [str(k) for k in axes.steps], fontsize=8)
    plot.set_xlabel(axes.x, fontsize=8)
    if axes.share:
        plot.set_ylim(*SHARES)
    plot.grid(alpha=0.25, lw=0.5)


SHARES = (-0.03, 1.03)  # an axis of shares, with room for marks at its ends


def places(axes: Axes, steps: Sequence[int]) -> list[float]:
    """Where steps lie."""
    return [math.log2(k + 1) if axes.doubling else float(k) for k in steps]


def bounds(axes: Axes, values: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """Lower and upper ends of a band, of shares cut to [0, 1]; the mean itself where there is no interval."""
    least, most = (0.0, 1.0) if axes.share else (-math.inf, math.inf)
    low = [max(least, e.mean if e.lower is None else e.lower) for e in values]
    return low, [min(most, e.mean if e.upper is None else e.upper) for e in values]
