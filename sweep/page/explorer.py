"""What the page's script is given of a run: the trials it draws as columns, and what a click on one of them shows.

Numbers keep five significant digits. A figure is a number, or [mean, lower, upper] where fresh seeds give an interval.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from sweep.page.figures import MARKS, Mark, marks, role, window
from sweep.reading.arm_against_arm import FEW_ARMS
from sweep.reading.best import leader
from sweep.reading.ending import Ending
from sweep.reading.nearest import Held
from sweep.reading.samples import curve_point
from sweep.reading.spending import climbs
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Row, Trial
from sweep.reading.words import QUALITY, axis, corner_text, shown
from sweep.records import COMPLETE, PRUNED
from sweep.records.names import BASE, RETRAIN
from sweep.space import CONTROL
from sweep.statistics.estimates import Estimate
from sweep.statistics.shares import share_estimate

FRONT, CONFIRMED, FEASIBLE, INFEASIBLE, STOPPED, ENDED, CONTROLS = range(
    7
)  # how a trial is drawn; the script's `GROUP`

_REPLICATE = ("trial_id", "replicate", "seed", "state", "core_s", "unlearned_model")


def explored(sweep: Sweep, kept: Held) -> dict[str, Any]:
    """Everything of a run that its charts and its panel need, but pictures."""
    trials = [*sweep.controls.values(), *kept.members]
    replicates: dict[str, list[Row]] = {}
    for row in sweep.rows_of("replicates", [m.trial_id for m in trials], _REPLICATE):
        replicates.setdefault(row["trial_id"], []).append(row)
    winner = Ending(sweep).winner
    x0, x1, y0, y1 = window(sweep)
    return {
        "run": str(sweep.run),
        "quoted": shlex.quote(str(sweep.run)),
        "space": sweep.plan["space"],
        "state": sweep.status.get("state", "unknown"),
        "objectives": [
            {"metric": o.metric, "better": o.direction, "label": axis(sweep, o, brief=True)} for o in sweep.objectives
        ],
        "budget": sweep.budget if sweep.objectives[1].metric == "fid_delta" else None,
        "window": [x0, x1, y0, y1],
        "rungs": sweep.rungs,
        "arms": [_arm(sweep, name) for name in sweep.arms],
        "marks": {name: _mark(MARKS[name]) for name in ("base", "retrain")},
        "labels": len(sweep.arms) <= FEW_ARMS,
        "figures": list(dict.fromkeys([*shown(sweep), *QUALITY])),
        "parameters": _parameters(sweep),
        "trials": _columns(sweep, trials, replicates),
        "curves": _curves(sweep, trials),
        "attacks": _attacks(sweep),
        "climbs": [{"arm": c.arm, "trials": c.trials, "hours": _short(c.core_hours), "volume": _short(c.volume)}
                   for c in climbs(sweep)],
        "corner": corner_text(sweep),
        "winner": winner.trial_id if winner else None,
    }  # fmt: skip


def _arm(sweep: Sweep, name: str) -> dict[str, Any]:
    arm, best = sweep.arms[name], leader(sweep, name)
    mark = _mark(marks(sweep)[name])
    told = {"name": name, "baseline": arm.baseline, "confirmed": arm.confirmed, "best": best.trial_id if best else None}
    return told | mark


def _mark(mark: Mark) -> dict[str, str]:
    return {"colour": mark.colour, "symbol": mark.symbol, "dash": mark.dash}


def _parameters(sweep: Sweep) -> list[dict[str, Any]]:
    """Every parameter that any trial has, and the scale it is drawn on."""
    found = []
    for field in sweep.trial_table.schema:
        column = sweep.trial_table[field.name]
        if field.name.startswith("param_") and column.null_count < len(column):
            words = pa.types.is_dictionary(field.type) or pa.types.is_string(field.type)
            log = (field.metadata or {}).get(b"unit") == b"log scale"
            found.append({"name": field.name.removeprefix("param_"), "words": words, "log": log})
    return found


def _columns(sweep: Sweep, trials: list[Trial], replicates: dict[str, list[Row]]) -> dict[str, Any]:
    arms = {name: i for i, name in enumerate(sweep.arms)}
    figures = list(dict.fromkeys([*shown(sweep), *QUALITY]))
    own = [replicates.get(m.trial_id, []) for m in trials]
    return {
        "id": [m.trial_id for m in trials],
        "arm": [arms.get(m.arm, -1) for m in trials],
        "role": [role(m) if m.arm == CONTROL else "" for m in trials],
        "group": [_group(sweep, m) for m in trials],
        "state": [m.state for m in trials],
        "cause": {i: m.cause for i, m in enumerate(trials) if m.cause},
        "feasible": [m.feasible for m in trials],
        "figures": {name: [_figure(m.at(name)) for m in trials] for name in figures},
        "within": {i: m.within for i, m in enumerate(trials) if m.within},
        "parameters": {
            p["name"]: [_plain(m.setting(p["name"])) for m in trials] for p in _parameters(sweep)
        },
        "seeds": [len([r for r in rows if r["replicate"] >= 1 and r["state"] == COMPLETE]) for rows in own],
        "core_s": [_round(sum(r["core_s"] or 0.0 for r in rows)) for rows in own],
        "model": [_replicate_of_model(rows) for rows in own],
    }  # fmt: skip


def _group(sweep: Sweep, trial: Trial) -> int:
    if trial.arm == CONTROL:
        return CONTROLS
    if any(trial.value(o.metric) is None for o in sweep.objectives):
        return STOPPED if trial.state == PRUNED else ENDED
    if trial.on_front:
        return FRONT
    if not trial.feasible:
        return INFEASIBLE
    return CONFIRMED if trial.confirmed else FEASIBLE


def _replicate_of_model(rows: list[Row]) -> int | None:
    """The replicate whose unlearned model can be exported, a confirmed one first; None where none was kept."""
    found = [r["replicate"] for r in rows if r["unlearned_model"] and r["state"] == COMPLETE]
    return min((r for r in found if r >= 1), default=min(found, default=None))


def _attacks(sweep: Sweep) -> list[dict[str, Any]]:
    """Every attack with curves, in the order of the plan, and whether it counts."""
    counts = {attack: bool(counts) for attack, _, _, counts in sweep.attacked if attack != "none"}
    planned = [*sweep.plan["attacks"]["confirm"], *sweep.plan["attacks"]["search"]]
    order = {name: i for i, name in reversed(list(enumerate(planned)))}
    return [{"name": a, "counts": counts[a]} for a in sorted(counts, key=lambda a: (order.get(a, len(order)), a))]


def _curves(sweep: Sweep, trials: list[Trial]) -> dict[str, dict[str, Any]]:
    """By trial: ``{attack: [[k, mean, lower, upper], ...]}``, over the confirm seeds or the search's one.

    A control has both, under its id and under ``ID/search``: a trial of one seed is held against the controls of that seed.
    """
    names = ["trial_id", "replicate", "attack", "attack_step", "metric", "value", "lower", "upper", "samples"]
    ids = [m.trial_id for m in trials]
    found: dict[tuple[str, bool], dict[str, dict[int, list[Row]]]] = {}
    for row in sweep.rows_of("curves", ids, names, "relearning_accuracy"):
        at = found.setdefault((row["trial_id"], row["replicate"] >= 1), {})
        at.setdefault(row["attack"], {}).setdefault(row["attack_step"], []).append(row)
    told: dict[str, dict[str, Any]] = {}
    for trial in trials:
        of = trial.trial_id
        for confirm in (True, False):
            if own := found.get((of, confirm)):
                name = f"{of}/search" if not confirm and of in (BASE, RETRAIN) else of
                told.setdefault(name, _by_attack(own, confirm))
    return told


def _by_attack(curves: dict[str, dict[int, list[Row]]], confirm: bool) -> dict[str, list[list[float | None]]]:
    """Each attack's curve from step 0, which all of them share, on."""
    start = curves.get("none", {})
    return {
        attack: [[step, *_ends(rows, confirm)] for step, rows in sorted((start | steps).items())]
        for attack, steps in curves.items()
        if attack != "none" or len(curves) == 1
    }


def _ends(rows: list[Row], confirm: bool) -> list[float | None]:
    """Mean and interval over seeds; of one seed the recorded interval over its samples."""
    if not confirm:
        return [_round(rows[0]["value"]), _round(rows[0]["lower"]), _round(rows[0]["upper"])]
    found = share_estimate([curve_point(r) for r in rows if r["value"] is not None])
    return [None, None, None] if found is None else [_round(v) for v in (found.mean, found.lower, found.upper)]


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
