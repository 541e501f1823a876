"""Figures for paper and page: the front, the recovery curves, grids of samples. Matplotlib with no display.

Colours are Okabe and Ito's, told apart by every kind of colour vision, and shape repeats what colour says.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from sweep.reading.arm import ArmFront
from sweep.reading.arm_against_arm import FEW_ARMS
from sweep.reading.best import leader
from sweep.reading.columns import points_of
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.reading.words import axis, definitions
from sweep.records import fact
from sweep.records.names import RETRAIN
from sweep.relearning.panels import Panel, recovery_panels
from sweep.space import CONTROL
from sweep.statistics.estimates import Estimate

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, VIOLET = "#CC79A7", "#56B4E9", "#7E57C2"  # violet is not theirs: green and orange are the controls'
GREY, PALE = "#8a8a8a", "#b5b5b5"
LABELLED = 60  # feasible members of an arm; of more, the front alone is labelled
PIXELS = 5_000  # markers of one kind; more of them would make a vector file of megabytes
REACH = 2  # FID budgets that the axis of the front spans


@dataclass(frozen=True)
class Mark:
    """How one kind of model is drawn; the page's interactive figures use the same marks."""

    colour: str
    shape: str  # matplotlib's
    symbol: str  # plotly's
    dash: str  # plotly's
    line: str  # matplotlib's


MARKS = {
    "main": Mark(BLUE, "o", "circle", "solid", "-"),
    "baseline": Mark(VERMILION, "s", "square", "dash", "--"),
    "base": Mark(ORANGE, "D", "diamond", "dot", ":"),
    "retrain": Mark(GREEN, "^", "triangle-up", "dashdot", "-."),
}


# More arms than a main one and a baseline: neighbours differ in colour, shape and dash; 5 colours and 8 shapes give each
# of up to 40 arms a pair of its own. Diamonds and upright triangles stay with the controls.
_COLOURS = (BLUE, VERMILION, PURPLE, SKY, VIOLET)
_SHAPES = (
    ("o", "circle"),
    ("s", "square"),
    ("v", "triangle-down"),
    ("P", "cross"),
    ("X", "x"),
    ("p", "pentagon"),
    ("*", "star"),
    ("<", "triangle-left"),
)
_DASHES = (("solid", "-"), ("dash", "--"), ("dashdot", "-."), ("dot", ":"))
SHOWN_CURVES = 6  # arms whose recovery curves are drawn; of more, the best


def marks(sweep: Sweep) -> dict[str, Mark]:
    """How each arm is drawn: the main one and a baseline as ever, more of them each in its own way."""
    if len(sweep.arms) <= FEW_ARMS:
        return {name: MARKS["baseline" if arm.baseline else "main"] for name, arm in sweep.arms.items()}
    return distinct(sweep.arms)


def distinct(names: Iterable[str]) -> dict[str, Mark]:
    """A mark of its own for each name: up to 40 of them differ in colour or shape, neighbours in both."""
    found = {}
    for i, name in enumerate(names):
        (shape, symbol), (dash, line) = _SHAPES[i % len(_SHAPES)], _DASHES[i % len(_DASHES)]
        found[name] = Mark(_COLOURS[i % len(_COLOURS)], shape, symbol, dash, line)
    return found


def mark_of(sweep: Sweep, trial: Trial) -> Mark:
    return MARKS[role(trial)] if trial.arm == CONTROL else marks(sweep)[trial.arm]


