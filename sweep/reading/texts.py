"""A run's fronts as text, CSV, JSON or Markdown."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from sweep.errors import UsageError
from sweep.procedures.sections import Difference, Excess
from sweep.reading.arm import ArmFront
from sweep.reading.arm_against_arm import FEW_ARMS, Comparison, comparison, standings
from sweep.reading.best import front_hypervolume, listed_members
from sweep.reading.comparable import comparable, conditions
from sweep.reading.shortfalls import shortfall_lines, shortfalls
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial, luck_of
from sweep.reading.words import (
    cell,
    confirmation_text,
    corner_text,
    counted,
    definitions,
    interval,
    number,
    seeds_behind,
    settings,
    shown,
    standing_of,
    within,
)
from sweep.records.for_json import for_json

WIDTH = 80


def render(sweep: Sweep | Sequence[Sweep], format: str = "text") -> str:
    """One front, or several one after another, as text ending in a newline. UsageError for an unknown format."""
    sweeps = [sweep] if isinstance(sweep, Sweep) else list(sweep)
    if format not in FORMATS:
        raise UsageError(f"format {format!r} is not one of {', '.join(FORMATS)}")
    return FORMATS[format](sweeps)


def _wrap(label: str, text: str) -> Iterator[str]:
    """Lines of the text under its label. A folder's name is broken nowhere: it is there to be copied."""
    first, rest = (f"{label:<12} ", " " * 13) if label else ("  ", "  ")
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _text(sweeps: Sequence[Sweep]) -> str:
    lines: list[str] = []
    for sweep in sweeps:
        lines += [*_text_head(sweep), *_text_arms(sweep), *_text_comparisons(sweep), *_text_standings(sweep)]
        lines += [*shortfall_lines(shortfalls(sweep)), ""]
    if len(sweeps) > 1:
        differs = comparable(sweeps)
        verdict = f"NOT comparable, they differ in {', '.join(differs)}" if differs else "comparable: same conditions"
        lines += [*_wrap("these runs", verdict), ""]
    return "\n".join(lines[:-1]) + "\n"


def _text_head(sweep: Sweep) -> Iterator[str]:
    plan = sweep.plan
    yield from _wrap("", f"{sweep.space_name}: {plan['question']}")
    about = sweep.sections.about(sweep)
    yield from _wrap("run", f"{sweep.run} ({sweep.status.get('state', 'unknown')})" + (f"; {about}" if about else ""))
    if sweep.ended_by:
        yield from _wrap("search", f"ended by {sweep.ended_by}")
    if said := confirmation_text(sweep):
        yield from _wrap("confirmation", said)
    for name, meaning in definitions(sweep).items():
        label = name.partition(" ")[0] if len(name) > 12 else name
        yield from _wrap(label, meaning) if len(label) <= 12 else _wrap("", f"{name}: {meaning}")
    trials = [trial for arm in sweep.arms.values() for trial in arm.confirmed_members]
    confirmed = [a.name for a in sweep.arms.values() if a.confirmed]
    single = [a for a in sweep.arms if a not in confirmed]
    if len(sweep.arms) > FEW_ARMS:
        names = (confirmed, single)
        confirmed, single = ([f"{len(some)} of {len(sweep.arms)} arms"] if some else [] for some in names)
    words = (
        f"{' and '.join(confirmed)} confirmed on {seeds_behind(sweep, trials)}: mean [95 % interval over seeds]"
        if confirmed
        else ""
    )
    words += ("; " if words and single else "") + (
        f"{' and '.join(single)} search only: one seed, no interval" if single else ""
    )
    yield from _wrap("values", words)


