"""What the page says: the runs' rows, words and pictures as its template wants them, and the page written."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sweep.errors import UsageError, called
from sweep.page import charts, gallery
from sweep.page.explorer import explored
from sweep.page.figures import front_figure, png_bytes
from sweep.page.marks import marks_in_words
from sweep.page.render import plotly, render
from sweep.procedures import facts_of
from sweep.procedures.panels import Section
from sweep.reading import failures, spending
from sweep.reading.arm import unsure
from sweep.reading.arm_against_arm import FEW_ARMS, Comparison, Standing, comparison, standings
from sweep.reading.best import front_hypervolume, listed_members, merit
from sweep.reading.comparable import comparable, holders
from sweep.reading.dependence import Dependence, dependences
from sweep.reading.importance import importances
from sweep.reading.nearest import held
from sweep.reading.pick import in_short, pick_text, picks
from sweep.reading.shortfalls import shortfalls
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.trial import Trial
from sweep.reading.words import (
    axis,
    brief,
    confirmation_text,
    corner_text,
    counted,
    definitions,
    fresh_seeds,
    interval,
    listed,
    meaning,
    number,
    seed_counts,
    settings,
    shown,
    standing_of,
)
from sweep.records import COMPLETE, now
from sweep.records.whole import write_whole
from sweep.space import CONTROL, Constraint

LIMIT = 8_000_000  # bytes of a page
MOST_PICKS = 3  # arms whose best the page names first; of more, their standings follow
STRONGEST = 10  # parameters of a figure whose importance the page lists
_TEXT = 600_000  # bytes kept for its tables
SCRIPTS = (
    "page.js",
    "parallel.js",
    "panel.js",
    "trials.js",
    "labels.js",
    "outside.js",
    "against.js",
    "timeline.js",
    "report.js",
)


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
    data: list[dict[str, Any]] = [explored(sweep, kept_of_run) for sweep, kept_of_run in zip(sweeps, kept, strict=True)]
    taken = len(plotly()) + len(json.dumps(data)) + sum(map(len, pngs)) * 4 // 3 + _TEXT
    room = max(0, LIMIT - taken) // len(sweeps)
    pictures: dict[str, int] = {}  # each once, by its data URI
    runs = []
    for i, (sweep, kept_of_run, png) in enumerate(zip(sweeps, kept, pngs, strict=True)):
        strips = gallery.gallery(sweep, kept_of_run.members, room)
        shown_of = sweep.procedure.panels().pictures(sweep)
        kinds = list(shown_of.kinds) if shown_of else []
        made_by = gallery.made_by(strips, shown_of.kinds) if shown_of else []
        numbered = [_numbered(strip, kinds, pictures) for strip in strips]
        with_room = [n for n, s in zip(numbered, strips, strict=True) if not all(g.left_out for g in s.grids)]
        data[i]["samples"] = _by_trial(numbered)
        data[i]["samples_left_out"] = len({s.trial_id for s in strips}) < len(kept_of_run.members)
        shown_here = _of_the_front(sweep, with_room)
        pictured = {"strips": shown_here, "no_samples": _none_is_there(strips), "made_by": made_by}
        runs.append(_run(sweep, png, f"run{i}") | pictured | {"left_out": kept_of_run.left_out})
    return {
        "title": ", ".join(dict.fromkeys(sweep.space_name for sweep in sweeps)),
        "runs": runs,
        "several": len(sweeps) > 1,
        "differs": comparable(sweeps) if len(sweeps) > 1 else [],
        "pareto": called("sweep.pareto"),
        "written": now().strftime("%Y-%m-%d %H:%M UTC"),
        "data": {"runs": data, "pictures": list(pictures)},
        "live": None,
    }


def _none_is_there(strips: Iterable[gallery.Strip]) -> bool:
    """Whether samples were recorded and none of them can be shown: of a run that was kept without its store."""
    grids = [grid for strip in strips for grid in strip.grids if not grid.left_out]
    return bool(grids) and all(grid.missing for grid in grids)


def _numbered(strip: gallery.Strip, kinds: Iterable[str], pictures: dict[str, int]) -> dict[str, Any]:
    """A strip whose grids name their pictures by number, kind by kind; new ones are added to `pictures`."""
    grids = []
    for grid in strip.grids:
        uris = map(grid.pictures.get, kinds)
        numbers = [None if uri is None else pictures.setdefault(uri, len(pictures)) for uri in uris]
        grids.append({"caption": grid.caption, "missing": grid.missing, "pictures": numbers})
    return {
        "trial_id": strip.trial_id,
        "arm": strip.arm,
        "seed": strip.seed,
        "replicate": strip.replicate,
        "grids": grids,
    }


def _by_trial(strips: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By trial; a control's by ``ID/REPLICATE`` too, for it has one a phase."""
    strips_of: dict[str, dict[str, Any]] = {}
    for strip in strips:
        facts = {k: strip[k] for k in ("seed", "replicate", "grids")}
        strips_of.setdefault(strip["trial_id"], facts)
        if strip["arm"] == CONTROL:
            strips_of[f"{strip['trial_id']}/{strip['replicate']}"] = facts
    return strips_of


