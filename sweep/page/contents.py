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
from sweep.reading.comparison import FEW_ARMS, Standing, attacked, comparison, standings
from sweep.reading.ending import Ending
from sweep.reading.fronts import Front, comparable, conditions, front_hypervolume, read_front
from sweep.reading.importance import importances
from sweep.reading.members import Member
from sweep.reading.nearest import held
from sweep.reading.shortfalls import shortfalls
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
from sweep.records import AUDITS, COMPLETE, now
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
    """Write the page of one run or several, and each run's front.png; returns the page's path.

    Raises UsageError where a run is no run folder, or the page cannot be written there.
    """
    folders = [runs] if isinstance(runs, str | os.PathLike) else list(runs)
    fronts = [read_front(folder) for folder in folders]
    page = Path(output) if output is not None else fronts[0].run / "report.html"
    pictures = [png_bytes(front_figure(front)) for front in fronts]
    text = render("report.html.j2", contents(fronts, pictures), SCRIPTS)
    try:
        write_whole(page, text)
        for front, png in zip(fronts, pictures, strict=True):
            write_whole(front.run / "front.png", png)
    except OSError as error:
        raise UsageError(f"{error.filename or page}: cannot be written: {error.strerror}") from None
    return page


def contents(fronts: Sequence[Front], pngs: Sequence[bytes]) -> dict[str, Any]:
    """What the template needs of the runs, with as many samples as keep the page within its limit."""
    kept = [held(front) for front in fronts]
    data: list[dict[str, Any]] = [explored(front, own) for front, own in zip(fronts, kept, strict=True)]
    taken = len(plotly()) + len(json.dumps(data)) + sum(map(len, pngs)) * 4 // 3 + _TEXT
    room = max(0, LIMIT - taken) // len(fronts)
    pictures: dict[str, int] = {}  # each once, by its data URI
    runs = []
    for i, (front, own, png) in enumerate(zip(fronts, kept, pngs, strict=True)):
        strips = gallery.gallery(front, own.members, room)
        numbered = [_numbered(strip, pictures) for strip in strips]
        data[i]["samples"] = _by_trial(numbered)
        data[i]["samples_left_out"] = len({s.trial_id for s in strips}) < len(own.members)
        shown_here = _of_the_front(front, numbered)
        runs.append(_run(front, png, f"run{i}") | {"strips": shown_here, "left_out": own.told})
    return {
        "title": ", ".join(dict.fromkeys(front.plan["space"] for front in fronts)),
        "runs": runs,
        "several": len(fronts) > 1,
        "differs": comparable(fronts) if len(fronts) > 1 else [],
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


def _of_the_front(front: Front, strips: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The strips that the page shows without a click: of the fronts and the controls, each once, of one phase."""
    fresh = any(arm.confirmed for arm in front.arms.values())
    on = {m.trial_id for arm in front.arms.values() for m in arm.front}
    found = [s for s in strips if s["trial_id"] in on or (s["arm"] == CONTROL and (s["replicate"] >= 1) == fresh)]
    return [s for s in found if any(g["missing"] is None or "page is full" not in g["missing"] for g in s["grids"])]


def _run(front: Front, png: bytes, name: str) -> dict[str, Any]:
    """What the template needs of one run."""
    figures = [
        {"id": f"{name}-recovery{i}", "title": spec.pop("title"), "spec": spec}
        for i, spec in enumerate(charts.recovery_plots(front))
    ]
    rows = _search_rows(front)
    return {
        "id": name,
        "front": front,
        "plan": front.plan,
        "state": front.status.get("state", "unknown"),
        "found": _found(front),
        "shortfalls": shortfalls(front),
        "words": _words(front),
        "definitions": definitions(front),
        "figures_shown": [name.replace("_", " ") if name != "fid_delta" else name for name in shown(front)],
        "quality_shown": [(name.replace("_", " "), meaning(front, name)) for name in QUALITY],
        "bounds": [(c.name, bound_text(c)) for c in front.constraints],
        "axes": [axis(front, objective, brief=True) for objective in front.objectives],
        "corner": corner_text(front),
        "many": len(front.arms) > FEW_ARMS,
        "standings": [_standing(front, s) for s in standings(front)],
        "audits": AUDITS,
        "audited": list(_audited(front)),
        "arms": [_arm(front, arm, rows) for arm in front.arms],
        "controls": [_line(front, m, rows) for m in front.controls.values()],
        "comparisons": comparison(front),
        "figure_name": figure_name,
        "figures": figures,
        "png": base64.b64encode(png).decode(),
        "importances": importances(front),
        "strongest": STRONGEST,
        "failures": failures.failures(front),
        "time": spending.stage_times(front),
        "prepared": front.prepared,
        "facts": _facts(front),
    }


def _found(front: Front) -> list[tuple[str, str]]:
    """What was found, how sure it is and beside what, in a few lines."""
    winner = Ending(front).winner
    told = [("Best", Ending(front).winner_text())]
    if winner is not None and winner.within:
        told.append(("How sure", f"probability that its mean over all seeds keeps each bound: {within(front, winner)}"))
    for pair in comparison(front):
        rows = [r for r in pair.rows if r.attack is None and r.figure in {o.metric for o in front.objectives}]
        if pair.main and pair.baseline and rows and len(front.arms) <= FEW_ARMS:
            less = ", ".join(f"{r.figure} {interval(r.difference)}" for r in rows)
            told.append((f"Against {pair.baseline_arm}", f"{pair.main.trial_id} less {pair.baseline.trial_id}: {less}"))
    metric = front.objectives[0].metric
    beside = [f"{m.trial_id} {number(m.value(metric))}" for m in front.controls.values()]
    if beside:
        told.append(("Beside it", f"{metric} of {', '.join(beside)}"))
    told.append(("Trials", "; ".join(f"{name}: {counted(arm)}" for name, arm in front.arms.items())))
    return told


def bound_text(constraint: Constraint) -> str:
    """``fid_delta ≤ 4.1``, or the bound's name where its number is not known yet."""
    bound = "its bound" if constraint.bound is None else f"{constraint.bound:.3g}"
    return f"{constraint.metric} {'≤' if constraint.side == 'at_most' else '≥'} {bound}"


def _search_rows(front: Front) -> dict[str, dict[str, Any]]:
    """The search's own replicate of every member that a table tells of, by trial."""
    ids = [m.trial_id for arm in front.arms.values() for m in (*arm.front, *arm.confirmed_members)]
    rows = front.rows_of(
        "replicates", [*ids, *front.controls], ("trial_id", "replicate", "state", "forgotten_top_class")
    )
    return {r["trial_id"]: r for r in rows if r["replicate"] == 0 and r["state"] == COMPLETE}


def _words(front: Front) -> list[str]:
    """The plan in sentences."""
    plan = front.plan
    methods, baselines = (
        [a for a, arm in front.arms.items() if arm.baseline == is_baseline] for is_baseline in (False, True)
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
        f"stops there. The others are attacked ({search}) and scored at k = {', '.join(map(str, front.rungs))}"
        + (", or until the front of their arm surely dominates them." if plan.get("stopping") else "."),
        *([f"The search ended by {front.ended_by}."] if front.ended_by else []),
        f"Members of the search front, and trials that noise may have kept off it, run again on {plan['confirm_seeds']} "
        f"fresh seeds against {confirm}; means over those seeds, with 95 % intervals, decide the front that is reported.",
    ]
    if front.prepared.get("classifier_accuracy") is not None:
        held_out = front.prepared.get("classifier_held_out")
        over = f" of {held_out} held-out images" if held_out else ""
        right = f"{100 * front.prepared['classifier_accuracy']:.1f} %{over}"
        told.append(f"The classifier that judges every sample is right on {right}.")
    return told


def _arm(front: Front, name: str, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    arm = front.arms[name]
    members = sorted(
        {m.trial_id: m for m in (*arm.front, *arm.confirmed_members)}.values(),
        key=lambda m: (not m.on_front, m.value(front.objectives[1].metric) or 0.0),
    )
    return {
        "name": name,
        "role": standing_of(front, name),
        "confirmed": arm.confirmed,
        "counts": counted(arm),
        "reason": arm.reason,
        "hypervolume": front_hypervolume(front, name),
        "members": [_line(front, m, rows) for m in members],
        "parameters": list(dict.fromkeys(name for m in members for name in m.parameters)),
    }


def _line(front: Front, member: Member, searched: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One row of the members' table, and what its forgotten condition yields."""
    fresh = [r for r in front.confirm_rows if r["trial_id"] == member.trial_id and r["state"] == COMPLETE]
    rows = fresh if member.confirmed else [searched[member.trial_id]] if member.trial_id in searched else []
    tops = collections.Counter(r["forgotten_top_class"] for r in rows if r["forgotten_top_class"] is not None)
    where = "on the front" if member.on_front else "infeasible" if member.feasible is False else "dominated"
    return {
        "member": member,
        "status": where if member.arm != "control" else "control",
        "seeds": len(rows),
        "quality": [member.at(name) for name in QUALITY],
        "figures": [member.at(name) for name in shown(front)],
        "top": ", ".join(f"{c} ({n} of {sum(tops.values())} seeds)" for c, n in tops.most_common(2)) or "—",
        "yields": [member.at(name) for name in YIELDS],
    }


def _standing(front: Front, standing: Standing) -> dict[str, Any]:
    """One row of the table of arms: its best member's figures, and how far it is behind the first."""
    member = standing.member
    status = "nothing scored" if member is None else "" if member.feasible else "breaks a constraint"
    figures = [member.at(name) for name in shown(front)] if member else []
    return {"standing": standing, "status": status, "figures": figures, "settings": settings(member) if member else ""}


def _audited(front: Front) -> Iterator[dict[str, Any]]:
    """What the membership audit finds in each arm's best member and the controls: before the attack, and at its worst.

    The worst attack is the one after whose last step membership_auc is farthest from .5: below it the model betrays the
    forget set too, by what it denoises worse than anything like it.
    """
    best = [s.member for s in standings(front) if s.member is not None]
    for member in (*best, *front.controls.values()):
        if any(member.at(name) is not None for name in AUDITS):  # a one-step generator has no denoising loss to audit
            yield {"trial_id": member.trial_id, "when": "before any attack", "figures": [member.at(a) for a in AUDITS]}
        after = {a: attacked(front, member, a, AUDITS[0]) for a in front.plan["attacks"]["confirm"]}
        found = {a: e.mean for a, e in after.items() if e is not None}
        if worst := max(found, key=lambda a: abs(found[a] - 0.5), default=None):
            figures = [attacked(front, member, worst, name) for name in AUDITS]
            yield {"trial_id": member.trial_id, "when": f"after {worst}", "figures": figures}


def _facts(front: Front) -> list[tuple[str, str]]:
    """What every figure depends on; more than one value in a row means figures that may not be compared."""
    plan = front.plan
    stated = [
        ("question", f"{plan['space']}, fingerprint {plan['space_fingerprint']}"),
        ("plan's seed", str(plan["seed"])),
    ]
    seeds = sorted({*front.seeds_run(False), *front.seeds_run(True)})
    stated.append(("seeds run", ", ".join(map(str, seeds)) or "none yet"))
    return stated + [
        (name.replace("_", " "), ", ".join(values) or "not recorded") for name, values in conditions(front).items()
    ]
