"""The front as a figure: one objective against the other, everything else of the run behind it. Matplotlib with no display."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from sweep.page.marks import GREY, PALE, Mark, control_marks, controls, mark_of, marks, plain
from sweep.procedures.panels import Line
from sweep.reading.arm import ArmFront
from sweep.reading.arm_against_arm import FEW_ARMS
from sweep.reading.best import leader
from sweep.reading.columns import points_of
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.reading.words import axis, definitions

LABELLED = 60  # feasible members of an arm; of more, the front alone is labelled
PIXELS = 5_000  # markers of one kind; more of them would make a vector file of megabytes
REACH = 2  # how many times the value of a line across it the axis of the front spans


def front_figure(sweep: Sweep) -> Figure:
    """One objective against the other: the fronts with intervals over seeds, everything else of the run behind them."""
    many = len(sweep.arms) > FEW_ARMS
    figure = Figure(figsize=(8.0, 7.2 if many else 5.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    labelled: list[tuple[float, float, str, str]] = []
    for arm in sweep.arms.values():
        _behind(axes, sweep, arm)
        mark = marks(sweep)[arm.name]
        points = sorted((_x(sweep, m), _y(sweep, m)) for m in arm.front)
        axes.plot(
            *zip(*points, strict=True) if points else ([], []),
            color=mark.colour,
            alpha=0.35,
            lw=1.2,
            ls=mark.line,
            zorder=2,
        )
    leaders = {m.trial_id for a in sweep.arms if (m := leader(sweep, a))} if many else set()
    for member in _told(sweep):
        mark = mark_of(sweep, member.arm, member.trial_id)
        if member.on_front:
            _with_bars(axes, sweep, member, mark, filled=member.confirmed is not None)
        if not many:
            labelled.append((_x(sweep, member), _y(sweep, member), member.trial_id, mark.colour))
        elif member.trial_id in leaders:
            labelled.append((_x(sweep, member), _y(sweep, member), member.arm, mark.colour))
    for control in sweep.controls.values():
        if math.isfinite(_y(sweep, control)) and math.isfinite(_x(sweep, control)):
            mark = control_marks(sweep)[control.trial_id]
            _with_bars(axes, sweep, control, mark, filled=True)
            labelled.append((_x(sweep, control), _y(sweep, control), control.trial_id, mark.colour))
    for line in lines(sweep):
        _across(axes, sweep, line)
    _finish_front(figure, axes, sweep)
    _label(figure, axes, labelled)
    return figure


def lines(sweep: Sweep) -> list[Line]:
    """The lines across the front that its procedure draws, those at a value of one of the objectives."""
    drawn = {o.metric for o in sweep.objectives}
    return [line for line in sweep.procedure.panels().lines(sweep) if line.metric in drawn]


def _across(axes: Axes, sweep: Sweep, line: Line) -> None:
    place: dict[str, Any] = {"textcoords": "offset points", "color": "#555555", "fontsize": 8, "va": "top"}
    text = plain(f"{line.name} {line.value:.3g}")
    if line.metric == sweep.objectives[1].metric:
        axes.axvline(line.value, color=GREY, ls="--", lw=1)
        axes.annotate(text, (line.value, 1), xycoords=("data", "axes fraction"), xytext=(4, -3), **place)
    else:
        axes.axhline(line.value, color=GREY, ls="--", lw=1)
        axes.annotate(text, (0, line.value), xycoords=("axes fraction", "data"), xytext=(4, -3), **place)


def _told(sweep: Sweep) -> Iterator[Trial]:
    """The feasible members that may bear a label: all of them, or, of more than anyone can read, those of the fronts."""
    for arm in sweep.arms.values():
        points = points_of(sweep, arm)
        chosen = points.drawn & points.feasible
        if chosen.sum() > LABELLED:
            chosen &= points.on_front
        yield from (arm.members[int(i)] for i in np.flatnonzero(chosen))


def _x(sweep: Sweep, trial: Trial) -> float:
    value = trial.value(sweep.objectives[1].metric)
    return math.nan if value is None else value


def _y(sweep: Sweep, trial: Trial) -> float:
    value = trial.value(sweep.objectives[0].metric)
    return math.nan if value is None else value


def _behind(axes: Axes, sweep: Sweep, arm: ArmFront) -> None:
    """An arm's trials off the front: small, hollow unless confirmed, in its arm's colour, or grey where infeasible.

    Those of one seed have no bars, so each colour of them is one call; very many become pixels, in vector files too.
    """
    mark, points = marks(sweep)[arm.name], points_of(sweep, arm)
    for feasible, colour in ((True, mark.colour), (False, PALE)):
        chosen = points.drawn & ~points.on_front & ~points.confirmed & (points.feasible == feasible)
        at: dict[str, Any] = {
            "color": colour,
            "mfc": "none",
            "ms": 4,
            "ls": "",
            "zorder": 1,
            "rasterized": bool(chosen.sum() > PIXELS),
        }
        axes.plot(points.second[chosen], points.first[chosen], mark.shape, **at)
    for member in arm.confirmed_members:
        if not member.on_front and math.isfinite(_x(sweep, member)) and math.isfinite(_y(sweep, member)):
            pale = replace(mark, colour=mark.colour if member.feasible else PALE)
            _with_bars(axes, sweep, member, pale, filled=True, size=4)


def _with_bars(axes: Axes, sweep: Sweep, trial: Trial, mark: Mark, filled: bool, size: int = 7) -> None:
    """A point with 95 % bars over seeds where there are any; search-only points are hollow."""
    bars: dict[str, Any] = {
        axis: None if e is None or e.lower is None or e.upper is None else [[e.mean - e.lower], [e.upper - e.mean]]
        for axis, e in zip(("yerr", "xerr"), (trial.at(o.metric) for o in sweep.objectives), strict=True)
    }
    bars |= {"elinewidth": 0.6, "zorder": 1} if size < 7 else {"elinewidth": 1.2, "zorder": 3}
    face = mark.colour if filled else "none"
    axes.errorbar(
        [_x(sweep, trial)],
        [_y(sweep, trial)],
        **bars,
        fmt=mark.shape,
        ms=size,
        color=mark.colour,
        mfc=face,
        capsize=2.5,
    )


def _finish_front(figure: Figure, axes: Axes, sweep: Sweep) -> None:
    first, second = sweep.objectives
    axes.set_xlabel(axis(sweep, second), fontsize=9)
    axes.set_ylabel(axis(sweep, first).partition("  (")[0], fontsize=9, wrap=True)
    axes.tick_params(labelsize=8)
    _limits(axes, sweep)
    seeds = len(sweep.seeds_run())
    many = len(sweep.arms) > FEW_ARMS
    for arm in sweep.arms.values():
        mark = marks(sweep)[arm.name]
        how = f"confirmed on {seeds} seeds, 95 % bars" if arm.confirmed else "search only, one seed"
        shown = "" if points_of(sweep, arm).feasible.any() else ": nothing feasible"
        label = f"{arm.name}{' (baseline)' if arm.baseline else ''}{shown if many else ': ' + how}"
        face = mark.colour if arm.confirmed else "none"
        axes.plot([], [], mark.shape, color=mark.colour, mfc=face, ls=mark.line, label=plain(label))
    axes.plot(
        [], [], "o", mfc="none", mec="#555555", ms=4, ls="", label="feasible, off the front (hollow: search only)"
    )
    axes.plot([], [], "o", mfc="none", mec=PALE, ms=4, ls="", label="infeasible (grey)")
    for trial_id, control in controls(sweep).items():
        mark = control_marks(sweep)[trial_id]
        axes.plot([], [], mark.shape, color=mark.colour, ls="", label=plain(control.name))
    axes.grid(alpha=0.25, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3 if many else 2, fontsize=7.5, frameon=False)
    axes.set_title(plain(_title(sweep)), fontsize=8, loc="left", wrap=True)


def _title(sweep: Sweep) -> str:
    """``question, data, what is forgotten.  N: 100``, as far as the run's procedure says so."""
    about = ", ".join(filter(None, (sweep.plan["space"], sweep.procedure.panels().wording(sweep).title)))
    samples = definitions(sweep).get("N")
    return f"{about}.  N: {samples}" if samples else about


