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

from sweep.comparison import Comparison, Difference, Excess, Recovery, Series, comparison, recoveries, relearning
from sweep.errors import UsageError
from sweep.estimates import Estimate, estimate, hypervolume, nondominated, paired_difference, t_interval
from sweep.fronts import ArmFront, Front, Member, best, comparable, conditions, front_hypervolume, leader, read_front
from sweep.records import COMPLETE, FAIL, PRUNED

__all__ = [
    "ArmFront", "Comparison", "Difference", "Estimate", "Excess", "Front", "Member", "Recovery", "Series", "best",
    "comparable", "comparison", "conditions", "definitions", "estimate", "front_hypervolume", "hypervolume", "leader",
    "main", "nondominated", "paired_difference", "read_front", "recoveries", "relearning", "render", "t_interval",
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
    return {
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
        lines += [*_text_head(front), *_text_arms(front), *_text_comparisons(front), ""]
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
        yield from _wrap(name if len(name) <= 12 else "relearning", meaning)
    seeds = len(set(front.seeds().values()))
    confirmed = [a.name for a in front.arms.values() if a.confirmed]
    single = [a for a in front.arms if a not in confirmed]
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
    for arm in front.arms.values():
        yield ""
        role = "baseline" if arm.baseline else "the question's method"
        which = "confirmed front" if arm.confirmed else "search front"
        volume = front_hypervolume(front, arm.name)
        yield from _wrap("arm", f"{arm.name} ({role}), {sum(arm.counts.values())} trials: {counted(arm)}")
        area = f"; hypervolume {number(volume)} up to robustness 0 at the budget" if volume is not None else ""
        yield from _wrap("front", f"{which}, {len(arm.front)} of {len(arm.members)} trials{area}")
        if arm.front:
            yield f"  {'trial':<20}{'robustness':<27}fid_delta"
        for member in sorted(arm.front, key=lambda m: m.value("fid_delta") or 0.0):
            yield f"  {member.trial_id:<20}{interval(member.at('robustness')):<27}{interval(member.at('fid_delta'))}"
            yield from textwrap.wrap(settings(member), WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
        if arm.reason:
            yield from _wrap("few because", arm.reason)
    for name, control in front.controls.items():
        yield from _wrap(
            "control",
            f"{name}: robustness {interval(control.at('robustness'))}, fid_delta {interval(control.at('fid_delta'))}",
        )


def _text_comparisons(front: Front) -> Iterator[str]:
    for pair in comparison(front):
        yield ""
        if pair.missing or pair.main is None or pair.baseline is None:
            yield from _wrap("comparison", f"{pair.arm} against {pair.baseline_arm}: {pair.missing}")
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
        for name in SHOWN:
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
        lines += ["", "| trial | arm | values | robustness | fid_delta | parameters |", "|---|---|---|---|---|---|"]
        for arm in front.arms.values():
            for m in arm.front:
                values = "confirmed" if m.confirmed else "search only"
                cells = [
                    m.trial_id,
                    m.arm + (" (baseline)" if m.baseline else ""),
                    values,
                    interval(m.at("robustness")),
                ]
                lines.append("| " + " | ".join([*cells, interval(m.at("fid_delta")), _cell(settings(m))]) + " |")
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
