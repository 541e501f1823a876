"""The front as a figure: objectives against one another, everything else of the run behind it. Matplotlib with no display."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from sweep.page.marks import GREY, PALE, Mark, control_marks, controls, mark_of, marks, plain
from sweep.procedures.panels import Line
from sweep.reading.arm import ArmFront
from sweep.reading.arm_against_arm import FEW_ARMS
from sweep.reading.best import leader
from sweep.reading.columns import points_of
from sweep.reading.planes import Plane, planes
from sweep.reading.spending import climbs
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.reading.words import brief, definitions, named_with_meaning, seeds_behind
from sweep.records import PRUNED
from sweep.statistics.estimates import nondominated

LABELLED = 60  # feasible members of an arm; of more, the front alone is labelled
PIXELS = 5_000  # markers of one kind; more of them would make a vector file of megabytes
ABREAST = 3  # panels of a figure side by side
SAMPLES = 3  # marks that one entry of the legend has room for, side by side
REACH = 2  # how many times the value of a line across it the axis of the front spans


def front_figure(sweep: Sweep) -> Figure:
    """The fronts with intervals over seeds, everything else of the run behind them.

    One objective against the other; of more a panel for each two of them, of one it over the trials.
    """
    drawn = planes(sweep)
    across = min(len(drawn), ABREAST)
    down = -(-len(drawn) // across)
    figure = Figure(figsize=_size(sweep, across, down), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure_axes = [figure.add_subplot(down, across, i + 1) for i in range(len(drawn))]
    labels = [_draw(axes, sweep, plane) for axes, plane in zip(figure_axes, drawn, strict=True)]
    _legend(figure, figure_axes[0], sweep)
    for axes, labelled in zip(figure_axes, labels, strict=True):
        _label(figure, axes, labelled)
    return figure


def _size(sweep: Sweep, across: int, down: int) -> tuple[float, float]:
    """Inches."""
    legend = 1.8 if len(sweep.arms) > FEW_ARMS else 0.0
    return (8.0, 5.4 + legend) if across == 1 else (4.6 * across, 4.2 * down + 1.0 + legend)


def _draw(axes: Axes, sweep: Sweep, plane: Plane) -> list[tuple[float, float, str, str]]:
    """Everything of one plane but its labels, which are returned: where, what and in which colour."""
    many = len(sweep.arms) > FEW_ARMS
    labelled: list[tuple[float, float, str, str]] = []
    for arm in sweep.arms.values():
        _behind(axes, sweep, plane, arm)
        _joined(axes, sweep, plane, arm)
    leaders = set()
    for name in sweep.arms if many else ():
        best = leader(sweep, name)
        if best is not None:
            leaders.add(best.trial_id)
    for member in _members_labelled(sweep, plane):
        mark = mark_of(sweep, member.arm, member.trial_id)
        if member.on_front:
            _with_bars(axes, sweep, plane, member, mark, filled=member.fully_confirmed)
        if not many:
            labelled.append((*_place(sweep, plane, member), member.trial_id, mark.colour))
        elif member.trial_id in leaders:
            labelled.append((*_place(sweep, plane, member), member.arm, mark.colour))
    for control in sweep.controls.values():
        if _is_placed(sweep, plane, control):
            mark = control_marks(sweep)[control.trial_id]
            _with_bars(axes, sweep, plane, control, mark, filled=control.fully_confirmed)
            labelled.append((*_place(sweep, plane, control), control.trial_id, mark.colour))
    for line in lines(sweep, plane):
        _across(axes, plane, line)
    _finish(axes, sweep, plane)
    return labelled


def _joined(axes: Axes, sweep: Sweep, plane: Plane, arm: ArmFront) -> None:
    """The line of an arm: through those of its front that none of it dominates in the plane, or along its best so far."""
    mark, style = marks(sweep)[arm.name], "default" if plane.right else "steps-post"
    if plane.right:
        points = front_in(sweep, plane, arm.front)
    else:
        points = [
            (float(x), y) for c in climbs(sweep) if c.arm == arm.name for x, y in zip(c.trials, c.volume, strict=True)
        ]
    x, y = zip(*points, strict=True) if points else ((), ())
    axes.plot(x, y, color=mark.colour, alpha=0.35, lw=1.2, ls=mark.line, zorder=2, drawstyle=style)


def front_in(sweep: Sweep, plane: Plane, front: Sequence[Trial]) -> list[tuple[float, float]]:
    """Where those of a front are, from left to right, that none of them dominates by the two objectives of a plane."""
    points = np.array([_place(sweep, plane, m) for m in front], dtype=float).reshape(-1, 2)
    on = nondominated(points[:, ::-1], [o.direction for o in plane.objectives])
    return sorted((x, y) for x, y in points[on].tolist())


def lines(sweep: Sweep, plane: Plane) -> list[Line]:
    """The lines across a plane of the front that its procedure draws: those at a value of an objective that is drawn."""
    drawn = {o.metric for o in plane.objectives}
    return [line for line in sweep.procedure.panels().lines(sweep) if line.metric in drawn]


def _across(axes: Axes, plane: Plane, line: Line) -> None:
    place: dict[str, Any] = {"textcoords": "offset points", "color": "#555555", "fontsize": 8, "va": "top"}
    text = plain(f"{line.name} {brief(line.value)}")
    if line.metric == plane.rightwards:
        axes.axvline(line.value, color=GREY, ls="--", lw=1)
        axes.annotate(text, (line.value, 1), xycoords=("data", "axes fraction"), xytext=(4, -3), **place)
    else:
        axes.axhline(line.value, color=GREY, ls="--", lw=1)
        axes.annotate(text, (0, line.value), xycoords=("axes fraction", "data"), xytext=(4, -3), **place)


def _members_labelled(sweep: Sweep, plane: Plane) -> Iterator[Trial]:
    """The feasible members that may bear a label: all of them, or, of more than anyone can read, those of the fronts."""
    for arm in sweep.arms.values():
        points = points_of(sweep, arm, plane)
        chosen = points.drawn & points.feasible
        if chosen.sum() > LABELLED:
            chosen &= points.on_front
        yield from (arm.members[int(i)] for i in np.flatnonzero(chosen))


def _place(sweep: Sweep, plane: Plane, trial: Trial) -> tuple[float, float]:
    x, y = plane.place(sweep, trial)
    return math.nan if x is None else x, math.nan if y is None else y


def _is_placed(sweep: Sweep, plane: Plane, trial: Trial) -> bool:
    return all(map(math.isfinite, _place(sweep, plane, trial)))


def _behind(axes: Axes, sweep: Sweep, plane: Plane, arm: ArmFront) -> None:
    """An arm's trials off the front: small, hollow unless fully confirmed, in its arm's colour, or grey where infeasible.

    Those of one seed have no bars, so each colour of them is one call; very many become pixels, in vector files too.
    """
    mark, points = marks(sweep)[arm.name], points_of(sweep, arm, plane)
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
        if member.fully_confirmed and not member.on_front and _is_placed(sweep, plane, member):
            pale = replace(mark, colour=mark.colour if member.feasible else PALE)
            _with_bars(axes, sweep, plane, member, pale, filled=True, size=4)


def _with_bars(axes: Axes, sweep: Sweep, plane: Plane, trial: Trial, mark: Mark, filled: bool, size: int = 7) -> None:
    """A point with 95 % bars over seeds where there are any; search-only points are hollow."""
    bars: dict[str, Any] = {
        axis: None if e is None or e.lower is None or e.upper is None else [[e.mean - e.lower], [e.upper - e.mean]]
        for axis, e in zip(("yerr", "xerr"), (trial.at(o.metric) for o in plane.objectives), strict=False)
    }
    bars |= {"elinewidth": 0.6, "zorder": 1} if size < 7 else {"elinewidth": 1.2, "zorder": 3}
    face = mark.colour if filled else "none"
    x, y = _place(sweep, plane, trial)
    axes.errorbar(
        [x],
        [y],
        **bars,
        fmt=mark.shape,
        ms=size,
        color=mark.colour,
        mfc=face,
        capsize=2.5,
    )


def _finish(axes: Axes, sweep: Sweep, plane: Plane) -> None:
    several = len(sweep.objectives) > 2
    up, right = plane.labels(sweep, brief=several)
    axes.set_xlabel(right, fontsize=9)
    axes.set_ylabel(up if several else named_with_meaning(sweep, plane.up), fontsize=9, wrap=True)
    axes.tick_params(labelsize=8)
    if plane.right is None:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _limits(axes, sweep, plane)
    axes.grid(alpha=0.25, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, axes: Axes, sweep: Sweep) -> None:
    """What the marks mean, below the panels, and what all is about, above them."""
    many = len(sweep.arms) > FEW_ARMS
    on, off = ("on the front", "off the front") if len(sweep.objectives) > 1 else ("the best", "behind the best")
    shape = ", its arm's shape" if many else ""
    entries: list[tuple[Any, str]] = []
    for arm in sweep.arms.values():
        mark = marks(sweep)[arm.name]
        how = (
            f"confirmed on {seeds_behind(sweep, arm.confirmed_members)}, 95 % bars"
            if arm.confirmed
            else "search only, one seed"
        )
        shown = "" if points_of(sweep, arm).feasible.any() else ": nothing feasible"
        label = f"{arm.name}{' (baseline)' if arm.baseline else ''}{shown if many else ': ' + how}"
        entries.append((_sample(mark, bool(arm.confirmed), size=6, ls=mark.line), plain(label)))
    if hollow := [
        arm for arm in sweep.arms.values() if arm.confirmed and any(not m.fully_confirmed for m in arm.front)
    ]:
        entries.append((_samples(marks(sweep)[arm.name] for arm in hollow), f"{on}, hollow: search only"))
    shapes = [marks(sweep)[arm.name] for arm in sweep.arms.values()]
    grey = [replace(mark, colour=PALE) for mark in {mark.shape: mark for mark in shapes}.values()]
    entries.append((_samples(shapes, size=4), f"feasible, {off}{shape} (hollow: search only)"))
    entries.append((_samples(grey, size=4), f"infeasible{shape} (grey; hollow: search only)"))
    stopped = sum(arm.counts.get(PRUNED, 0) for arm in sweep.arms.values())
    if stopped:
        entries.append((Line2D([], [], ls=""), f"not drawn: {stopped} stopped early"))
    for trial_id, control in controls(sweep).items():
        if trial_id in sweep.controls:
            filled = sweep.controls[trial_id].fully_confirmed
            entries.append((_sample(control_marks(sweep)[trial_id], filled, size=6), plain(control.name)))
    handles, labels = zip(*entries, strict=True)
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=3 if many else 2,
        fontsize=7.5,
        frameon=False,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0.3)},
    )
    title = plain(_title(sweep))
    if len(figure.axes) == 1:
        axes.set_title(title, fontsize=8, loc="left", wrap=True)
    else:
        figure.suptitle(title, fontsize=8, x=0.01, ha="left")


def _sample(mark: Mark, filled: bool, size: int, ls: str = "") -> Line2D:
    """A mark as the legend shows it."""
    return Line2D([], [], marker=mark.shape, color=mark.colour, mfc=mark.colour if filled else "none", ms=size, ls=ls)


def _samples(marks: Iterable[Mark], size: int = 6) -> tuple[Line2D, ...]:
    """Hollow marks side by side, each as it is drawn: of many arms the first."""
    return tuple(_sample(mark, filled=False, size=size) for mark in list(marks)[:SAMPLES])


def _title(sweep: Sweep) -> str:
    """``question, data, what is forgotten.  N: 100``, as far as the run's procedure says so."""
    about = ", ".join(filter(None, (sweep.space_name, sweep.procedure.panels().wording(sweep).title)))
    samples = definitions(sweep).get("N")
    return f"{about}.  N: {samples}" if samples else about