def _limits(axes: Axes, sweep: Sweep) -> None:
    """The window of `window`; what lies outside is counted where it went, a control named."""
    x0, x1, y0, y1 = window(sweep)
    axes.set_xlim(x0, x1)
    axes.set_ylim(y0, y1)
    x, y, _ = _scored(sweep)
    named, beside = controls(sweep), [(m, _x(sweep, m), _y(sweep, m)) for m in sweep.controls.values()]
    x, y = (np.append(old, new) for old, new in ((x, [c[1] for c in beside]), (y, [c[2] for c in beside])))
    right, below = int((x > x1).sum()), int(((y < y0) & (x <= x1)).sum())
    place: dict[str, Any] = {"xycoords": "axes fraction", "fontsize": 7.5, "color": "#555555"}
    if right:
        axes.annotate(f"{right} further right →", (0.995, 0.01), ha="right", **place)
    if below:
        found = (f", {named[m.trial_id].name} at {y:.2f}" for m, x, y in beside if y < y0 and x <= x1)
        axes.annotate(plain(f"↓ {below} below{next(found, '')}"), (0.005, 0.01), **place)


def window(sweep: Sweep) -> tuple[float, float, float, float]:
    """(x0, x1, y0, y1) that show the feasible members, most controls and the lines across large enough to tell apart.

    Controls that are not `in_view` and ruined trials would press the front into a corner; where nothing is feasible they are
    shown.
    """
    xs, ys, feasible = _scored(sweep)
    keep = feasible if feasible.any() else np.full(len(xs), True)
    shown = [
        (_x(sweep, m), _y(sweep, m))
        for m in sweep.controls.values()
        if controls(sweep)[m.trial_id].in_view or not feasible.any()
    ]
    shown = [(x, y) for x, y in shown if math.isfinite(x) and math.isfinite(y)]
    chosen = [*zip(xs[keep].tolist(), ys[keep].tolist(), strict=True), *shown]
    upright, flat = (
        [line.value for line in lines(sweep) if line.metric == o.metric] for o in reversed(sweep.objectives)
    )
    reach = [*(x for x, _ in chosen), *upright] or [0.0]
    limit = REACH * max(upright) if upright else math.inf
    left, right = min(reach), min(max(reach), max(limit, min(reach)))
    heights = [*(y for _, y in chosen), *flat]
    low = min(heights, default=0.0)
    high_end = 1.0 if sweep.columns.is_share(sweep.objectives[0].metric) else max(heights, default=1.0)
    wide, high = max(right - left, 1e-3), max(high_end - low, 0.02)
    floor = low - 0.35 * high
    if sweep.columns.is_share(sweep.objectives[0].metric):
        floor = max(floor, -0.04)
    return left - 0.25 * wide, right + 0.25 * wide, floor, high_end + 0.25 * high


