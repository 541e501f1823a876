"""What the page says: the runs' rows, words and pictures as its template wants them, and the page written."""

from __future__ import annotations

import base64
import collections
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sweep.errors import UsageError
from sweep.page import charts, gallery
from sweep.page.explorer import explored
from sweep.page.figures import front_figure, png_bytes
from sweep.page.render import plotly, render
from sweep.reading import failures, spending
from sweep.reading.arm_against_arm import FEW_ARMS, Standing, comparison, standings
from sweep.reading.best import front_hypervolume
from sweep.reading.comparable import comparable, conditions
from sweep.reading.curves import attacked
from sweep.reading.ending import Ending
from sweep.reading.importance import importances
from sweep.reading.nearest import held
from sweep.reading.shortfalls import shortfalls
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.trial import Trial
from sweep.reading.words import (
    QUALITY,
    axis,
    corner_text,
    counted,
    definitions,
    figure_name,
    interval,
    meaning,
    number,
    settings,
    shown,
    standing_of,
    within,
)
from sweep.records import COMPLETE, audit_names, now
from sweep.records.whole import write_whole
from sweep.space import CONTROL, Constraint

LIMIT = 8_000_000  # bytes of a page
STRONGEST = 10  # parameters of a figure whose importance the page lists
_TEXT = 600_000  # bytes kept for its tables
SCRIPTS = ("page.js", "parallel.js", "panel.js", "trials.js", "labels.js", "report.js")
YIELDS = ("forgotten_top_share", "forgotten_confidence", "forgotten_diversity", "forgotten_distance")


def write(
    runs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], output: str | os.PathLike[str] | None = None
) -> Path:
    """Write the page of one run or several; returns the page's path. Where that lies in a run, front.png is written there too.

    Raises UsageError where a run is no run folder, or the page cannot be written there.
    """
    folders = [runs] if isinstance(runs, str | os.PathLike) else list(runs)
    sweeps = [read_sweep(folder) for folder in folders]
    page = Path(output) if output is not None else sweeps[0].run / "report.html"
    pictures = [png_bytes(front_figure(sweep)) for sweep in sweeps]
    text = render("report.html.j2", contents(sweeps, pictures), SCRIPTS)
    try:
        write_whole(page, text)
        for sweep, png in zip(sweeps, pictures, strict=True):
            if output is None or page.resolve().parent == sweep.run.resolve():  # no other run is written into
                write_whole(sweep.run / "front.png", png)
    except OSError as error:
        raise UsageError(f"{error.filename or page}: cannot be written: {error.strerror}") from None
    return page


def contents(sweeps: Sequence[Sweep], pngs: Sequence[bytes]) -> dict[str, Any]:
    """What the template needs of the runs, with as many samples as keep the page within its limit."""
    kept = [held(sweep) for sweep in sweeps]
    data: list[dict[str, Any]] = [explored(sweep, own) for sweep, own in zip(sweeps, kept, strict=True)]
    taken = len(plotly()) + len(json.dumps(data)) + sum(map(len, pngs)) * 4 // 3 + _TEXT
    room = max(0, LIMIT - taken) // len(sweeps)
    pictures: dict[str, int] = {}  # each once, by its data URI
    runs = []
    for i, (sweep, own, png) in enumerate(zip(sweeps, kept, pngs, strict=True)):
        strips = gallery.gallery(sweep, own.members, room)
        numbered = [_numbered(strip, pictures) for strip in strips]
        data[i]["samples"] = _by_trial(numbered)
        data[i]["samples_left_out"] = len({s.trial_id for s in strips}) < len(own.members)
        shown_here = _of_the_front(sweep, numbered)
        runs.append(_run(sweep, png, f"run{i}") | {"strips": shown_here, "left_out": own.told})
    return {
        "title": ", ".join(dict.fromkeys(sweep.plan["space"] for sweep in sweeps)),
        "runs": runs,
        "several": len(sweeps) > 1,
        "differs": comparable(sweeps) if len(sweeps) > 1 else [],
        "written": now().strftime("%Y-%m-%d %H:%M UTC"),
        "data": {"runs": data, "pictures": list(pictures)},
        "live": None,
    }


