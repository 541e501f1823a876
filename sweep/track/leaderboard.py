"""What a track leaves for its readers: Arrow tables, a Markdown table, and, of two tracks, one against the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sweep.errors import UsageError
from sweep.reading.shortfalls import answer_lacks, shortfall_lines
from sweep.reading.words import cell, interval, number
from sweep.records.whole import write_whole
from sweep.relearning.recovery import aurc_by_seed, relearning
from sweep.statistics.estimates import Estimate
from sweep.statistics.shares import Point, share_difference, share_estimate
from sweep.track.merge import distinct, merged
from sweep.track.page import render_track
from sweep.track.reading import Track, incomparable, read_track
from sweep.track.results_file import NAME as RESULTS
from sweep.track.results_file import as_text, file_of, read_results, track_of, write_results
from sweep.track.scoring import COLUMNS, Scorer, rank, values
from sweep.track.shortfalls import shortfalls

ALL = "all"

_INTERVAL = (
    pa.field("value", pa.float64(), metadata={"description": "mean over training seeds"}),
    pa.field(
        "lower", pa.float64(), metadata={"description": "lower end of its 95 % interval over seeds; null for one"}
    ),
    pa.field("upper", pa.float64(), metadata={"description": "upper end of it"}),
    pa.field("seeds", pa.int32(), metadata={"description": "training seeds it is over"}),
)
_WHOSE = (
    pa.field(
        "entry", pa.string(), metadata={"description": "method or model; control-base and control-retrain are θ₀, θ*"}
    ),
    pa.field("forget", pa.string(), metadata={"description": f"what was forgotten; {ALL!r}: the mean over all of it"}),
    pa.field("attack", pa.string(), metadata={"description": "null before any; 'worst': the strongest that counts"}),
)
SCORES = pa.schema([*_WHOSE, pa.field("metric", pa.string()), *_INTERVAL], metadata={"schema_version": "1"})
RECOVERY = pa.schema([*_WHOSE, pa.field("attack_step", pa.int32()), *_INTERVAL], metadata={"schema_version": "1"})


def write(run: Path) -> None:
    """``results.json``, the tables of it, and the page ``report.html`` of a track."""
    track = read_track(run)
    scorer = Scorer(track)
    write_results(track, run)
    write_tables(scorer, run)
    write_whole(run / "report.html", render_track(track, scorer))


def write_tables(scorer: Scorer, folder: Path) -> None:
    """``leaderboard.parquet``, ``recovery.parquet`` and ``leaderboard.md``."""
    for name, schema, rows in (
        ("leaderboard", SCORES, list(score_rows(scorer))),
        ("recovery", RECOVERY, list(recovery_rows(scorer))),
    ):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
        write_whole(folder / f"{name}.parquet", sink.getvalue().to_pybytes())
    write_whole(folder / "leaderboard.md", markdown(scorer.track, scorer))


def show(run: Path) -> int:
    """Print the leaderboard, where everything is, and what failed; 1 where every replicate of a method did, else 0."""
    track = read_track(run)
    print(f"\n{text(Scorer(track))}")
    for what, where in (
        ("the page", run / "report.html"),
        ("the table", run / "leaderboard.md"),
        ("every figure", f"{run / 'leaderboard.parquet'}, {run / 'recovery.parquet'}"),
        ("to be merged", f"{run / 'results.json'}: python -m sweep.track merge"),
        ("against another", f"python -m sweep.track compare {run} OTHER"),
    ):
        print(f"{what:16s} {where}")
    lacking = shortfalls(track)
    for line in shortfall_lines(lacking):
        print(line)
    lacks = answer_lacks(lacking)
    if lacks:
        print(f"error: {lacks}", file=sys.stderr)
    return int(lacks is not None)


def score_rows(scorer: Scorer) -> Iterator[dict[str, Any]]:
    """Every figure of every line: over each thing to forget and over all, before, under each attack and the worst."""
    for forget in (ALL, *scorer.track.forgets):
        for line in scorer.lines(None if forget == ALL else forget):
            whose = {"entry": line.entry, "forget": forget}
            estimates: dict[tuple[str | None, str], Estimate | None] = {(None, k): e for k, e in line.before.items()}
            estimates["worst", "aurc"] = line.score
            for name, under in line.attacks.items():
                estimates |= {(name, "aurc"): under.aurc, (name, "relearning_accuracy"): under.relearned}
                estimates[name, "excess"] = under.excess
                estimates |= {(name, metric): e for metric, e in under.after.items()}
                if under.revival:
                    median = under.revival.median
                    n = len(under.revival.steps)
                    estimates[name, "revival_step"] = None if median is None else Estimate(median, None, None, n)
                    estimates[name, "revived_share"] = Estimate(under.revival.revived / n, None, None, n)
            for (attack, metric), e in estimates.items():
                if e is not None:
                    yield whose | {"attack": attack, "metric": metric} | _row(e)


def recovery_rows(scorer: Scorer) -> Iterator[dict[str, Any]]:
    """Relearning accuracy at every rung of every attack, over each thing to forget and over all."""
    for forget in (ALL, *scorer.track.forgets):
        forgets = scorer.track.forgets if forget == ALL else [forget]
        for entry in scorer.entries:
            for attack in scorer.track.attacks:
                for step, e in relearning(scorer.recovery(entry, attack, forgets)).items():
                    yield {"entry": entry, "forget": forget, "attack": attack, "attack_step": step} | _row(e)


def _row(e: Estimate) -> dict[str, Any]:
    return {"value": e.mean, "lower": e.lower, "upper": e.upper, "seeds": e.n}


def text(scorer: Scorer) -> str:
    """The leaderboard for a terminal of 80 columns, with the facts that its figures need."""
    track, lines = scorer.track, scorer.lines()
    wide = max(len(line.entry) for line in lines) + 1
    out = [
        f"data {track.facts['plan']['data']}; forget {'; '.join(track.forgets)}; mean [95 % interval over seeds]",
        f"{'':>3} {'method':<{wide}}{'worst AURC@' + str(track.rungs[-1]):<23}{'UA':<7}{'retain':<7}{'fid_delta':<10}worst attack",
    ]
    for place, line in enumerate(lines, 1):
        ua, retain, fid = (number(e.mean) if e else "—" for e in values(line)[:3])
        figures = (
            f"{interval(line.score):<23}{ua:<7}{retain:<7}{fid:<10}{line.strongest.attack if line.strongest else '—'}"
        )
        out.append(f"{'—' if line.control else place:>3} {line.entry:<{wide}}{figures}")
    return "\n".join(out) + "\n"


def markdown(track: Track, scorer: Scorer) -> str:
    """The leaderboard and the attacks as Markdown tables, with what every figure depends on."""
    k = track.rungs[-1]
    lines = scorer.lines()
    plan = track.facts["plan"]
    out = [
        "# Relearning track",
        "",
        f"Data {plan['data']}; forgotten in turn: {'; '.join(track.forgets)}; rungs {', '.join(map(str, track.rungs))}; "
        f"{plan['samples_forgotten']} samples of what was forgotten, {plan['samples_per_retained']} of each retained "
        f"condition; seeds {', '.join(map(str, sorted({r['seed'] for r in track.replicates if r['seed'] is not None})))}. "
        f"Means over what was forgotten, [95 % intervals over training seeds, what methods vary by moderated by one another]. "
        f"Worst AURC@{k}: under the strongest attack "
        "that counts, for each seed chosen on the others. Relearned, excess over the retrain control, retain "
        "accuracy and FID after: at the last step of the attack named, the strongest by its mean over all seeds.",
        "",
        f"| | method | {' | '.join(COLUMNS)} | attack |",
        "|---" * (3 + len(COLUMNS)) + "|",
    ]
    for place, line in enumerate(lines, 1):
        cells = [interval(e) for e in values(line)]
        worst = line.strongest.attack if line.strongest else "—"
        out.append(f"| {'' if line.control else place} | {line.entry} | {' | '.join(cells)} | {worst} |")
    out += [line for s in shortfalls(track) for line in ("", f"Failed: {cell(str(s))}.")]
    ranks = rank(scorer)
    if ranks and ranks.reason is None and ranks.critical_difference is not None:
        order = ", ".join(f"{name} {r:.2f}" for name, r in ranks.mean.items())
        out += ["", f"Mean ranks over {ranks.blocks} blocks: {order}. Friedman p = {ranks.p_value:.2g}; Nemenyi critical "
                f"difference {ranks.critical_difference:.2f}."]  # fmt: skip
    elif ranks:
        out += ["", f"No critical difference of ranks: {ranks.reason}."]
    attacks = track.attacks
    names = [name + ("" if a["counts"] else " *") for name, a in attacks.items()]
    out += ["", f"AURC@{k} by attack; * does not count, its data hold what was forgotten.", ""]
    out += [f"| method | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    out += [f"| {line.entry} | {' | '.join(interval(line.attacks[a].aurc) for a in attacks)} |" for line in lines]
    return "\n".join(out) + "\n"


def compare(a: Path, b: Path) -> str:
    """Two tracks line by line: worst AURC of each, and the difference, paired by seed where they share seeds.

    UsageError, with everything they differ in, where their figures may not be held against one another.
    """
    first, second = read_track(a), read_track(b)
    if differs := incomparable(first, second):
        raise UsageError(f"{a} and {b}: not comparable, they differ in {'; '.join(differs)}")
    forgets = [f for f in first.forgets if f in second.forgets]
    attacks = [n for n, attack in first.attacks.items() if n in second.attacks and attack["counts"]]
    scorers = Scorer(first), Scorer(second)
    out = [f"AURC@{first.rungs[-1]} over {', '.join(forgets)}; A = {a}, B = {b}; mean [95 % interval over seeds]"]
    wide = max(len(e) for s in scorers for e in s.entries) + 2
    for attack in attacks:
        out += ["", f"{attack}", f"  {'':<{wide}}{'A':<24}{'B':<24}A - B"]
        for entry in dict.fromkeys([*scorers[0].entries, *scorers[1].entries]):
            aurcs = [_aurcs(s, entry, attack, forgets) for s in scorers]
            intervals = [interval(share_estimate(list(points.values()))) for points in aurcs]
            out.append(f"  {entry:<{wide}}{intervals[0]:<24}{intervals[1]:<24}{interval(share_difference(*aurcs))}")
    return "\n".join(out) + "\n"


def merge(places: Sequence[str], folder: Path) -> str:
    """Write one leaderboard of several results files, and their results as one file, into a new folder; returns it as text.

    UsageError, with what they differ in, where their figures may not stand in one table.
    """
    files = [file_of(place) for place in places]
    whole = merged({file: read_results(file) for file in distinct(files)})
    scorer = Scorer(track_of(whole, folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(
        dir=folder.parent, prefix=f".{folder.name}."
    ) as half:  # the folder is whole or is not there
        made = Path(half) / folder.name
        made.mkdir()
        write_whole(made / RESULTS, as_text(whole))
        write_tables(scorer, made)
        made.replace(folder)
    return f"{text(scorer)}{folder / 'leaderboard.md'}\n"


def _aurcs(scorer: Scorer, entry: str, attack: str, forgets: list[str]) -> Mapping[int, Point]:
    if entry not in scorer.entries:
        return {}
    return aurc_by_seed(scorer.recovery(entry, attack, forgets))