def _text_arms(sweep: Sweep) -> Iterator[str]:
    metrics = [o.metric for o in sweep.objectives]
    members = {name: listed_members(sweep, name) for name in sweep.arms}
    wide = 2 + max([17, *(len(m.trial_id) for listed in members.values() for m in listed)])
    for arm in sweep.arms.values():
        yield ""
        role, n = standing_of(sweep, arm.name), sum(arm.counts.values())
        yield from _wrap("arm", f"{arm.name} ({role}), {n} trial{'s' if n != 1 else ''}: {counted(arm)}")
        yield from _text_front(sweep, arm)
        if members[arm.name]:
            yield f"  {'trial':<{wide}} {_in_columns(metrics)}"
        for member in members[arm.name]:
            values = _in_columns([interval(member.at(metric)) for metric in metrics])
            yield f"  {member.trial_id:<{wide}} {values}"
            yield from textwrap.wrap(settings(member), WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
            if member.within:
                yield from textwrap.wrap(
                    f"within: {within(sweep, member)}", WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6
                )
        if arm.reason:
            yield from _wrap("few because", arm.reason)
        if luck := str(luck_of(arm.confirmed_members)):
            yield from _wrap("luck", luck)
    for name, control in sweep.controls.items():
        figures = ", ".join(f"{metric} {interval(control.at(metric))}" for metric in metrics)
        yield from _wrap("control", f"{name}: {figures}")
    for missing in sweep.sections.missing_controls(sweep):
        yield from _wrap("control", missing)


def _text_front(sweep: Sweep, arm: ArmFront) -> Iterator[str]:
    """How many are on the arm's front, and its hypervolume; of one objective, which are ranked."""
    shown, total = len(listed_members(sweep, arm.name)), len(arm.members)
    if len(sweep.objectives) == 1:
        which = "feasible and confirmed" if arm.confirmed else "feasible on the search's seed"
        yield from _wrap("ranking", f"the best first, of those {which}: {shown} of {total} trials")
        return
    which = "confirmed front" if arm.confirmed else "search front"
    volume = front_hypervolume(sweep, arm.name)
    area = f"; hypervolume {number(volume)} up to {corner_text(sweep)}" if volume is not None else ""
    yield from _wrap("front", f"{which}, {shown} of {total} trials{area}")


def _in_columns(words: Sequence[str], wide: int = 27) -> str:
    """Words below one another's, the last as long as it is."""
    return "".join([*(f"{word:<{wide - 1}} " for word in words[:-1]), *words[-1:]])


def _text_comparisons(sweep: Sweep) -> Iterator[str]:
    pairs = comparison(sweep)
    brief = len(pairs) > FEW_ARMS
    for pair in pairs:
        if not brief:
            yield ""
        if pair.missing or pair.main is None or pair.baseline is None:
            yield from _wrap("comparison", f"{pair.arm} against {pair.baseline_arm}: {pair.missing}")
            continue
        if brief:
            yield from _wrap("comparison", _brief(sweep, pair))
            continue
        yield from _wrap(
            "comparison", f"{pair.main.trial_id} - {pair.baseline.trial_id}, paired by seed, mean [95 % interval]"
        )
        if pair.note:
            yield from _wrap("", pair.note)
        yield f"  {'figure':<35}{'first':>7}{'second':>7}   difference"
        for row in pair.rows:
            means = f"{number(row.main.mean):>7}{number(row.baseline.mean):>7}"
            yield f"  {row.brief:<35}{means}   {interval(row.difference)}"
        if pair.excess:
            yield f"  {sweep.sections.excess_note}"
            yield f"  {pair.excess[0].figure.replace('_', ' '):<35}{'trial':>7}{'control':>8}  excess"
        for excess in pair.excess:
            name = f"{excess.trial_id} {excess.brief}"
            means = f"{number(excess.member.mean):>7}{number(excess.control.mean):>8}"
            yield f"  {name:<35}{means}  {interval(excess.difference)}"
    if brief:
        every = f"every {sweep.sections.compared_at} of these pairs"
        yield from _wrap("", f"{every}: --format markdown, json, or the page")


def _brief(sweep: Sweep, pair: Comparison) -> str:
    """A pair by its objectives alone: ``a - b, paired by seed: accuracy 0.1 [0, 0.2]; …``."""
    assert pair.main is not None and pair.baseline is not None, "the caller has told what is missing"
    names = [o.metric for o in sweep.objectives]
    words = "; ".join(
        f"{r.figure} {interval(r.difference)}" for r in pair.rows if r.series is None and r.figure in names
    )
    note = f" ({pair.note})" if pair.note else ""
    return f"{pair.main.trial_id} - {pair.baseline.trial_id}, paired by seed: {words}{note}"


def _text_standings(sweep: Sweep) -> Iterator[str]:
    if len(sweep.arms) <= FEW_ARMS:
        return
    metrics = [o.metric for o in sweep.objectives]
    yield ""
    yield from _wrap("standings", f"the best member of each arm by {metrics[0]}; mean [95 % interval over seeds]")
    wide = 2 + max(len(name) for name in sweep.arms)
    yield f"  {'':>2} {'arm':<{wide}}{_in_columns(metrics, 24)}"
    without: dict[str, str] = {}  # by why it has no place, the sign of it
    for place, standing in enumerate(standings(sweep), 1):
        member = standing.member
        if member is None:
            yield f"  {'—':>2} {standing.arm:<{wide}}{standing.unplaced}"
            continue
        values = f"{_in_columns([interval(member.at(metric)) for metric in metrics], 24):<{24 * len(metrics) - 2}}"
        sign = without.setdefault(standing.unplaced, "*" * (1 + len(without))) if standing.unplaced else ""
        yield f"  {'—' if sign else place:>2} {standing.arm:<{wide}}{values} {sign}".rstrip()
    for why, sign in without.items():
        yield from _wrap(f"  {sign}", f"{why}: it has no place")


def flat_rows(sweep: Sweep, trials: Sequence[Trial] | None = None) -> Iterator[dict[str, Any]]:
    """One flat row a trial, what a spreadsheet wants: of the given ones, or of every arm and the controls."""
    chosen = (*sweep.members, *sweep.controls.values()) if trials is None else trials
    names, figures = (
        sorted({p for m in chosen for p in m.parameters}),
        (*shown(sweep), *sweep.columns.quality, *sweep.sections.further(sweep)),
    )
    facts = {**_bounds(sweep), **sweep.sections.facts(sweep)}
    seeds = Counter(trial_id for trial_id, _ in sweep.seeds())
    for m in chosen:
        row: dict[str, Any] = {
            "run": str(sweep.run),
            "trial_id": m.trial_id,
            "arm": m.arm,
            "baseline": m.baseline,
            "state": m.state,
        }
        row |= {"cause": m.cause, "feasible": m.feasible, "on_front": m.on_front, "on_search_front": m.on_search_front}
        row |= facts | {f"param_{p}": m.setting(p) for p in names}
        for name in figures:
            estimate = (m.confirmed or {}).get(name)
            row |= {f"search_{name}": m.search.get(name), f"confirmed_{name}": estimate.mean if estimate else None}
            row |= {
                f"confirmed_{name}_lower": estimate.lower if estimate else None,
                f"confirmed_{name}_upper": estimate.upper if estimate else None,
                f"confirmed_{name}_seeds": estimate.n if estimate else None,
            }
        row |= {f"within_{c.name}": m.within.get(c.name) for c in sweep.constraints}
        yield row | {"confirm_seeds": seeds[m.trial_id]}


def _bounds(sweep: Sweep) -> dict[str, float | None]:
    """The bounds that the question has words for, each with its number; None before the prepare phase has found it."""
    return {word: sweep.bounds.get(word) for word in sweep.bounds_asked}


def _csv(sweeps: Sequence[Sweep]) -> str:
    each = [flat_rows(sweep) for sweep in sweeps]
    firsts = [next(rows, {}) for rows in each]  # every row of a run has the same columns
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(chain.from_iterable(firsts))), restval="", lineterminator="\n")
    writer.writeheader()
    for first, rows in zip(firsts, each, strict=True):
        writer.writerows(chain([first] if first else [], rows))
    return out.getvalue()