def _scored(sweep: Sweep) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, feasible) of every trial that has both objectives."""
    each = [points_of(sweep, arm) for arm in sweep.arms.values()]
    found = [(p.second[p.drawn], p.first[p.drawn], p.feasible[p.drawn]) for p in each]
    x, y, feasible = (np.concatenate(column) for column in zip(*found, strict=True))
    return x, y, feasible


def _label(figure: Figure, axes: Axes, points: list[tuple[float, float, str, str]]) -> None:
    """Trial ids beside their points, each moved to the first of a ring of places that hits no other label or point."""
    figure.draw_without_rendering()
    to_pixels = axes.transData.transform
    taken = [tuple(to_pixels((x, y))) for x, y, _, _ in points]
    boxes: list[tuple[float, float, float, float]] = []
    scale = figure.dpi / 72
    for x, y, text, colour in points:
        px, py = to_pixels((x, y))
        if not axes.bbox.contains(px, py):
            continue
        width, height = 4.3 * len(text) * scale, 8 * scale
        for dx, dy in (
            (6, 5),
            (6, -11),
            (-6 - width / scale, 5),
            (-6 - width / scale, -11),
            (6, 15),
            (6, -21),
            (6, 25),
        ):
            box = (px + dx * scale, py + dy * scale, px + dx * scale + width, py + dy * scale + height)
            clear = not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in boxes)
            inside = box[0] > axes.bbox.x0 and box[2] < axes.bbox.x1 and axes.bbox.y0 < box[1] and box[3] < axes.bbox.y1
            if clear and inside and not any(box[0] < tx < box[2] and box[1] < ty < box[3] for tx, ty in taken):
                break
        boxes.append(box)
        axes.annotate(plain(text), (x, y), xytext=(dx, dy), textcoords="offset points", fontsize=7.5, color=colour,
                      path_effects=[withStroke(linewidth=2, foreground="white")])  # fmt: skip
