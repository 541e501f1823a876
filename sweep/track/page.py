"""The track's page: the leaderboard, attack by attack, recovery curves with bands, samples before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweep.page.charts import DrawnCurve, curves_chart
from sweep.page.gallery import Room, Strip, made_by, strip
from sweep.page.marks import CONTROL_MARKS, distinct
from sweep.page.render import render
from sweep.records import COMPLETE, now
from sweep.records.names import BASE, RETRAIN
from sweep.relearning import strips
from sweep.relearning.panels import attack_series, axes
from sweep.relearning.recovery import relearning
from sweep.track.reading import Track, conditions, line_of
from sweep.track.scoring import COLUMNS, Line, Scorer, rank, values
from sweep.track.shortfalls import shortfalls
from trainables.store import Store

DRAWN = 6  # curves that are drawn at once; the legend shows the others


def render_track(track: Track, scorer: Scorer) -> str:
    """The whole page as HTML."""
    lines = scorer.lines()
    figures = [_figure(scorer, lines, a, track.forgets, f"all-{i}") for i, a in enumerate(track.attacks)]
    each = []
    if len(track.forgets) > 1:
        for f, forget in enumerate(track.forgets):
            of = scorer.lines(forget)
            each.append((forget, [_figure(scorer, of, a, [forget], f"f{f}-{i}") for i, a in enumerate(track.attacks)]))
    ranks, kinds = rank(scorer), strips.kinds(track.prepared)
    drawn = _strips(track, [line.entry for line in lines])
    context = {
        "title": f"Relearning track, {track.facts['plan']['data']}",
        "plan": track.facts["plan"],
        "forgets": track.forgets,
        "seeds": sorted({r["seed"] for r in track.replicates if r["seed"] is not None}),
        "run": str(track.run),
        "state": track.status.get("state", "unknown"),
        "introduction": _introduction(track),
        "k": track.rungs[-1],
        "columns": COLUMNS,
        "lines": [_line(line, place) for place, line in enumerate(lines, 1)],
        "ranks": {
            "reason": "no method has a figure for everything" if ranks is None else ranks.reason,
            "blocks": ranks and ranks.blocks,
            "p": ranks and ranks.p_value,
            "critical_difference": ranks and ranks.critical_difference,
            "order": list(ranks.mean.items()) if ranks else [],
        },
        "attacks": [{"name": name, "counts": a["counts"]} for name, a in track.attacks.items()],
        "by_attack": [
            {"entry": n.entry, "control": n.control, "figures": [n.attacks[a].aurc for a in track.attacks]}
            for n in lines
        ],
        "figures": figures,
        "each_forget": each,
        "all_figures": [*figures, *(chart for _, charts in each for chart in charts)],
        "shown_forget": track.forgets[0],
        "strips": drawn,
        "kinds": kinds,
        "made_by": made_by(drawn, kinds),
        "shortfalls": shortfalls(track),
        "failures": [r for r in track.replicates if r["state"] != COMPLETE],
        "entries": track.facts["entries"],
        "facts": [(name, str(value)) for name, value in conditions(track).items()],
        "written": now().strftime("%Y-%m-%d %H:%M UTC"),
    }
    return render("track.html.j2", context, room="sweep.track")


def _line(line: Line, place: int) -> dict[str, Any]:
    return {
        "entry": line.entry,
        "control": line.control,
        "place": None if line.control or line.score is None else place,
        "figures": values(line),
        "worst": line.strongest.attack if line.strongest else None,
        "replicates": line.replicates,
    }


def _introduction(track: Track) -> list[str]:
    """What was asked, in sentences."""
    counting = [name for name, a in track.attacks.items() if a["counts"]]
    others = [name for name, a in track.attacks.items() if not a["counts"]]
    sentences = [
        f"{len(track.entries)} ways of unlearning, each at fixed settings, forget in turn {'; '.join(track.forgets)} on "
        f"{track.facts['seeds']} training seeds. Each unlearned model, and beside it the untouched base model and the "
        f"retrain control, is attacked by {', '.join(counting)} and scored at k = {', '.join(map(str, track.rungs))}."
    ]
    if others:
        sentences.append(
            f"{', '.join(others)} hold what was forgotten and do not count: any model learns it from them."
        )
    accuracy = track.prepared.get("classifier_accuracy")
    if accuracy is not None:
        over = track.prepared["classifier_held_out"]
        sentences.append(
            f"The classifier that every sample is shown to is right on {accuracy:.1%} of {over} held-out images."
        )
    return sentences


def _figure(scorer: Scorer, lines: Sequence[Line], attack: str, forgets: Sequence[str], name: str) -> dict[str, Any]:
    marks = distinct([line.entry for line in lines if not line.control])
    marks |= zip((BASE, RETRAIN), CONTROL_MARKS, strict=False)
    curves = [
        DrawnCurve(line.entry, marks[line.entry], recovery, not line.control and place >= DRAWN)
        for place, line in enumerate(lines)
        if (recovery := relearning(scorer.recovery(line.entry, attack, forgets)))
    ]
    title = attack_series(attack, scorer.track.attacks[attack]["counts"]).title
    return {"id": name, "title": title, "spec": curves_chart(axes(scorer.track.rungs), curves)}


def _strips(track: Track, order: Sequence[str]) -> list[Strip]:
    """Samples of every line for the first thing to forget, all of one seed, as far as the page has room."""
    store, room = Store(track.facts["plan"]["artifacts"]), Room()
    done = [r for r in track.replicates if r["state"] == COMPLETE and r["forget"] == track.forgets[0]]
    if not done:
        return []
    seed = min(r["seed"] for r in done)
    of_seed = {line_of(r): r for r in done if r["seed"] == seed}
    order = [BASE, RETRAIN, *(e for e in order if e not in (BASE, RETRAIN))]
    rows, shown = (
        [of_seed[e] for e in order if e in of_seed],
        strips.pictures(len(track.attacks), strips.kinds(track.prepared)),
    )
    return [strip(store, row, strips.strip(row, track.curves), shown, room) for row in rows]