def _json(sweeps: Sequence[Sweep]) -> str:
    runs = [
        {
            "run": str(sweep.run),
            "plan": sweep.plan,
            "status": sweep.status,
            "definitions": definitions(sweep),
            **_bounds(sweep),
            "conditions": conditions(sweep),
            "arms": {
                name: {
                    "name": name,
                    "baseline": arm.baseline,
                    "members": [dataclasses.asdict(m) for m in arm.members],
                    "counts": arm.counts,
                    "reason": arm.reason,
                    "luck": dataclasses.asdict(luck_of(arm.confirmed_members)),
                    "hypervolume": front_hypervolume(sweep, name),
                }
                for name, arm in sweep.arms.items()
            },
            "controls": {name: dataclasses.asdict(m) for name, m in sweep.controls.items()},
            "comparison": [_pair(sweep, pair) for pair in comparison(sweep)],
            "shortfalls": [dataclasses.asdict(s) for s in shortfalls(sweep)],
            "standings": [
                {
                    "arm": s.arm,
                    "trial_id": s.member and s.member.trial_id,
                    "behind_first": s.ahead and dataclasses.asdict(s.ahead),
                    "unplaced": s.unplaced,
                }
                for s in standings(sweep)
            ],
        }
        for sweep in sweeps
    ]
    if len(runs) == 1:
        return json.dumps(for_json(runs[0]), indent=1, allow_nan=False) + "\n"
    return (
        json.dumps({"not_comparable_in": comparable(sweeps), "runs": for_json(runs)}, indent=1, allow_nan=False) + "\n"
    )