def _limits(axes: Axes, sweep: Sweep, plane: Plane) -> None:
    """The window of `window`; what lies outside is counted where it went, a control named."""
    x0, x1, y0, y1 = window(sweep, plane)
    axes.set_xlim(x0, x1)
    axes.set_ylim(y0, y1)
    x, y, _ = _scored(sweep, plane)
    named, beside = controls(sweep), [(m, *_place(sweep, plane, m)) for m in sweep.controls.values()]
    x, y = (np.append(old, new) for old, new in ((x, [c[1] for c in beside]), (y, [c[2] for c in beside])))
    within = x <= x1
    right, left = int((x > x1).sum()), int(((x < x0) & (y >= y0) & (y <= y1)).sum())
    below, above = int(((y < y0) & within).sum()), int(((y > y1) & within).sum())
    place: dict[str, Any] = {"xycoords": "axes fraction", "fontsize": 7.5, "color": "#555555"}
    if right:
        axes.annotate(f"{right} further right →", (0.995, 0.01), ha="right", **place)
    if left:
        axes.annotate(f"← {left} further left", (0.005, 0.05), **place)
    if above:
        names = (f", {named[m.trial_id].name} at {y:.2f}" for m, x, y in beside if y > y1 and x <= x1)
        axes.annotate(plain(f"↑ {above} above{next(names, '')}"), (0.005, 0.99), va="top", **place)
    if below:
        names = (f", {named[m.trial_id].name} at {y:.2f}" for m, x, y in beside if y < y0 and x <= x1)
        axes.annotate(plain(f"↓ {below} below{next(names, '')}"), (0.005, 0.01), **place)


