"""Figures for paper and page: the front, the recovery curves, grids of samples. Matplotlib with no display.

Colours are Okabe and Ito's, told apart by every kind of colour vision, and shape repeats what colour says.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from sweep.fronts import Front, Member
from sweep.pareto import Estimate, Recovery, definitions, recoveries

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
GREY = "#8a8a8a"
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


def role(member: Member) -> str:
    """Which of MARKS draws the member."""
    if member.arm == "control":
        return "retrain" if member.trial_id == "control-retrain" else "base"
    return "baseline" if member.baseline else "main"


def front_figure(front: Front) -> Figure:
    """Robustness against fid_delta: the fronts with intervals over seeds, everything else of the run behind them."""
    figure = Figure(figsize=(8.0, 5.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for member in front.members:
        if not member.on_front:
            _behind(axes, member)
    labelled: list[tuple[float, float, str, str]] = []
    for arm in front.arms.values():
        mark = MARKS["baseline" if arm.baseline else "main"]
        points = sorted((m.value("fid_delta"), m.value("robustness")) for m in arm.front)
        axes.plot(
            *zip(*points, strict=True) if points else ([], []),
            color=mark.colour,
            alpha=0.35,
            lw=1.2,
            ls=mark.line,
            zorder=2,
        )
    for member in (m for m in front.members if m.feasible and m.value("robustness") is not None):
        mark = MARKS[role(member)]
        if member.on_front:
            _with_bars(axes, member, mark, filled=member.confirmed is not None)
        labelled.append((_x(member), _y(member), member.trial_id, mark.colour))
    for control in front.controls.values():
        if control.value("robustness") is not None and control.value("fid_delta") is not None:
            mark = MARKS[role(control)]
            _with_bars(axes, control, mark, filled=True)
            labelled.append((_x(control), _y(control), control.trial_id, mark.colour))
    if front.budget is not None:
        axes.axvline(front.budget, color=GREY, ls="--", lw=1)
        place: dict[str, Any] = {
            "xycoords": ("data", "axes fraction"),
            "textcoords": "offset points",
            "xytext": (4, -3),
        }
        axes.annotate(
            f"FID budget {front.budget:.3g}", (front.budget, 1), **place, va="top", color="#555555", fontsize=8
        )
    _finish_front(figure, axes, front)
    _label(figure, axes, labelled)
    return figure


def _x(member: Member) -> float:
    value = member.value("fid_delta")
    return math.nan if value is None else value


def _y(member: Member) -> float:
    value = member.value("robustness")
    return math.nan if value is None else value


def _behind(axes: Axes, member: Member) -> None:
    """A member off the front: small, hollow unless confirmed, in its arm's colour, or grey where it is infeasible."""
    if member.value("robustness") is not None and member.value("fid_delta") is not None:
        mark = MARKS[role(member)]
        pale = replace(mark, colour=mark.colour if member.feasible else "#b5b5b5")
        _with_bars(axes, member, pale, filled=member.confirmed is not None, size=4)


def _with_bars(axes: Axes, member: Member, mark: Mark, filled: bool, size: int = 7) -> None:
    """A point with 95 % bars over seeds where there are any; search-only points are hollow."""
    bars: dict[str, Any] = {
        axis: None if e is None or e.lower is None or e.upper is None else [[e.mean - e.lower], [e.upper - e.mean]]
        for axis, e in (("xerr", member.at("fid_delta")), ("yerr", member.at("robustness")))
    }
    bars |= {"elinewidth": 0.6, "zorder": 1} if size < 7 else {"elinewidth": 1.2, "zorder": 3}
    face = mark.colour if filled else "none"
    axes.errorbar([_x(member)], [_y(member)], **bars, fmt=mark.shape, ms=size, color=mark.colour, mfc=face, capsize=2.5)


def _finish_front(figure: Figure, axes: Axes, front: Front) -> None:
    k, said = front.rungs[-1], definitions(front)
    axes.set_xlabel(
        "fid_delta = FID(unlearned) - FID(base), retained conditions, same noise  (lower is better)", fontsize=9
    )
    axes.set_ylabel(f"robustness = 1 - max AURC@{k} over the attacks that count", fontsize=9)
    axes.tick_params(labelsize=8)
    _limits(axes, front)
    seeds = len(set(front.seeds().values()))
    for arm in front.arms.values():
        mark = MARKS["baseline" if arm.baseline else "main"]
        how = f"confirmed on {seeds} seeds, 95 % bars" if arm.confirmed else "search only, one seed"
        axes.plot([], [], mark.shape, color=mark.colour, mfc=mark.colour if arm.confirmed else "none", ls=mark.line,
                  label=f"{arm.name}{' (baseline)' if arm.baseline else ''}: {how}")  # fmt: skip
    axes.plot(
        [], [], "o", mfc="none", mec="#555555", ms=4, ls="", label="feasible, off the front (hollow: search only)"
    )
    axes.plot([], [], "o", mfc="none", mec="#b5b5b5", ms=4, ls="", label="infeasible (grey)")
    for which, told in (("base", "base model"), ("retrain", "retrain control")):
        axes.plot([], [], MARKS[which].shape, color=MARKS[which].colour, ls="", label=told)
    axes.grid(alpha=0.25, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, fontsize=7.5, frameon=False)
    axes.set_title(
        f"{front.plan['space']}, {front.plan['data']}, forget {front.plan['forget']}.  N: {said['N']}",
        fontsize=8,
        loc="left",
        wrap=True,
    )


