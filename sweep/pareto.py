"""The Pareto front of a run as text, CSV, JSON or Markdown: ``python -m sweep.pareto RUN [RUN...] [--format text]``.

Also the one place to import the reading of fronts from: dominance, hypervolume and intervals are in `sweep.estimates`,
members and fronts in `sweep.fronts`, arm against arm in `sweep.comparison`. Nothing heavier than pyarrow is imported.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sweep.comparison import (
    FEW_ARMS,
    Comparison,
    Difference,
    Excess,
    Recovery,
    Series,
    Standing,
    attacked,
    comparison,
    recoveries,
    relearning,
    standings,
)
from sweep.errors import UsageError
from sweep.estimates import Estimate, estimate, hypervolume, nondominated, paired_difference, t_interval
from sweep.fronts import (
    ArmFront,
    Front,
    Member,
    best,
    comparable,
    conditions,
    corner,
    front_hypervolume,
    leader,
    read_front,
)
from sweep.records import AUDITS, COMPLETE, FAIL, PRUNED, fact
from sweep.space import Objective

__all__ = [
    "ArmFront", "Comparison", "Difference", "Estimate", "Excess", "Front", "Member", "Recovery", "Series",
    "Standing", "attacked", "best", "comparable", "comparison", "conditions", "corner", "definitions", "estimate",
    "front_hypervolume", "hypervolume", "leader", "main", "nondominated", "paired_difference", "read_front",
    "recoveries", "relearning", "render", "standings", "t_interval",
]  # fmt: skip

WIDTH = 80
SHOWN = ("robustness", "fid_delta", "unlearning_accuracy", "retain_accuracy")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code: 0, or 2 with one line on stderr for a mistake of the user's."""
    parser = argparse.ArgumentParser(
        prog="python -m sweep.pareto", description="Print the Pareto front of finished or running sweeps."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder")
    parser.add_argument("--format", choices=sorted(_FORMATS), default="text", help="how to print it (default: text)")
    arguments = parser.parse_args(argv)
    try:
        fronts = [read_front(run) for run in arguments.runs]
        print(render(fronts, arguments.format), end="")
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def render(front: Front | Sequence[Front], format: str = "text") -> str:
    """One front, or several one after another, as text ending in a newline. UsageError for an unknown format."""
    fronts = [front] if isinstance(front, Front) else list(front)
    if format not in _FORMATS:
        raise UsageError(f"format {format!r} is not one of {', '.join(_FORMATS)}")
    return _FORMATS[format](fronts)


def shown(front: Front) -> list[str]:
    """The figures of a member that every table has: the objectives first."""
    return list(dict.fromkeys([*(o.metric for o in front.objectives), *SHOWN]))


def meaning(front: Front, metric: str) -> str:
    """What a figure is, from its column, with this run's K."""
    return fact(metric, "description").replace("@K", f"@{front.rungs[-1]}")


def axis(front: Front, objective: Objective, brief: bool = False) -> str:
    """What an axis of the front says: the figure, what it is, and which way is better."""
    better = f"({'higher' if objective.direction == 'maximise' else 'lower'} is better)"
    what = "" if brief else f" = {meaning(front, objective.metric).partition(';')[0]}"
    return f"{objective.metric}{what}  {better}"


def standing_of(front: Front, name: str) -> str:
    """What an arm is to its question, in words."""
    methods = [a for a, arm in front.arms.items() if not arm.baseline]
    if name not in methods:
        return "baseline"
    return "the question's method" if len(methods) == 1 else f"one of {len(methods)} arms"


def definitions(front: Front) -> dict[str, str]:
    """What each figure means in this run, K, N and seeds included: printed wherever its figures are."""
    plan, prepared, facts = front.plan, front.prepared, conditions(front)
    k, rungs = front.rungs[-1], ", ".join(map(str, front.rungs))
    suites = "; in ".join(f"{phase}: {', '.join(plan['attacks'][phase])}" for phase in ("search", "confirm"))
    outside = sorted({c["attack"] for c in front.curves if not c["counts"] and c["attack"] != "none"})
    suites += f" (not counting, for it holds the forgotten data: {', '.join(outside)})" if outside else ""
    features = " or ".join(facts["feature_network"]) or plan.get("fid_features", "unknown")
    hashes = " or ".join(h[:12] for h in facts["feature_network_hash"])
    rule = f" ({prepared['fid_budget_rule']})" if prepared.get("fid_budget_rule") else ""
    budget = (
        f"{front.budget:.3g}{rule}" if front.budget is not None else "not known yet: the prepare phase has not ended"
    )
    told = {
        "relearning accuracy": "share of samples prompted with the forgotten condition that the classifier "
        "gives to it, after k attack steps",
        f"AURC@{k}": f"trapezoid of relearning accuracy over log2(k+1), k = {rungs}, divided by log2({k}+1)",
        "robustness": f"1 - max AURC@{k} over the attacks that count; attacks in {suites}",
        "fid_delta": "FID of the unlearned model - FID of the base model, retained conditions, same noise, equal N; "
        f"features: {features}" + (f", SHA-256 {hashes}" if hashes else ""),
        "FID budget": f"fid_delta at most {budget}",
        "N": f"{_samples(front)}; sampler {' or '.join(facts['sampler']) or 'unknown'}",
        "seeds": f"search {_listed(front, False)}; confirm {_listed(front, True)}",
    }
    audited = [a for a in AUDITS if any(m.value(a) is not None for m in (*front.members, *front.controls.values()))]
    for metric in (*(o.metric for o in front.objectives), *audited):
        told.setdefault(metric, meaning(front, metric))
    if "malicious_robustness" in told:
        told["malicious_robustness"] += (
            "; read it against the retrain control's, which never knew it: on one seed that is a constant, so the order "
            "of two models is that of their excess over it"
        )
    return told


def _samples(front: Front) -> str:
    """N by phase: search and confirm may draw different numbers of samples."""
    told = []
    for phase, confirm in (("search", False), ("confirm", True)):
        rows = [r for r in front.replicates if (r["replicate"] >= 1) == confirm]
        counts = sorted(
            {(r["samples_forgotten"], r["samples_per_retained"]) for r in rows if r["samples_forgotten"] is not None}
        )
        told += [f"{f} forgotten and {r} a retained condition in {phase}" for f, r in counts]
    return "; ".join(told) or "nothing sampled yet"


def _listed(front: Front, confirm: bool) -> str:
    return ", ".join(map(str, sorted(set(front.seeds(confirm=confirm).values())))) or "none yet"


def number(value: float | None) -> str:
    """Three significant digits below 1000, without a needless exponent; an em dash for nothing."""
    if value is None:
        return "—"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def interval(value: Estimate | None) -> str:
    """``0.912 [0.880, 0.944]``; without the brackets where one seed gives no interval."""
    if value is None:
        return "—"
    return number(value.mean) + ("" if value.lower is None else f" [{number(value.lower)}, {number(value.upper)}]")


def settings(member: Member) -> str:
    """The member's parameters as ``name=value`` words."""
    return (
        " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in member.parameters.items()) or "none"
    )


def counted(arm: ArmFront) -> str:
    """How the arm's trials ended, in words."""
    words = {COMPLETE: "complete", PRUNED: "stopped at the gate", FAIL: "failed"}
    return (
        ", ".join(f"{n} {words.get(state, state.lower())}" for state, n in sorted(arm.counts.items()))
        or "no trials yet"
    )


def _wrap(label: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=f"{label:<12} " if label else "  ", subsequent_indent=" " * 13 if label else "  "
    )


def _text(fronts: Sequence[Front]) -> str:
    lines: list[str] = []
    for front in fronts:
        lines += [*_text_head(front), *_text_arms(front), *_text_comparisons(front), *_text_standings(front), ""]
    if len(fronts) > 1:
        differs = comparable(fronts)
        verdict = f"NOT comparable, they differ in {', '.join(differs)}" if differs else "comparable: same conditions"
        lines += [*_wrap("these runs", verdict), ""]
    return "\n".join(lines[:-1]) + "\n"


def _text_head(front: Front) -> Iterator[str]:
    plan = front.plan
    yield from _wrap("", f"{plan['space']}: {plan['question']}")
    yield from _wrap(
        "run", f"{front.run} ({front.status.get('state', 'unknown')}); data {plan['data']}, forget {plan['forget']}"
    )
    for name, meaning in definitions(front).items():
        label = name.partition(" ")[0] if len(name) > 12 else name
        yield from _wrap(label, meaning) if len(label) <= 12 else _wrap("", f"{name}: {meaning}")
    seeds = len(set(front.seeds().values()))
    confirmed = [a.name for a in front.arms.values() if a.confirmed]
    single = [a for a in front.arms if a not in confirmed]
    if len(front.arms) > FEW_ARMS:
        names = (confirmed, single)
        confirmed, single = ([f"{len(some)} of {len(front.arms)} arms"] if some else [] for some in names)
    told = (
        f"{' and '.join(confirmed)} confirmed on {seeds} fresh seeds: mean [95 % interval over seeds]"
        if confirmed
        else ""
    )
    told += ("; " if told and single else "") + (
        f"{' and '.join(single)} search only: one seed, no interval" if single else ""
    )
    yield from _wrap("values", told)


def _text_arms(front: Front) -> Iterator[str]:
    first, second = front.objectives
    wide = 2 + max([17, *(len(m.trial_id) for arm in front.arms.values() for m in arm.front)])
    for arm in front.arms.values():
        yield ""
        which = "confirmed front" if arm.confirmed else "search front"
        volume = front_hypervolume(front, arm.name)
        role = standing_of(front, arm.name)
        yield from _wrap("arm", f"{arm.name} ({role}), {sum(arm.counts.values())} trials: {counted(arm)}")
        area = f"; hypervolume {number(volume)} up to {corner_text(front)}" if volume is not None else ""
        yield from _wrap("front", f"{which}, {len(arm.front)} of {len(arm.members)} trials{area}")
        if arm.front:
            yield f"  {'trial':<{wide}} {first.metric:<27}{second.metric}"
        for member in sorted(arm.front, key=lambda m: m.value(second.metric) or 0.0):
            values = f"{interval(member.at(first.metric)):<27}{interval(member.at(second.metric))}"
            yield f"  {member.trial_id:<{wide}} {values}"
            yield from textwrap.wrap(settings(member), WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
        if arm.reason:
            yield from _wrap("few because", arm.reason)
    for name, control in front.controls.items():
        told = ", ".join(f"{o.metric} {interval(control.at(o.metric))}" for o in front.objectives)
        yield from _wrap("control", f"{name}: {told}")
    if reason := front.prepared.get("without_control"):
        yield from _wrap("control", f"no retrain control: {reason}; attacks that hold forgotten data have no excess")


def corner_text(front: Front) -> str:
    """``robustness 0 at the budget``: the point that hypervolumes are measured up to."""
    reference, (first, second) = corner(front), front.objectives
    if reference is None:
        return "no corner"
    at_budget = second.metric == "fid_delta" and reference[1] == front.budget
    end = "at the FID budget" if at_budget else f"and {second.metric} {number(reference[1])}"
    return f"{first.metric} {reference[0]:.3g} {end}"


def _text_comparisons(front: Front) -> Iterator[str]:
    pairs = comparison(front)
    brief = len(pairs) > FEW_ARMS
    for pair in pairs:
        if not brief:
            yield ""
        if pair.missing or pair.main is None or pair.baseline is None:
            yield from _wrap("comparison", f"{pair.arm} against {pair.baseline_arm}: {pair.missing}")
            continue
        if brief:
            yield from _wrap("comparison", _brief(front, pair))
            continue
        yield from _wrap(
            "comparison", f"{pair.main.trial_id} - {pair.baseline.trial_id}, paired by seed, mean [95 % interval]"
        )
        if pair.note:
            yield from _wrap("", pair.note)
        yield f"  {'figure':<35}{'first':>7}{'second':>7}   difference"
        for row in pair.rows:
            means = f"{number(row.main.mean):>7}{number(row.baseline.mean):>7}"
            yield f"  {figure_name(row).replace('dimra-', ''):<35}{means}   {interval(row.difference)}"
        if pair.excess:
            yield "  * holds forgotten data: relearning is judged against the retrain control"
            yield f"  {'relearning accuracy':<35}{'trial':>7}{'control':>8}  excess"
        for excess in pair.excess:
            name = f"{excess.trial_id} {excess.attack.removeprefix('dimra-')}@{excess.step}"
            means = f"{number(excess.member.mean):>7}{number(excess.control.mean):>8}"
            yield f"  {name:<35}{means}  {interval(excess.difference)}"
    if brief:
        yield from _wrap("", "every attack and rung of these pairs: --format markdown, json, or the page")


def _brief(front: Front, pair: Comparison) -> str:
    """A pair by its objectives alone: ``a - b, paired by seed: robustness 0.1 [0, 0.2]; …``."""
    assert pair.main is not None and pair.baseline is not None, "the caller has told what is missing"
    names = [o.metric for o in front.objectives]
    told = "; ".join(
        f"{r.figure} {interval(r.difference)}" for r in pair.rows if r.attack is None and r.figure in names
    )
    note = f" ({pair.note})" if pair.note else ""
    return f"{pair.main.trial_id} - {pair.baseline.trial_id}, paired by seed: {told}{note}"


def _text_standings(front: Front) -> Iterator[str]:
    if len(front.arms) <= FEW_ARMS:
        return
    first, second = front.objectives
    yield ""
    yield from _wrap("standings", f"the best member of each arm by {first.metric}; mean [95 % interval over seeds]")
    wide = 2 + max(len(name) for name in front.arms)
    yield f"  {'':>2} {'arm':<{wide}}{first.metric:<24}{second.metric}"
    for place, standing in enumerate(standings(front), 1):
        member = standing.member
        if member is None:
            yield f"  {'—':>2} {standing.arm:<{wide}}nothing scored"
            continue
        values = f"{interval(member.at(first.metric)):<24}{interval(member.at(second.metric)):<22}"
        yield f"  {place if member.feasible else '—':>2} {standing.arm:<{wide}}{values}".rstrip() + (
            "" if member.feasible else " *"
        )
    if any(s.member is not None and not s.member.feasible for s in standings(front)):
        yield "  * breaks a constraint: it has no place, and shows its arm's closest member"


def figure_name(row: Difference) -> str:
    """``robustness``, or ``unlearning after retain@31``; attacks that do not count say so."""
    if row.attack is None:
        return row.figure
    short = {"unlearning_accuracy": "unlearning", "retain_accuracy": "retain"}.get(row.figure, row.figure)
    when = "before any attack" if row.attack == "none" else f"after {row.attack}@{row.step}"
    return f"{short} {when}" + ("" if row.counts else " *")


def _rows(front: Front) -> Iterator[dict[str, Any]]:
    """One flat row a trial, every arm: what a spreadsheet wants."""
    names = sorted({p for m in front.members for p in m.parameters})
    for m in (*front.members, *front.controls.values()):
        row: dict[str, Any] = {
            "run": str(front.run),
            "trial_id": m.trial_id,
            "arm": m.arm,
            "baseline": m.baseline,
            "state": m.state,
        }
        row |= {"cause": m.cause, "feasible": m.feasible, "on_front": m.on_front, "on_search_front": m.on_search_front}
        row |= {"fid_budget": front.budget, "k": front.rungs[-1]} | {f"param_{p}": m.parameters.get(p) for p in names}
        for name in (*shown(front), *AUDITS):
            found = (m.confirmed or {}).get(name)
            row |= {f"search_{name}": m.search.get(name), f"confirmed_{name}": found.mean if found else None}
            row |= {
                f"confirmed_{name}_lower": found.lower if found else None,
                f"confirmed_{name}_upper": found.upper if found else None,
            }
        yield row | {"confirm_seeds": len(front.seeds(m.trial_id))}


def _csv(fronts: Sequence[Front]) -> str:
    rows = [row for front in fronts for row in _rows(front)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _json(fronts: Sequence[Front]) -> str:
    told = [
        {
            "run": str(front.run),
            "plan": front.plan,
            "status": front.status,
            "definitions": definitions(front),
            "fid_budget": front.budget,
            "conditions": conditions(front),
            "arms": {
                name: dataclasses.asdict(arm) | {"hypervolume": front_hypervolume(front, name)}
                for name, arm in front.arms.items()
            },
            "controls": {name: dataclasses.asdict(m) for name, m in front.controls.items()},
            "comparison": [_pair(pair) for pair in comparison(front)],
            "standings": [
                {
                    "arm": s.arm,
                    "trial_id": s.member and s.member.trial_id,
                    "behind_first": s.ahead and dataclasses.asdict(s.ahead),
                }
                for s in standings(front)
            ],
        }
        for front in fronts
    ]
    if len(told) == 1:
        return json.dumps(told[0], indent=1) + "\n"
    return json.dumps({"not_comparable_in": comparable(fronts), "runs": told}, indent=1) + "\n"


def _pair(pair: Comparison) -> dict[str, Any]:
    """A comparison with its members by id: their figures are already under `arms`."""
    ids = {"main": pair.main and pair.main.trial_id, "baseline": pair.baseline and pair.baseline.trial_id}
    return dataclasses.asdict(pair) | ids


def _markdown(fronts: Sequence[Front]) -> str:
    lines: list[str] = []
    for front in fronts:
        lines += [f"## {_cell(front.plan['space'])}", "", _cell(front.plan["question"]), ""]
        lines += [f"- **{name}**: {_cell(meaning)}" for name, meaning in definitions(front).items()]
        first, second = front.objectives
        lines += [
            "",
            f"| trial | arm | values | {first.metric} | {second.metric} | parameters |",
            "|---|---|---|---|---|---|",
        ]
        for arm in front.arms.values():
            for m in arm.front:
                values = "confirmed" if m.confirmed else "search only"
                cells = [
                    m.trial_id,
                    m.arm + (" (baseline)" if m.baseline else ""),
                    values,
                    interval(m.at(first.metric)),
                ]
                lines.append("| " + " | ".join([*cells, interval(m.at(second.metric)), _cell(settings(m))]) + " |")
        lines += _markdown_standings(front)
        lines += [""] + [f"{arm.name}: {_cell(arm.reason)}\n" for arm in front.arms.values() if arm.reason]
        for pair in comparison(front):
            if pair.missing or pair.main is None or pair.baseline is None:
                lines += [f"{pair.arm} against {pair.baseline_arm}: {pair.missing}", ""]
                continue
            lines += [f"{pair.note}", ""] if pair.note else []
            lines += [
                f"| figure | {pair.main.trial_id} | {pair.baseline.trial_id} | difference, paired by seed |",
                "|---|---|---|---|",
            ]
            lines += [
                f"| {_cell(figure_name(r))} | {interval(r.main)} | {interval(r.baseline)} | {interval(r.difference)} |"
                for r in pair.rows
            ]
            lines.append("")
    if len(fronts) > 1:
        differs = comparable(fronts)
        lines += [
            f"These runs are not comparable: they differ in {', '.join(differs)}."
            if differs
            else "These runs are comparable.",
            "",
        ]
    return "\n".join(lines[:-1]) + "\n"


def _markdown_standings(front: Front) -> Iterator[str]:
    if len(front.arms) <= FEW_ARMS:
        return
    figures = shown(front)
    yield from ("", f"| place | arm | best member | {' | '.join(figures)} |", "|---" * (3 + len(figures)) + "|")
    for place, standing in enumerate(standings(front), 1):
        member = standing.member
        cells = [str(place) if member and member.feasible else "—", standing.arm, member.trial_id if member else "—"]
        yield "| " + " | ".join([*cells, *(interval(member.at(f)) if member else "—" for f in figures)]) + " |"


def _cell(text: str) -> str:
    """Text that cannot end a table's cell or start markup."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ").replace("*", "\\*")


_FORMATS: dict[str, Callable[[Sequence[Front]], str]] = {
    "text": _text,
    "csv": _csv,
    "json": _json,
    "markdown": _markdown,
}

if __name__ == "__main__":
    sys.exit(main())