def role(trial: Trial) -> str:
    """Which of MARKS draws the member."""
    if trial.arm == CONTROL:
        return "retrain" if trial.trial_id == RETRAIN else "base"
    return "baseline" if trial.baseline else "main"


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
        mark = mark_of(sweep, member)
        if member.on_front:
            _with_bars(axes, sweep, member, mark, filled=member.confirmed is not None)
        if not many:
            labelled.append((_x(sweep, member), _y(sweep, member), member.trial_id, mark.colour))
        elif member.trial_id in leaders:
            labelled.append((_x(sweep, member), _y(sweep, member), member.arm, mark.colour))
    for control in sweep.controls.values():
        if math.isfinite(_y(sweep, control)) and math.isfinite(_x(sweep, control)):
            mark = MARKS[role(control)]
            _with_bars(axes, sweep, control, mark, filled=True)
            labelled.append((_x(sweep, control), _y(sweep, control), control.trial_id, mark.colour))
    if sweep.budget is not None and sweep.objectives[1].metric == "fid_delta":
        axes.axvline(sweep.budget, color=GREY, ls="--", lw=1)
        place: dict[str, Any] = {
            "xycoords": ("data", "axes fraction"),
            "textcoords": "offset points",
            "xytext": (4, -3),
        }
        axes.annotate(
            f"FID budget {sweep.budget:.3g}", (sweep.budget, 1), **place, va="top", color="#555555", fontsize=8
        )
    _finish_front(figure, axes, sweep)
    _label(figure, axes, labelled)
    return figure


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
    said, (first, second) = definitions(sweep), sweep.objectives
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
        axes.plot([], [], mark.shape, color=mark.colour, mfc=face, ls=mark.line, label=_plain(label))
    axes.plot(
        [], [], "o", mfc="none", mec="#555555", ms=4, ls="", label="feasible, off the front (hollow: search only)"
    )
    axes.plot([], [], "o", mfc="none", mec=PALE, ms=4, ls="", label="infeasible (grey)")
    for which, told in (("base", "base model"), ("retrain", "retrain control")):
        axes.plot([], [], MARKS[which].shape, color=MARKS[which].colour, ls="", label=told)
    axes.grid(alpha=0.25, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3 if many else 2, fontsize=7.5, frameon=False)
    axes.set_title(
        _plain(f"{sweep.plan['space']}, {sweep.plan['data']}, forget {sweep.plan['forget']}.  N: {said['N']}"),
        fontsize=8,
        loc="left",
        wrap=True,
    )


