"""What the page's script is given of a run: the trials it draws as columns, and what a click on one of them shows.

Numbers keep five significant digits. A figure is a number, or [mean, lower, upper] where fresh seeds give an interval.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pyarrow as pa

from sweep.errors import called
from sweep.page.front import lines, window
from sweep.page.marks import Mark, control_marks, controls, marks
from sweep.procedures import START
from sweep.procedures.panels import Curves, Pictures
from sweep.reading.arm_against_arm import FEW_ARMS
from sweep.reading.best import leader
from sweep.reading.ending import Ending, own_members
from sweep.reading.nearest import Held
from sweep.reading.planes import ORDER, Plane, planes
from sweep.reading.samples import curve_point, has_value, over_seeds
from sweep.reading.spending import climbs
from sweep.reading.sweep import Sweep
from sweep.reading.timeline import timeline
from sweep.reading.trial import Row, Trial
from sweep.reading.words import axis, corner_text, seeds_behind, shown
from sweep.records import COMPLETE, PRUNED
from sweep.space import CONTROL
from sweep.statistics.estimates import Estimate

FRONT, CONFIRMED, FEASIBLE, INFEASIBLE, STOPPED, ENDED, CONTROLS = range(
    7
)  # how a trial is drawn; the script's `GROUP`

_REPLICATE = ("trial_id", "replicate", "seed", "state", "core_s")


def explored(sweep: Sweep, kept: Held) -> dict[str, Any]:
    """Everything of a run that its charts and its panel need, but pictures."""
    trials = [*sweep.controls.values(), *kept.members]
    replicates: dict[str, list[Row]] = {}
    panels = sweep.procedure.panels()
    names = [*_REPLICATE, panels.exported] if panels.exported else _REPLICATE
    for row in sweep.rows_of("replicates", [m.trial_id for m in trials], names):
        replicates.setdefault(row["trial_id"], []).append(row)
    winner = Ending(sweep).winner
    curves, pictures = panels.curves(sweep), panels.pictures(sweep)
    crossing = list(dict.fromkeys(line for plane in planes(sweep) for line in lines(sweep, plane)))
    return {
        "run": str(sweep.run),
        "quoted": shlex.quote(str(sweep.run)),
        "own_members": own_members(sweep.run),
        "called": {name: called(f"sweep.{name}") for name in ("launch", "export", "query")},
        "space": sweep.space_name,
        "state": sweep.status.get("state", "unknown"),
        "objectives": [
            {"metric": o.metric, "better": o.direction, "label": axis(sweep, o, brief=True)} for o in sweep.objectives
        ],
        "lines": [{"metric": line.metric, "value": line.value, "name": line.name} for line in crossing],
        "planes": [_plane(sweep, plane) for plane in planes(sweep)],
        "standings": standing_words(sweep),
        "arms": [_arm(sweep, name) for name in sweep.arms],
        "controls": {t: {"name": c.name} | _mark(control_marks(sweep)[t]) for t, c in controls(sweep).items()},
        "labels": len(sweep.arms) <= FEW_ARMS,
        "figures": list(dict.fromkeys([*shown(sweep), *sweep.columns.quality])),
        "parameters": _parameters(sweep),
        "total": kept.total,
        "trials": _columns(sweep, trials, replicates, panels.exported),
        "curves": _curves(sweep, curves.metric, trials) if curves else {},
        "curves_facts": _curves_facts(curves) if curves else None,
        "pictures_facts": _pictures_facts(pictures) if pictures else None,
        "climbs": [{"arm": c.arm, "trials": c.trials, "hours": _short(c.core_hours), "volume": _short(c.volume)}
                   for c in climbs(sweep)],
        "climbed": _climbed(sweep),
        "timeline": _timeline(sweep, trials),
        "winner": winner.trial_id if winner else None,
    }  # fmt: skip


def _plane(sweep: Sweep, plane: Plane) -> dict[str, Any]:
    """What the front is drawn in: figures upwards and rightwards, what the axes say and show."""
    up, right = plane.labels(sweep, brief=True)
    return {
        "up": plane.up.metric, "right": plane.rightwards, "labels": {"up": up, "right": right},
        "window": list(window(sweep, plane)), "better": [o.direction for o in plane.objectives],
    }  # fmt: skip


def standing_words(sweep: Sweep) -> list[str]:
    """How each group of trials is called, in the order of the groups."""
    front = ["on the front", "feasible, confirmed off the front"]
    if len(sweep.objectives) == 1:
        front = ["the best of its arm", "feasible, confirmed"]
    return [*front, "feasible, on one seed", "infeasible", "stopped early", "not finished", "control"]


def _climbed(sweep: Sweep) -> dict[str, str]:
    """What the search's curves are of, for their axes and in a sentence."""
    seed = "by the search's own figures of one seed each"
    if len(sweep.objectives) == 1:
        best = f"best {sweep.objectives[0].metric}"
        return {"label": best, "sentence": f"The {best} so far of each arm's feasible trials, {seed}."}
    what = "area" if len(sweep.objectives) == 2 else "volume"
    sentence = f"Hypervolume of each arm's search front, up to {corner_text(sweep)}, {seed}: "
    sentence += f"the {what} that no trial had improved on."
    return {"label": "hypervolume", "sentence": sentence}


