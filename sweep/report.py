"""The page an analyst opens: ``python -m sweep.report RUN [RUN...] [-o page.html]``.

One file that asks nothing of any network: plotly.js, styles and samples are inside it, and its content security policy
forbids the rest. Everything that comes from a run (names, causes, settings) is escaped. ``RUN/front.png`` is
written too.
"""

from __future__ import annotations

import argparse
import base64
import collections
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sweep import interactive
from sweep.caption import write_pictures
from sweep.errors import UsageError
from sweep.figures import front_figure, png_bytes
from sweep.gallery import gallery
from sweep.page import render, replace
from sweep.pareto import (
    FEW_ARMS,
    Front,
    Member,
    Standing,
    attacked,
    comparable,
    comparison,
    conditions,
    front_hypervolume,
    read_front,
    standings,
)
from sweep.records import AUDITS, COMPLETE, RUNNING, now
from sweep.wording import (
    QUALITY,
    axis,
    corner_text,
    counted,
    definitions,
    figure_name,
    meaning,
    settings,
    shown,
    standing_of,
    within,
)

YIELDS = ("forgotten_top_share", "forgotten_confidence", "forgotten_diversity", "forgotten_distance")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code: 0, or 2 with one line on stderr for a mistake of the user's."""
    parser = argparse.ArgumentParser(
        prog="python -m sweep.report", description="Write the page of finished or running sweeps."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder")
    parser.add_argument(
        "-o", "--output", type=Path, help="the page's file (default: report.html in the first run folder)"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="instead of the page: the front of one run as pixels")
    parser.add_argument(
        "--pdf",
        type=Path,
        metavar="FILE",
        help="the same as vectors, for a paper; either with its caption beside it in .txt",
    )
    arguments = parser.parse_args(argv)
    try:
        if arguments.png or arguments.pdf:
            if len(arguments.runs) > 1:
                raise UsageError("--png, --pdf: are of one run; name one")
            for file in write_pictures(read_front(arguments.runs[0]), arguments.png, arguments.pdf):
                print(file)
            return 0
        print(write(arguments.runs, arguments.output))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


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
    context = {
        "title": ", ".join(dict.fromkeys(front.plan["space"] for front in fronts)),
        "runs": [_run(front, png, f"run{i}") for i, (front, png) in enumerate(zip(fronts, pictures, strict=True))],
        "several": len(fronts) > 1,
        "differs": comparable(fronts) if len(fronts) > 1 else [],
        "written": now().strftime("%Y-%m-%d %H:%M UTC"),
    }
    text = render("report.html.j2", context)
    try:
        replace(page, text.encode())
        for front, png in zip(fronts, pictures, strict=True):
            replace(front.run / "front.png", png)
    except OSError as error:
        raise UsageError(f"{error.filename or page}: cannot be written: {error.strerror}") from None
    return page


def _run(front: Front, png: bytes, name: str) -> dict[str, Any]:
    """What the template needs of one run."""
    figures = [{"id": f"{name}-front", "spec": interactive.front_plot(front), "title": ""}]
    for i, spec in enumerate(interactive.recovery_plots(front)):
        figures.append({"id": f"{name}-recovery{i}", "title": spec.pop("title"), "spec": spec})
    return {
        "id": name,
        "front": front,
        "plan": front.plan,
        "state": front.status.get("state", "unknown"),
        "words": _words(front),
        "definitions": definitions(front),
        "figures_shown": [name.replace("_", " ") if name != "fid_delta" else name for name in shown(front)],
        "quality_shown": [(name.replace("_", " "), meaning(front, name)) for name in QUALITY],
        "axes": [axis(front, objective, brief=True) for objective in front.objectives],
        "corner": corner_text(front),
        "many": len(front.arms) > FEW_ARMS,
        "standings": [_standing(front, s) for s in standings(front)],
        "audits": AUDITS,
        "audited": list(_audited(front)),
        "arms": [_arm(front, arm) for arm in front.arms],
        "controls": [_line(front, m) for m in front.controls.values()],
        "comparisons": comparison(front),
        "figure_name": figure_name,
        "figures": figures,
        "png": base64.b64encode(png).decode(),
        "strips": gallery(front),
        "stopped": [m for m in front.members if m.state != COMPLETE],
        "failures": _failures(front),
        "time": _time(front),
        "prepared": front.prepared,
        "facts": _facts(front),
    }


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
    search, confirm = (", ".join(plan["attacks"][phase]) for phase in ("search", "confirm"))
    told = [
        f"{plan['trials']} trials{shared} {', '.join(methods)}{against}, chosen by the {plan['sampler']} sampler"
        f"{', one an arm' if len(methods) > 1 else ''}, seed {plan['seed']}; data {plan['data']}, "
        f"forgotten: {plan['forget']}.",
        "Every trial unlearns and is scored; one that surely exceeds the FID budget, or surely has not unlearned, "
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


def _arm(front: Front, name: str) -> dict[str, Any]:
    arm = front.arms[name]
    members = sorted(
        (m for m in arm.members if m.on_front or m.confirmed),
        key=lambda m: (not m.on_front, m.value(front.objectives[1].metric) or 0.0),
    )
    return {
        "name": name,
        "role": standing_of(front, name),
        "confirmed": arm.confirmed,
        "counts": counted(arm),
        "reason": arm.reason,
        "hypervolume": front_hypervolume(front, name),
        "members": [_line(front, m) for m in members],
    }


def _line(front: Front, member: Member) -> dict[str, Any]:
    """One row of the members' table, and what its forgotten condition yields."""
    rows = [r for r in front.replicates if r["trial_id"] == member.trial_id and r["state"] == COMPLETE]
    rows = [r for r in rows if (r["replicate"] >= 1) == bool(member.confirmed)]
    tops = collections.Counter(r["forgotten_top_class"] for r in rows if r["forgotten_top_class"] is not None)
    where = "on the front" if member.on_front else "infeasible" if member.feasible is False else "dominated"
    return {
        "member": member,
        "status": where if member.arm != "control" else "control",
        "seeds": len(rows),
        "settings": settings(member),
        "within": within(front, member),
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


def _failures(front: Front) -> list[dict[str, Any]]:
    """Confirm replicates, and runs of the controls, that did not complete."""
    shown = {m.trial_id for m in front.members if m.state != COMPLETE}  # their replicate 0 is told among the trials
    return [
        r
        for r in front.replicates
        if r["state"] not in (COMPLETE, RUNNING) and not (r["replicate"] == 0 and r["trial_id"] in shown)
    ]


def _time(front: Front) -> list[dict[str, Any]]:
    """Where time went: seconds by kind of stage; what is not training, sampling or scoring is loading and storing."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in front.stages:
        kinds.setdefault(row["stage"].partition("@")[0], []).append(row)
    table = []
    for kind, rows in kinds.items():
        made = [r for r in rows if not r["found"]]
        parts = {
            part: sum(r[f"{part}_s"] or 0.0 for r in made)
            for part in ("wall", "core", "training", "sampling", "scoring")
        }
        other = max(0.0, parts["wall"] - parts["training"] - parts["sampling"] - parts["scoring"])
        table.append({"kind": kind, "made": len(made), "found": len(rows) - len(made), "other": other} | parts)
    order = {"unlearn": -2, "score": -1}
    return sorted(table, key=lambda r: (order.get(r["kind"], 0), -r["wall"]))


def _facts(front: Front) -> list[tuple[str, str]]:
    """What every figure depends on; more than one value in a row means figures that may not be compared."""
    plan = front.plan
    stated = [
        ("question", f"{plan['space']}, fingerprint {plan['space_fingerprint']}"),
        ("plan's seed", str(plan["seed"])),
    ]
    seeds = sorted({r["seed"] for r in front.replicates if r["seed"] is not None})
    stated.append(("seeds run", ", ".join(map(str, seeds)) or "none yet"))
    return stated + [
        (name.replace("_", " "), ", ".join(values) or "not recorded") for name, values in conditions(front).items()
    ]


if __name__ == "__main__":
    sys.exit(main())