def _plain(text: str) -> str:
    """Text as matplotlib draws it: names come from a run, and a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def _limits(axes: Axes, sweep: Sweep) -> None:
    """The window of `window`; what lies outside is counted where it went, the base model named."""
    x0, x1, y0, y1 = window(sweep)
    axes.set_xlim(x0, x1)
    axes.set_ylim(y0, y1)
    x, y, _ = _scored(sweep)
    controls = [(m, _x(sweep, m), _y(sweep, m)) for m in sweep.controls.values()]
    x, y = (np.append(old, new) for old, new in ((x, [c[1] for c in controls]), (y, [c[2] for c in controls])))
    right, below = int((x > x1).sum()), int(((y < y0) & (x <= x1)).sum())
    place: dict[str, Any] = {"xycoords": "axes fraction", "fontsize": 7.5, "color": "#555555"}
    if right:
        axes.annotate(f"{right} further right →", (0.995, 0.01), ha="right", **place)
    if below:
        found = (f", base model at {y:.2f}" for m, x, y in controls if role(m) == "base" and y < y0 and x <= x1)
        axes.annotate(f"↓ {below} below{next(found, '')}", (0.005, 0.01), **place)


def window(sweep: Sweep) -> tuple[float, float, float, float]:
    """(x0, x1, y0, y1) that show the feasible members, the retrain control and the budget large enough to tell apart.

    The base model and ruined trials would press the front into a corner; where nothing is feasible they are shown.
    """
    xs, ys, feasible = _scored(sweep)
    keep = feasible if feasible.any() else np.full(len(xs), True)
    shown = [
        (_x(sweep, m), _y(sweep, m)) for m in sweep.controls.values() if role(m) == "retrain" or not feasible.any()
    ]
    shown = [(x, y) for x, y in shown if math.isfinite(x) and math.isfinite(y)]
    chosen = [*zip(xs[keep].tolist(), ys[keep].tolist(), strict=True), *shown]
    budget = sweep.budget if sweep.objectives[1].metric == "fid_delta" else None
    reach = [x for x, _ in chosen] + ([] if budget is None else [budget]) or [0.0]
    limit = REACH * budget if budget is not None else math.inf
    left, right = min(reach), min(max(reach), max(limit, min(reach)))
    low = min((y for _, y in chosen), default=0.0)
    high_end = 1.0 if fact(sweep.objectives[0].metric, "unit") == "share" else max((y for _, y in chosen), default=1.0)
    wide, high = max(right - left, 1e-3), max(high_end - low, 0.02)
    floor = low - 0.35 * high
    if fact(sweep.objectives[0].metric, "unit") == "share":
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
        axes.annotate(_plain(text), (x, y), xytext=(dx, dy), textcoords="offset points", fontsize=7.5, color=colour,
                      path_effects=[withStroke(linewidth=2, foreground="white")])  # fmt: skip


def recovery_figure(sweep: Sweep) -> Figure:
    """Relearning accuracy against log2(k + 1), one panel an attack, with 95 % bands where there are intervals."""
    panels = [best_of(panel) for panel in recovery_panels(sweep)]
    columns = min(3, max(1, len(panels)))
    rows = math.ceil(max(1, len(panels)) / columns)
    figure = Figure(figsize=(max(1.2 + 3.2 * columns, 7.0), 0.9 + 2.8 * rows), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    handles: dict[str, Artist] = {}
    for i, axes in enumerate(grid.flat):
        if i < len(panels):
            _panel(axes, sweep, panels[i], handles)
        else:
            axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("relearning accuracy")
    over = "seeds" if panels and panels[0].confirmed else "samples of one seed (search only)"
    of = f", the {SHOWN_CURVES} best arms" if len(sweep.arms) > SHOWN_CURVES else ""
    figure.suptitle(
        f"Relearning after k attack steps{of}; bands: 95 % over {over}" if panels else "No attack recorded yet",
        fontsize=9,
    )
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=2, fontsize=8, frameon=False
        )
    return figure


def best_of(panel: Panel) -> Panel:
    """The panel with the curves of the arms that stand first and of the controls: more than that nobody can tell apart."""
    arms = [s for s in panel.series if s.arm != CONTROL][:SHOWN_CURVES]
    return replace(panel, series=(*arms, *(s for s in panel.series if s.arm == CONTROL)))


def _panel(axes: Axes, sweep: Sweep, panel: Panel, handles: dict[str, Artist]) -> None:
    rungs = sweep.rungs
    for series in panel.series:
        mark = MARKS[series.role] if series.arm == CONTROL else marks(sweep)[series.arm]
        x = np.log2(np.array(series.steps) + 1.0)
        (line,) = axes.plot(
            x, [e.mean for e in series.values], color=mark.colour, ls=mark.line, marker=mark.shape, ms=3.5, lw=1.4
        )
        low, high = bounds(series.values)
        axes.fill_between(x, low, high, color=mark.colour, alpha=0.15, lw=0)
        handles.setdefault(_plain(series.label), line)
    axes.set_title(_plain(panel.attack) + ("" if panel.counts else " (does not count)"), fontsize=9)
    axes.set_xticks(np.log2(np.array(rungs) + 1.0), [str(k) for k in rungs], fontsize=8)
    axes.set_xlabel("attack step k, spaced by log2(k + 1)", fontsize=8)
    axes.set_ylim(-0.03, 1.03)
    axes.grid(alpha=0.25, lw=0.5)


def bounds(values: tuple[Estimate, ...]) -> tuple[list[float], list[float]]:
    """Lower and upper ends of a band, cut to [0, 1], where a share lies; the mean itself where there is no interval."""
    low = [max(0.0, e.mean if e.lower is None else e.lower) for e in values]
    return low, [min(1.0, e.mean if e.upper is None else e.upper) for e in values]


def image_grid(array: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images (n, C, H, W) or (n, H, W) in [-1, 1] as one picture, uint8: (h, w) for C = 1, (h, w, 3) for C = 3.

    -1 is black and 1 is white in every grid: no image is stretched to its own range, so a faded sample looks faded. A
    line of grey, one pixel wide, parts the images. Raises ValueError for other shapes or values that are not finite.
    """
    images = np.asarray(array, dtype=np.float64)
    images = images[:, None] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images) or not np.isfinite(images).all():
        raise ValueError(f"a grid needs finite images of shape (n, 1 or 3, H, W); got {np.shape(array)}")
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    grid = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), 128, dtype=np.uint8)
    pixels = np.rint((images.clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        grid[top : top + height, left : left + width] = image
    return grid[..., 0] if channels == 1 else grid


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file's bytes, the same for the same figure: no date is written into it."""
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