def _numbered(strip: gallery.Strip, pictures: dict[str, int]) -> dict[str, Any]:
    """A strip whose grids name their pictures by number; new ones are added to `pictures`."""
    grids = []
    for grid in strip.grids:
        uris = {which: getattr(grid, which) for which in gallery.WHICH}
        numbers = {w: None if u is None else pictures.setdefault(u, len(pictures)) for w, u in uris.items()}
        grids.append({"caption": grid.caption, "missing": grid.missing, **numbers})
    return {
        "trial_id": strip.trial_id,
        "arm": strip.arm,
        "seed": strip.seed,
        "replicate": strip.replicate,
        "grids": grids,
    }


def _by_trial(strips: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By trial; a control's by ``ID/REPLICATE`` too, for it has one a phase."""
    found: dict[str, dict[str, Any]] = {}
    for strip in strips:
        own = {k: strip[k] for k in ("seed", "replicate", "grids")}
        found.setdefault(strip["trial_id"], own)
        if strip["arm"] == CONTROL:
            found[f"{strip['trial_id']}/{strip['replicate']}"] = own
    return found


def _of_the_front(sweep: Sweep, strips: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The strips that the page shows without a click: of the fronts and the controls, each once, of one phase."""
    fresh = any(arm.confirmed for arm in sweep.arms.values())
    on = {m.trial_id for arm in sweep.arms.values() for m in arm.front}
    found = [s for s in strips if s["trial_id"] in on or (s["arm"] == CONTROL and (s["replicate"] >= 1) == fresh)]
    return [s for s in found if any(g["missing"] is None or "page is full" not in g["missing"] for g in s["grids"])]


def _run(sweep: Sweep, png: bytes, name: str) -> dict[str, Any]:
    """What the template needs of one run."""
    figures = [
        {"id": f"{name}-recovery{i}", "title": spec.pop("title"), "spec": spec}
        for i, spec in enumerate(charts.recovery_plots(sweep))
    ]
    rows = _search_rows(sweep)
    return {
        "id": name,
        "front": sweep,
        "plan": sweep.plan,
        "state": sweep.status.get("state", "unknown"),
        "found": _found(sweep),
        "shortfalls": shortfalls(sweep),
        "words": _words(sweep),
        "definitions": definitions(sweep),
        "figures_shown": [name.replace("_", " ") if name != "fid_delta" else name for name in shown(sweep)],
        "quality_shown": [(name.replace("_", " "), meaning(sweep, name)) for name in QUALITY],
        "bounds": [(c.name, bound_text(c)) for c in sweep.constraints],
        "axes": [axis(sweep, objective, brief=True) for objective in sweep.objectives],
        "corner": corner_text(sweep),
        "many": len(sweep.arms) > FEW_ARMS,
        "standings": [_standing(sweep, s) for s in standings(sweep)],
        "audits": audit_names(),
        "audited": list(_audited(sweep)),
        "arms": [_arm(sweep, arm, rows) for arm in sweep.arms],
        "controls": [_line(sweep, m, rows) for m in sweep.controls.values()],
        "comparisons": comparison(sweep),
        "figure_name": figure_name,
        "figures": figures,
        "png": base64.b64encode(png).decode(),
        "importances": importances(sweep),
        "strongest": STRONGEST,
        "failures": failures.failures(sweep),
        "time": spending.stage_times(sweep),
        "prepared": sweep.prepared,
        "facts": _facts(sweep),
    }


def _found(sweep: Sweep) -> list[tuple[str, str]]:
    """What was found, how sure it is and beside what, in a few lines."""
    winner = Ending(sweep).winner
    told = [("Best", Ending(sweep).winner_text())]
    if winner is not None and winner.within:
        told.append(("How sure", f"probability that its mean over all seeds keeps each bound: {within(sweep, winner)}"))
    for pair in comparison(sweep):
        rows = [r for r in pair.rows if r.attack is None and r.figure in {o.metric for o in sweep.objectives}]
        if pair.main and pair.baseline and rows and len(sweep.arms) <= FEW_ARMS:
            less = ", ".join(f"{r.figure} {interval(r.difference)}" for r in rows)
            told.append((f"Against {pair.baseline_arm}", f"{pair.main.trial_id} less {pair.baseline.trial_id}: {less}"))
    metric = sweep.objectives[0].metric
    beside = [f"{m.trial_id} {number(m.value(metric))}" for m in sweep.controls.values()]
    if beside:
        told.append(("Beside it", f"{metric} of {', '.join(beside)}"))
    told.append(("Trials", "; ".join(f"{name}: {counted(arm)}" for name, arm in sweep.arms.items())))
    return told


def bound_text(constraint: Constraint) -> str:
    """``fid_delta ≤ 4.1``, or the bound's name where its number is not known yet."""
    bound = "its bound" if constraint.bound is None else f"{constraint.bound:.3g}"
    return f"{constraint.metric} {'≤' if constraint.side == 'at_most' else '≥'} {bound}"


def _search_rows(sweep: Sweep) -> dict[str, dict[str, Any]]:
    """The search's own replicate of every member that a table tells of, by trial."""
    ids = [m.trial_id for arm in sweep.arms.values() for m in (*arm.front, *arm.confirmed_members)]
    rows = sweep.rows_of(
        "replicates", [*ids, *sweep.controls], ("trial_id", "replicate", "state", "forgotten_top_class")
    )
    return {r["trial_id"]: r for r in rows if r["replicate"] == 0 and r["state"] == COMPLETE}


def _words(sweep: Sweep) -> list[str]:
    """The plan in sentences."""
    plan = sweep.plan
    methods, baselines = (
        [a for a, arm in sweep.arms.items() if arm.baseline == is_baseline] for is_baseline in (False, True)
    )
    shared = " shared evenly by" if len(methods) > 1 else " of"
    against = f", and {plan['baseline_trials']} of {' and of '.join(baselines)} as baseline" if baselines else ""
    if len(baselines) > FEW_ARMS:
        against = f", and {plan['baseline_trials']} shared by the baselines {', '.join(baselines)}"
    margin = plan.get("gate_margin")
    far = f" by more than {margin:.0%} of its bound" if margin else ""
    search, confirm = (", ".join(plan["attacks"][phase]) for phase in ("search", "confirm"))
    told = [
        f"{plan['trials']} trials{shared} {', '.join(methods)}{against}, chosen by the {plan['sampler']} sampler"
        f"{', one an arm' if len(methods) > 1 else ''}, seed {plan['seed']}; data {plan['data']}, "
        f"forgotten: {plan['forget']}.",
        f"Every trial unlearns and is scored; one that surely breaks a constraint{far} "
        f"stops there. The others are attacked ({search}) and scored at k = {', '.join(map(str, sweep.rungs))}"
        + (", or until the front of their arm surely dominates them." if plan.get("stopping") else "."),
        *([f"The search ended by {sweep.ended_by}."] if sweep.ended_by else []),
        f"Members of the search front, and trials that noise may have kept off it, run again on {plan['confirm_seeds']} "
        f"fresh seeds against {confirm}; means over those seeds, with 95 % intervals, decide the front that is reported.",
    ]
    if sweep.prepared.get("classifier_accuracy") is not None:
        held_out = sweep.prepared.get("classifier_held_out")
        over = f" of {held_out} held-out images" if held_out else ""
        right = f"{100 * sweep.prepared['classifier_accuracy']:.1f} %{over}"
        told.append(f"The classifier that judges every sample is right on {right}.")
    return told


def _arm(sweep: Sweep, name: str, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    arm = sweep.arms[name]
    trials = sorted(
        {m.trial_id: m for m in (*arm.front, *arm.confirmed_members)}.values(),
        key=lambda m: (not m.on_front, m.value(sweep.objectives[1].metric) or 0.0),
    )
    return {
        "name": name,
        "role": standing_of(sweep, name),
        "confirmed": arm.confirmed,
        "counts": counted(arm),
        "reason": arm.reason,
        "hypervolume": front_hypervolume(sweep, name),
        "members": [_line(sweep, m, rows) for m in trials],
        "parameters": list(dict.fromkeys(name for m in trials for name in m.parameters)),
    }


def _line(sweep: Sweep, trial: Trial, searched: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One row of the members' table, and what its forgotten condition yields."""
    fresh = [r for r in sweep.confirm_rows if r["trial_id"] == trial.trial_id and r["state"] == COMPLETE]
    rows = fresh if trial.confirmed else [searched[trial.trial_id]] if trial.trial_id in searched else []
    tops = collections.Counter(r["forgotten_top_class"] for r in rows if r["forgotten_top_class"] is not None)
    where = "on the front" if trial.on_front else "infeasible" if trial.feasible is False else "dominated"
    return {
        "member": trial,
        "status": where if trial.arm != "control" else "control",
        "seeds": len(rows),
        "quality": [trial.at(name) for name in QUALITY],
        "figures": [trial.at(name) for name in shown(sweep)],
        "top": ", ".join(f"{c} ({n} of {sum(tops.values())} seeds)" for c, n in tops.most_common(2)) or "—",
        "yields": [trial.at(name) for name in YIELDS],
    }


def _standing(sweep: Sweep, standing: Standing) -> dict[str, Any]:
    """One row of the table of arms: its best member's figures, and how far it is behind the first."""
    member = standing.member
    status = "nothing scored" if member is None else "" if member.feasible else "breaks a constraint"
    figures = [member.at(name) for name in shown(sweep)] if member else []
    return {"standing": standing, "status": status, "figures": figures, "settings": settings(member) if member else ""}


def _audited(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """What the membership audit finds in each arm's best member and the controls: before the attack, and at its worst.

    The worst attack is the one after whose last step membership_auc is farthest from .5: below it the model betrays the
    forget set too, by what it denoises worse than anything like it.
    """
    best = [s.member for s in standings(sweep) if s.member is not None]
    for member in (*best, *sweep.controls.values()):
        if any(
            member.at(name) is not None for name in audit_names()
        ):  # a one-step generator has no denoising loss to audit
            yield {
                "trial_id": member.trial_id,
                "when": "before any attack",
                "figures": [member.at(a) for a in audit_names()],
            }
        after = {a: attacked(sweep, member, a, audit_names()[0]) for a in sweep.plan["attacks"]["confirm"]}
        found = {a: e.mean for a, e in after.items() if e is not None}
        if worst := max(found, key=lambda a: abs(found[a] - 0.5), default=None):
            figures = [attacked(sweep, member, worst, name) for name in audit_names()]
            yield {"trial_id": member.trial_id, "when": f"after {worst}", "figures": figures}


def _facts(sweep: Sweep) -> list[tuple[str, str]]:
    """What every figure depends on; more than one value in a row means figures that may not be compared."""
    plan = sweep.plan
    stated = [
        ("question", f"{plan['space']}, fingerprint {plan['space_fingerprint']}"),
        ("plan's seed", str(plan["seed"])),
    ]
    seeds = sorted({*sweep.seeds_run(False), *sweep.seeds_run(True)})
    stated.append(("seeds run", ", ".join(map(str, seeds)) or "none yet"))
    return stated + [
        (name.replace("_", " "), ", ".join(values) or "not recorded") for name, values in conditions(sweep).items()
    ]