def _pair(sweep: Sweep, pair: Comparison) -> dict[str, Any]:
    """A comparison with its members by id: their figures are already under `arms`."""
    names = {"main": pair.main and pair.main.trial_id, "baseline": pair.baseline and pair.baseline.trial_id}
    rows = [_placed(sweep, r, ("counts", "better", "main", "baseline", "difference")) for r in pair.rows]
    excess = [_placed(sweep, e, ("control", "member", "difference")) for e in pair.excess]
    return dataclasses.asdict(pair) | names | {"rows": rows, "excess": excess}


def _placed(sweep: Sweep, row: Difference | Excess, names: Sequence[str]) -> dict[str, Any]:
    """A row with its place under the names that the curves' table has for it, then those of its fields."""
    every = dataclasses.asdict(row)
    of = "trial_id" if isinstance(row, Excess) else "figure"
    return {of: every[of], sweep.columns.series: row.series, "step": row.step} | {name: every[name] for name in names}


def _markdown(sweeps: Sequence[Sweep]) -> str:
    lines: list[str] = []
    for sweep in sweeps:
        lines += [f"## {cell(sweep.space_name)}", "", cell(sweep.plan["question"]), ""]
        lines += [f"- **{name}**: {cell(meaning)}" for name, meaning in definitions(sweep).items()]
        metrics = [o.metric for o in sweep.objectives]
        lines += [
            "",
            f"| trial | arm | values | {' | '.join(metrics)} | within | parameters |",
            "|---" * (5 + len(metrics)) + "|",
        ]
        for arm in sweep.arms.values():
            for m in arm.front if len(metrics) > 1 else listed_members(sweep, arm.name):
                values = "confirmed" if m.fully_confirmed else "search only"
                cells = [
                    m.trial_id,
                    m.arm + (" (baseline)" if m.baseline else ""),
                    values,
                ]
                cells += [*(interval(m.at(metric)) for metric in metrics), within(sweep, m), cell(settings(m))]
                lines.append("| " + " | ".join(cells) + " |")
        lines += _markdown_standings(sweep)
        lines += [""] + [f"{arm.name}: {cell(arm.reason)}\n" for arm in sweep.arms.values() if arm.reason]
        for arm in sweep.arms.values():
            luck = str(luck_of(arm.confirmed_members))
            lines += [f"{arm.name}: {luck}\n"] if luck else []
        lines += [f"Failed: {cell(str(s))}\n" for s in shortfalls(sweep)]
        for pair in comparison(sweep):
            if pair.missing or pair.main is None or pair.baseline is None:
                lines += [f"{pair.arm} against {pair.baseline_arm}: {pair.missing}", ""]
                continue
            lines += [f"{pair.note}", ""] if pair.note else []
            lines += [
                f"| figure | {pair.main.trial_id} | {pair.baseline.trial_id} | difference, paired by seed |",
                "|---|---|---|---|",
            ]
            lines += [
                f"| {cell(r.name)} | {interval(r.main)} | {interval(r.baseline)} | {interval(r.difference)} |"
                for r in pair.rows
            ]
            lines.append("")
    if len(sweeps) > 1:
        differs = comparable(sweeps)
        lines += [
            f"These runs are not comparable: they differ in {', '.join(differs)}."
            if differs
            else "These runs are comparable.",
            "",
        ]
    return "\n".join(lines[:-1]) + "\n"


def _markdown_standings(sweep: Sweep) -> Iterator[str]:
    if len(sweep.arms) <= FEW_ARMS:
        return
    figures = shown(sweep)
    yield from ("", f"| place | arm | best member | {' | '.join(figures)} |", "|---" * (3 + len(figures)) + "|")
    for place, standing in enumerate(standings(sweep), 1):
        member = standing.member
        named = f"{member.trial_id}{f' ({standing.unplaced})' if standing.unplaced else ''}" if member else "—"
        cells = ["—" if standing.unplaced else str(place), standing.arm, named]
        yield "| " + " | ".join([*cells, *(interval(member.at(f)) if member else "—" for f in figures)]) + " |"


FORMATS: dict[str, Callable[[Sequence[Sweep]], str]] = {
    "text": _text,
    "csv": _csv,
    "json": _json,
    "markdown": _markdown,
}