def _arm(sweep: Sweep, name: str) -> dict[str, Any]:
    arm, best = sweep.arms[name], leader(sweep, name)
    mark = _mark(marks(sweep)[name])
    facts = {
        "name": name,
        "baseline": arm.baseline,
        "confirmed": arm.confirmed,
        "seeds_in_words": seeds_behind(sweep, arm.front),
        "best": best.trial_id if best else None,
    }
    return facts | mark


def _mark(mark: Mark) -> dict[str, str]:
    return {"colour": mark.colour, "symbol": mark.symbol, "dash": mark.dash}


def _parameters(sweep: Sweep) -> list[dict[str, Any]]:
    """Every parameter that any trial has, and the scale and range it is drawn on: the declared one, where the plan tells it."""
    parameters, ranges = [], sweep.plan.get("ranges", {})
    for field in sweep.trial_table.schema:
        column = sweep.trial_table[field.name]
        if field.name.startswith("param_") and column.null_count < len(column):
            words = pa.types.is_dictionary(field.type) or pa.types.is_string(field.type)
            log = (field.metadata or {}).get(b"unit") == b"log scale"
            name = field.name.removeprefix("param_")
            parameters.append({"name": name, "words": words, "log": log, "range": None if words else ranges.get(name)})
    return parameters


def _timeline(sweep: Sweep, trials: list[Trial]) -> dict[str, Any] | None:
    """The stretches of the trials that the page draws, each as [trial, replicate, worker, began, ended]."""
    lanes, at = timeline(sweep), {m.trial_id: i for i, m in enumerate(trials)}
    if lanes is None:
        return None
    stretches = [
        [at[one.trial_id], one.replicate, one.worker, round(one.began, 1), round(one.ended, 1)]
        for one in lanes.stretches
        if one.trial_id in at
    ]
    end = max((one.ended for one in lanes.stretches), default=0.0)
    return {"start": lanes.start, "end": end, "workers": lanes.workers, "stretches": stretches}


def _columns(sweep: Sweep, trials: list[Trial], replicates: dict[str, list[Row]], exported: str) -> dict[str, Any]:
    arms = {name: i for i, name in enumerate(sweep.arms)}
    figures = list(dict.fromkeys([*shown(sweep), *sweep.columns.quality]))
    rows_of = [replicates.get(m.trial_id, []) for m in trials]
    return {
        "id": [m.trial_id for m in trials],
        "arm": [arms.get(m.arm, -1) for m in trials],
        "group": [_group(sweep, m) for m in trials],
        "state": [m.state for m in trials],
        "cause": {i: m.cause for i, m in enumerate(trials) if m.cause},
        "feasible": [m.feasible for m in trials],
        "figures": {name: [_figure(m.at(name)) for m in trials] for name in figures} | _order(sweep, trials),
        "within": {i: m.within for i, m in enumerate(trials) if m.within},
        "parameters": {
            p["name"]: [_plain(m.setting(p["name"])) for m in trials] for p in _parameters(sweep)
        },
        "confirmed": [m.fully_confirmed for m in trials],
        "seeds": [len([r for r in rows if r["replicate"] >= 1 and r["state"] == COMPLETE]) for rows in rows_of],
        "least_seeds": [_least_seeds(sweep, m) for m in trials],
        "seeds_in_words": [seeds_behind(sweep, [m]) for m in trials],
        "core_s": [_round(sum(r["core_s"] or 0.0 for r in rows)) for rows in rows_of],
        "exported": [_exported(rows, exported) for rows in rows_of],
    }  # fmt: skip


def _least_seeds(sweep: Sweep, trial: Trial) -> int:
    """How many fresh seeds every objective of a trial has: a replicate for the sake of a bound gives no others."""
    estimates = [(trial.confirmed or {}).get(o.metric) for o in sweep.objectives]
    return min(0 if estimate is None else estimate.n for estimate in estimates)


def _order(sweep: Sweep, trials: list[Trial]) -> dict[str, list[float | None]]:
    """Of one objective, what it is drawn over."""
    (plane, *others) = planes(sweep)
    return {} if others or plane.right else {ORDER: [plane.place(sweep, m)[0] for m in trials]}