def _of_the_front(sweep: Sweep, strips: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The strips that the page shows without a click: of the fronts, and of the controls on the same seeds.

    Where nothing is on a front, the controls' of one phase.
    """
    strips = list(strips)
    on = {m.trial_id for arm in sweep.arms.values() for m in arm.front}
    replicates = {s["replicate"] for s in strips if s["trial_id"] in on}
    if not replicates:
        fresh = any(arm.confirmed for arm in sweep.arms.values())
        replicates = {s["replicate"] for s in strips if (s["replicate"] >= 1) == fresh}
    return [s for s in strips if s["trial_id"] in on or (s["arm"] == CONTROL and s["replicate"] in replicates)]


def _run(sweep: Sweep, png: bytes, name: str) -> dict[str, Any]:
    """What the template needs of one run."""
    panels = sweep.procedure.panels()
    rows = _searched(sweep)
    arms = [_arm(sweep, arm, rows) for arm in sweep.arms]
    controls = [_line(sweep, m, rows) for m in sweep.controls.values()]
    of_front = [line["member"] for arm in arms for line in arm["members"] if line["member"].on_front]
    sections = panels.sections(sweep, [*of_front, *sweep.controls.values()])
    drawn = [_section(sweep, section, name) for section in sections]
    every_dependence = dependences(sweep)
    return {
        "id": name,
        "front": sweep,
        "plan": sweep.plan,
        "state": sweep.status.get("state", "unknown"),
        "answers": _answers(sweep),
        "shortfalls": shortfalls(sweep),
        "words": _words(sweep),
        "definitions": definitions(sweep),
        "wording": panels.wording(sweep),
        "figures_shown": [_heading(sweep, name) for name in shown(sweep)],
        "quality_shown": [(name.replace("_", " "), meaning(sweep, name)) for name in sweep.columns.quality],
        "bounds": [(c.name, bound_text(c)) for c in sweep.constraints],
        "axes": [axis(sweep, objective, brief=True) for objective in sweep.objectives],
        "front_words": _front_words(sweep),
        "corner": corner_text(sweep),
        "many": len(sweep.arms) > FEW_ARMS,
        "marks_in_words": "" if len(sweep.arms) > FEW_ARMS else marks_in_words(sweep),
        "standings": [_standing(sweep, s) for s in standings(sweep)],
        "arms": arms,
        "controls": controls,
        "comparisons": [_pair(sweep, pair) for pair in comparison(sweep)],
        "sections": drawn,
        "pictures": panels.pictures(sweep),
        "figures": [figure for section in drawn for figure in section["figures"]],
        "png": base64.b64encode(png).decode(),
        "importances": importances(sweep),
        "strongest": STRONGEST,
        "dependences": [_dependence(dependence) for dependence in every_dependence if dependence.fit],
        "unfitted": _unfitted(every_dependence),
        "failures": failures.failures(sweep),
        "time": spending.stage_times(sweep),
        "activities": [*(a.name.removesuffix("_s") for a in sweep.columns.activities), "other"],
        "prepared": spending.preparing_times(sweep),
        "facts": _facts(sweep),
    }


def _answers(sweep: Sweep) -> list[tuple[str, str]]:
    """What to pick, how sure it is and beside what, in a few lines: each arm's best, or of many arms those that stand first."""
    every = picks(sweep)
    answers = [("In short", in_short(sweep, every))]
    for pick in every[:MOST_PICKS]:
        answers.append(("Arm", f"{pick.arm}{' (baseline)' if pick.baseline else ''}: {pick_text(sweep, pick)}"))
    for pair in comparison(sweep):
        rows = [r for r in pair.rows if r.series is None and r.figure in {o.metric for o in sweep.objectives}]
        if pair.main and pair.baseline and rows and len(sweep.arms) <= FEW_ARMS:
            differences = ", ".join(f"{r.figure} {interval(r.difference)}" for r in rows)
            trials = f"{pair.main.trial_id} minus {pair.baseline.trial_id}"
            answers.append((f"Against {pair.baseline_arm}", f"{trials}: {differences}"))
    metric = sweep.objectives[0].metric
    beside = [f"{m.trial_id} {number(m.value(metric))}" for m in sweep.controls.values()]
    if beside:
        answers.append(("Controls", f"{metric} of {', '.join(beside)}"))
    answers.append(("Trials", "; ".join(f"{name}: {counted(arm)}" for name, arm in sweep.arms.items())))
    return answers


def bound_text(constraint: Constraint) -> str:
    """``error ≤ 4.1``, or the bound's name where its number is not known yet."""
    bound = "its bound" if constraint.bound is None else brief(constraint.bound)
    return f"{constraint.metric} {'≤' if constraint.side == 'at_most' else '≥'} {bound}"


def _heading(sweep: Sweep, figure: str) -> str:
    """A figure's name as the head of a column, in words unless tables call it by its very name."""
    return figure if sweep.columns.shown.get(figure) == figure else figure.replace("_", " ")


def _section(sweep: Sweep, section: Section, run: str) -> dict[str, Any]:
    """A part of the page that the run's procedure names, with its charts as Plotly draws them."""
    curves = sweep.procedure.panels().curves(sweep)
    drawn = section.panels if curves else ()
    figures = [
        {
            "id": f"{run}-{section.key}{i}",
            "title": panel.series.title,
            "spec": charts.panel_chart(sweep, curves.axes, panel),
        }
        for i, panel in enumerate(drawn)
        if curves
    ]
    return {"of": section, "figures": figures}


def _dependence(of: Dependence) -> dict[str, Any]:
    """How a figure depends on an arm's parameters: those of which a level surely differs, and how far their intervals reach."""
    ends = [
        abs(e)
        for levels in of.certain.values()
        for effect in levels.values()
        for e in (effect.lower, effect.upper)
        if e
    ]
    return {
        "of": of,
        "others": [name for name in of.effects if name not in of.certain],
        "reach": max(ends, default=1.0),
    }


def _unfitted(every: Iterable[Dependence]) -> list[tuple[str, list[str]]]:
    """Why figures have no fit: each reason with the figures, and the arms in which that is so."""
    reasons: dict[str, list[str]] = {}
    for dependence in every:
        if dependence.reason:
            reasons.setdefault(dependence.reason, []).append(f"{dependence.target} of {dependence.arm}")
    return list(reasons.items())


def _pair(sweep: Sweep, pair: Comparison) -> dict[str, Any]:
    """A comparison, with the rows that are folded away beside those that are not, and the procedure's own tables below."""
    panels = sweep.procedure.panels()
    folded = [panels.folded(sweep, row) for row in pair.rows]
    return {
        "of": pair,
        "rows": [row for row, away in zip(pair.rows, folded, strict=True) if not away],
        "folded": [row for row, away in zip(pair.rows, folded, strict=True) if away],
        "tables": [] if pair.missing else panels.comparison(sweep, pair),
    }


def _searched(sweep: Sweep) -> set[str]:
    """Of the members that a table tells of, those that the search's own seed completed."""
    ids = [
        m.trial_id
        for arm in sweep.arms.values()
        for m in (*listed_members(sweep, arm.name), *arm.front, *arm.confirmed_members)
    ]
    rows = sweep.rows_of("replicates", [*ids, *sweep.controls], ("trial_id", "replicate", "state"))
    return {r["trial_id"] for r in rows if r["replicate"] == 0 and r["state"] == COMPLETE}


def _front_words(sweep: Sweep) -> dict[str, str]:
    """What is written of the front: its title, what its axes are, what its lines join, and which of each arm is compared."""
    axes = [axis(sweep, objective, brief=True) for objective in sweep.objectives]
    title, compared = "The front", "the confirmed member that the search found best"
    if len(axes) == 1:
        title, compared = "The best so far", "the confirmed member that is best"
        directions = f"Upwards: {axes[0]}; rightwards: trials in the order in which they ended, controls before them."
        line = "a line is an arm's best so far on the search's seed."
    elif len(axes) == 2:
        directions = f"Upwards: {axes[0]}; rightwards: {axes[1]}."
        line = "a line joins a front of two or more."
    else:
        directions = f"Of {listed(axes)} two at a time: a trial is on the front where no other is as good in all and better in one."
        line = "a line joins those of a front that none of it beats in both."
    return {"title": title, "axes": directions, "line": line, "compared": compared}


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
    of = sweep.procedure.panels().wording(sweep)
    about, also = f"; {of.planned}" if of.planned else "", f" {of.confirmed_by}" if of.confirmed_by else ""
    again, decided = (
        "Members of the search front, and trials that noise may have kept off it",
        "the front that is reported",
    )
    each = " each on average, more where something was open" if sweep.adaptive else ""
    if len(sweep.objectives) == 1:
        again, decided = (
            "The search's best, and trials that noise may have kept behind it",
            "which is reported as the best",
        )
    trials = f"{plan['trials']} trial{'s' if plan['trials'] != 1 else ''}"
    parts = [
        f"{trials}{shared} {', '.join(methods)}{against}, chosen by the {plan['sampler']} sampler"
        f"{', one an arm' if len(methods) > 1 else ''}, seed {plan['seed']}{about}.",
        *([of.course] if of.course else []),
        *([f"The search ended by {sweep.ended_by}."] if sweep.ended_by else []),
        f"{again}, run again on {fresh_seeds(plan['confirm_seeds'])}{each}{also}; "
        f"means over those seeds, with 95 % intervals, decide {decided}.",
        *([f"The confirmation {said}."] if (said := confirmation_text(sweep)) else []),
    ]
    return [*parts, of.prepared] if of.prepared else parts


def _arm(sweep: Sweep, name: str, searched: set[str]) -> dict[str, Any]:
    arm = sweep.arms[name]
    trials = sorted(
        {m.trial_id: m for m in (*arm.front, *listed_members(sweep, name), *arm.confirmed_members)}.values(),
        key=_in_table(sweep),
    )
    return {
        "name": name,
        "role": standing_of(sweep, name),
        "confirmed": arm.confirmed,
        "counts": counted(arm),
        "reason": arm.reason,
        "hypervolume": front_hypervolume(sweep, name) if len(sweep.objectives) > 1 else None,
        "members": [_line(sweep, m, searched) for m in trials],
        "parameters": list(dict.fromkeys(name for m in trials for name in m.parameters)),
    }


def _in_table(sweep: Sweep) -> Callable[[Trial], tuple[bool, float]]:
    """What an arm's members are sorted by: those on the front first, by the second of two objectives, else the best first."""
    if len(sweep.objectives) == 2:
        return lambda m: (not m.on_front, m.value(sweep.objectives[1].metric) or 0.0)
    return lambda m: (not m.on_front, -merit(sweep, m.value(sweep.objectives[0].metric)))


def _line(sweep: Sweep, trial: Trial, searched: set[str]) -> dict[str, Any]:
    """One row of the members' table, and of the table of quality."""
    on, off = ("on the front", "dominated") if len(sweep.objectives) > 1 else ("the best", "behind it")
    doubt = "not sure" if trial.feasible and unsure(sweep.plan, trial) else off
    if (
        trial.confirmed is not None and not trial.fully_confirmed
    ):  # fresh seeds say of it that it keeps its bounds, and no more
        doubt = "bounds alone"
    where = on if trial.on_front else "infeasible" if trial.feasible is False else doubt
    return {
        "member": trial,
        "status": where if trial.arm != CONTROL else CONTROL,
        "seeds": seed_counts(sweep, [trial]) or int(trial.trial_id in searched),
        "quality": [trial.at(name) for name in sweep.columns.quality],
        "figures": [trial.at(name) for name in shown(sweep)],
    }


def _standing(sweep: Sweep, standing: Standing) -> dict[str, Any]:
    """One row of the table of arms: its best member's figures, and how far it is behind the first."""
    member = standing.member
    figures = [member.at(name) for name in shown(sweep)] if member else []
    return {
        "standing": standing,
        "status": standing.unplaced,
        "figures": figures,
        "settings": settings(member) if member else "",
    }


def _facts(sweep: Sweep) -> list[tuple[str, str, str]]:
    """What every figure depends on, and what that is; of several values whose each is: such figures may not be compared."""
    plan, schema = sweep.plan, sweep.replicate_facts.schema
    seeds = sorted({*sweep.seeds_run(False), *sweep.seeds_run(True)})
    stated = [
        ("question", f"{sweep.space_name}, fingerprint {plan['space_fingerprint']}", "hash of all that it declares"),
        ("plan's seed", str(plan["seed"]), ""),
        ("seeds run", ", ".join(map(str, seeds)) or "none yet", ""),
    ]
    for name in sweep.columns.conditions:
        about = facts_of(schema.field(name)).get("description", "") if name in schema.names else ""
        values = [f"{value} ({of})" if of else value for value, of in holders(sweep, name).items()]
        stated.append((name.replace("_", " "), ", ".join(values) or "not recorded", about))
    return stated