def _limits(axes: Axes, front: Front) -> None:
    """The window of `window`; what lies outside is counted where it went, the base model named."""
    x0, x1, y0, y1 = window(front)
    axes.set_xlim(x0, x1)
    axes.set_ylim(y0, y1)
    shown = [m for m in (*front.members, *front.controls.values()) if math.isfinite(_x(m)) and math.isfinite(_y(m))]
    right, below = (sum(_x(m) > x1 for m in shown), [m for m in shown if _y(m) < y0 and _x(m) <= x1])
    place: dict[str, Any] = {"xycoords": "axes fraction", "fontsize": 7.5, "color": "#555555"}
    if right:
        axes.annotate(f"{right} further right →", (0.995, 0.01), ha="right", **place)
    if below:
        base = next((f", base model at {_y(m):.2f}" for m in below if role(m) == "base"), "")
        axes.annotate(f"↓ {len(below)} below{base}", (0.005, 0.01), **place)


def window(front: Front) -> tuple[float, float, float, float]:
    """(x0, x1, y0, y1) that show the feasible members, the retrain control and the budget large enough to tell apart.

    The base model and ruined trials would press the front into a corner; where nothing is feasible they are shown.
    """
    scored = [m for m in (*front.members, *front.controls.values()) if math.isfinite(_x(m)) and math.isfinite(_y(m))]
    chosen = [m for m in scored if (m.feasible and role(m) != "base") or role(m) == "retrain"]
    if not any(m.feasible for m in front.members):
        chosen = scored
    budget = [] if front.budget is None else [front.budget]
    xs = [*map(_x, chosen), *budget] or [0.0]
    limit = REACH * front.budget if front.budget is not None else math.inf
    left, right = min(xs), min(max(xs), max(limit, min(xs)))
    low = min(map(_y, chosen), default=0.0)
    wide, high = max(right - left, 1e-3), max(1.0 - low, 0.02)
    return left - 0.25 * wide, right + 0.25 * wide, max(low - 0.35 * high, -0.04), 1.0 + 0.25 * high


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
        axes.annotate(text, (x, y), xytext=(dx, dy), textcoords="offset points", fontsize=7.5, color=colour,
                      path_effects=[withStroke(linewidth=2, foreground="white")])  # fmt: skip


def recovery_figure(front: Front) -> Figure:
    """Relearning accuracy against log2(k + 1), one panel an attack, with 95 % bands where there are intervals."""
    panels = recoveries(front)
    columns = min(3, max(1, len(panels)))
    rows = math.ceil(max(1, len(panels)) / columns)
    figure = Figure(figsize=(1.2 + 3.2 * columns, 0.9 + 2.8 * rows), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    handles: dict[str, Artist] = {}
    for i, axes in enumerate(grid.flat):
        if i < len(panels):
            _panel(axes, panels[i], handles, front.rungs)
        else:
            axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("relearning accuracy")
    over = "seeds" if panels and panels[0].confirmed else "samples of one seed (search only)"
    figure.suptitle(
        f"Relearning after k attack steps; bands: 95 % over {over}" if panels else "No attack recorded yet", fontsize=9
    )
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=2, fontsize=8, frameon=False
        )
    return figure


def _panel(axes: Axes, panel: Recovery, handles: dict[str, Artist], rungs: list[int]) -> None:
    for series in panel.series:
        mark = MARKS[series.role]
        x = np.log2(np.array(series.steps) + 1.0)
        (line,) = axes.plot(
            x, [e.mean for e in series.values], color=mark.colour, ls=mark.line, marker=mark.shape, ms=3.5, lw=1.4
        )
        low, high = bounds(series.values)
        axes.fill_between(x, low, high, color=mark.colour, alpha=0.15, lw=0)
        handles.setdefault(series.label, line)
    axes.set_title(panel.attack + ("" if panel.counts else " (does not count)"), fontsize=9)
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