def _group(sweep: Sweep, trial: Trial) -> int:
    if trial.arm == CONTROL:
        return CONTROLS
    unfinished = not trial.fully_confirmed and trial.state != COMPLETE
    values = [trial.value(o.metric) for o in sweep.objectives]
    if unfinished or any(value is None or not math.isfinite(value) for value in values):
        return STOPPED if trial.state == PRUNED else ENDED
    if trial.on_front:
        return FRONT
    if not trial.feasible:
        return INFEASIBLE
    return CONFIRMED if trial.fully_confirmed else FEASIBLE


def _exported(rows: list[Row], kept_in: str) -> int | None:
    """The replicate that can be exported, a confirmed one first; None where what it made was not kept."""
    replicates_kept = [r["replicate"] for r in rows if kept_in and r[kept_in] and r["state"] == COMPLETE]
    return min((r for r in replicates_kept if r >= 1), default=min(replicates_kept, default=None))


def _curves_facts(curves: Curves) -> dict[str, Any]:
    """What the curves are drawn against, and what is written about them."""
    axes = curves.axes
    return {
        "steps": axes.steps, "symbol": axes.symbol, "doubling": axes.doubling, "share": axes.share,
        "series": [{"name": one.name, "brief": one.brief} for one in curves.series],
        "heading": curves.heading, "note": curves.note, "label": curves.label,
    }  # fmt: skip


def _pictures_facts(pictures: Pictures) -> dict[str, Any]:
    return {"kinds": list(pictures.kinds), "note": pictures.note_of_one, "reference": pictures.reference}


def _curves(sweep: Sweep, metric: str, trials: list[Trial]) -> dict[str, dict[str, Any]]:
    """By trial: ``{series: [[step, mean, lower, upper], ...]}``, over the confirm seeds or the search's one, as its figures are.

    A control has both, under its id and under ``ID/search``: a trial of one seed is held against the controls of that seed.
    """
    series, step = sweep.columns.series, sweep.columns.step
    names = ["trial_id", "replicate", series, step, "metric", "value", "lower", "upper", "samples"]
    ids = [m.trial_id for m in trials]
    points: dict[tuple[str, bool], dict[str, dict[int, list[Row]]]] = {}
    for row in sweep.rows_of("curves", ids, names, metric):
        at = points.setdefault((row["trial_id"], row["replicate"] >= 1), {})
        at.setdefault(row[series], {}).setdefault(row[step], []).append(row)
    curves: dict[str, dict[str, Any]] = {}
    for trial in trials:
        of = trial.trial_id
        for confirm in (True, False) if trial.fully_confirmed else (False, True):
            if points_of_trial := points.get((of, confirm)):
                name = f"{of}/search" if not confirm and trial.arm == CONTROL else of
                curves.setdefault(name, _by_series(points_of_trial, partial(_ends, sweep, metric, trial, confirm)))
    return curves


def _by_series(
    curves: dict[str, dict[int, list[Row]]], ends: Callable[[str, int, list[Row]], list[float | None]]
) -> dict[str, list[list[float | None]]]:
    """Each series' curve from before its first step, which all of them share, on."""
    start = curves.get(START, {})
    return {
        series: [
            [step, *ends(series if step in steps else START, step, rows)]
            for step, rows in sorted((start | steps).items())
        ]
        for series, steps in curves.items()
        if series != START or len(curves) == 1
    }


def _ends(
    sweep: Sweep, metric: str, trial: Trial, confirm: bool, series: str, step: int, rows: list[Row]
) -> list[float | None]:
    """Mean and interval over seeds; of one seed the recorded interval over its samples."""
    if not confirm:
        return [_round(rows[0]["value"]), _round(rows[0]["lower"]), _round(rows[0]["upper"])]
    if trial.arm == CONTROL:
        estimate = over_seeds(sweep.columns, metric, [curve_point(sweep.columns, r) for r in rows if has_value(r)])
    else:
        moderated = sweep.moderated_curve(metric).get((series, step))
        estimate = moderated.estimate(trial.trial_id) if moderated else None
    return (
        [None, None, None] if estimate is None else [_round(v) for v in (estimate.mean, estimate.lower, estimate.upper)]
    )


def _figure(value: Estimate | None) -> Any:
    if value is None or value.lower is None:
        return None if value is None else _round(value.mean)
    return [_round(value.mean), _round(value.lower), _round(value.upper)]


def _plain(value: Any) -> Any:
    return _round(value) if isinstance(value, float) else value


def _short(values: Iterable[float]) -> list[float | None]:
    return [_round(v) for v in values]


def _round(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.5g}")