def window(sweep: Sweep, plane: Plane) -> tuple[float, float, float, float]:
    """(x0, x1, y0, y1) that show the feasible members, most controls and the lines across large enough to tell apart.

    Controls that are not `in_view` and ruined trials would press the front into a corner; where nothing is feasible they are
    shown.
    """
    xs, ys, feasible = _scored(sweep, plane)
    keep = feasible if feasible.any() else np.full(len(xs), True)
    shown = [
        _place(sweep, plane, m)
        for m in sweep.controls.values()
        if controls(sweep)[m.trial_id].in_view or not feasible.any()
    ]
    shown = [(x, y) for x, y in shown if math.isfinite(x) and math.isfinite(y)]
    chosen = [*zip(xs[keep].tolist(), ys[keep].tolist(), strict=True), *shown]
    crossing = lines(sweep, plane)
    upright = [line.value for line in crossing if line.metric == plane.rightwards]
    flat = [line.value for line in crossing if line.metric == plane.up.metric]
    low, high = _heights(sweep, plane, [*(y for _, y in chosen), *flat])
    if plane.right is None:
        total = max(sweep.order.values(), default=1)
        return -0.04 * total - 0.5, 1.04 * total + 0.5, low, high
    reach = [*(x for x, _ in chosen), *upright] or [0.0]
    limit = REACH * max(upright) if upright else math.inf
    left, right = min(reach), min(max(reach), max(limit, min(reach)))
    wide = max(right - left, 1e-3)
    return left - 0.25 * wide, right + 0.25 * wide, low, high


def _heights(sweep: Sweep, plane: Plane, heights: list[float]) -> tuple[float, float]:
    """The lower and the upper end of what is drawn upwards."""
    low, is_share = min(heights, default=0.0), sweep.columns.is_share(plane.up.metric)
    high_end = max(heights, default=1.0)
    if is_share and high_end > 0.5:
        high_end = 1.0  # the end of the scale is worth seeing where something is near it
    high = max(high_end - low, 0.02)
    floor = low - 0.35 * high
    return max(floor, -0.04) if is_share else floor, high_end + 0.25 * high


def _scored(sweep: Sweep, plane: Plane) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, feasible) of every trial that has a place in the plane."""
    each = [points_of(sweep, arm, plane) for arm in sweep.arms.values()]
    parts = [(p.second[p.drawn], p.first[p.drawn], p.feasible[p.drawn]) for p in each]
    x, y, feasible = (np.concatenate(column) for column in zip(*parts, strict=True))
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
