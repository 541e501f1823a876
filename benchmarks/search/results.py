"""Runs on disk, one Parquet file a (problem, strategy, seed), and the tables that compare them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.search import measures
from benchmarks.search.clock import Event, Run
from benchmarks.search.measures import LEVELS, Middle
from sweep.errors import UsageError
from sweep.records.whole import replacing
from sweep.statistics.estimates import Estimate, estimate

CODE = ("sweep", "trainables", "benchmarks/search")  # what a simulated run depends on
_KINDS = {"int": pa.int64(), "float": pa.float64(), "str": pa.string(), "bool": pa.bool_()}
_SCHEMA = pa.schema([(f.name, _KINDS[str(f.type)]) for f in dataclasses.fields(Event)])


@dataclass(frozen=True)
class Options:
    """What a run depends on besides the strategy and the seed: runs are compared only where it agrees."""

    problem: str
    identity: str
    workers: int
    core_seconds: float
    trials: int
    count_asking: bool
    reference: tuple[float, float]
    best_known: float
    code: str = ""  # the commit of what was simulated; of earlier runs nobody says it


@dataclass(frozen=True)
class Stored:
    """One run, read back."""

    options: Options
    strategy: str
    seed: int
    events: tuple[Event, ...]
    spent: float

    def until(self, core_seconds: float) -> Stored:
        """The run as it was after so many core-seconds."""
        events = tuple(e for e in self.events if e.spent <= core_seconds)
        return dataclasses.replace(self, events=events, spent=min(self.spent, core_seconds))


def place(folder: Path, options: Options, strategy: str, seed: int) -> Path:
    return folder / options.problem / strategy / f"seed-{seed:03d}.parquet"


def write(folder: Path, options: Options, strategy: str, seed: int, run: Run) -> None:
    """Keep a run; renamed into place, so that it is whole or absent."""
    target = place(folder, options, strategy, seed)
    target.parent.mkdir(parents=True, exist_ok=True)
    told = {"strategy": strategy, "seed": seed, "spent": run.spent, **dataclasses.asdict(options)}
    schema = _SCHEMA.with_metadata({"run": json.dumps(told)})
    with replacing(target) as temporary:
        pq.write_table(pa.Table.from_pylist([dataclasses.asdict(e) for e in run.events], schema=schema), temporary)


def read(path: Path) -> Stored:
    """A run; UsageError where the file is none."""
    try:
        table = pq.read_table(path)
        told = json.loads(table.schema.metadata[b"run"])
    except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
        raise UsageError(f"{path}: is not a run of the simulator: {str(error).splitlines()[0]}") from None
    strategy, seed, spent = (told.pop(k) for k in ("strategy", "seed", "spent"))
    options = Options(**{**told, "reference": tuple(told["reference"])})
    return Stored(options, strategy, seed, tuple(Event(**row) for row in table.to_pylist()), spent)


def there(folder: Path, options: Options, strategy: str, seed: int) -> bool:
    """Whether this run is there already; UsageError where a run with other options is."""
    path = place(folder, options, strategy, seed)
    if not path.is_file():
        return False
    other = dataclasses.asdict(read(path).options)
    mine = dataclasses.asdict(options)
    differ = [k for k in mine if other[k] != mine[k] and k != "best_known"]
    if differ:
        raise UsageError(f"{path}: was made with another {', '.join(differ)}; choose another folder with -o")
    return True


def read_all(folder: Path) -> dict[str, dict[str, list[Stored]]]:
    """Every run under a folder by problem and strategy, seeds in order. UsageError for none, or where options differ."""
    files = sorted(folder.glob("*/*/[!.]*.parquet"))
    if not files:
        raise UsageError(f"{folder}: no runs of the simulator there; make some with `python -m benchmarks.search run`")
    found: dict[str, dict[str, list[Stored]]] = defaultdict(lambda: defaultdict(list))
    for run in map(read, files):
        found[run.options.problem][run.strategy].append(run)
    for strategies in found.values():  # what was found since is the best known of every run
        best = max(run.options.best_known for runs in strategies.values() for run in runs)
        for name, runs in strategies.items():
            at_best = [dataclasses.replace(r, options=dataclasses.replace(r.options, best_known=best)) for r in runs]
            strategies[name] = at_best
    for problem, strategies in found.items():
        for name, runs in strategies.items():
            if len({r.options.core_seconds for r in runs}) > 1:
                raise UsageError(f"{folder / problem / name}: its runs are not equally long and do not compare")
        # runs of another strategy may be longer: what reaches a level late needs more time to show it
        same = {"best_known": 0.0, "core_seconds": 0.0}
        kinds = {dataclasses.replace(r.options, **same) for runs in strategies.values() for r in runs}  # type: ignore[arg-type]
        if len(kinds) > 1:
            raise UsageError(f"{folder / problem}: its runs were made with different options and do not compare")
    return found


def comparison(folder: Path, baseline: str = "") -> str:
    """All runs of a folder as Markdown: a section a problem, a row a strategy. Ratios are to `baseline`, else the first."""
    sections = []
    for problem, strategies in read_all(folder).items():
        reference = baseline if baseline in strategies else next(iter(strategies))
        options = next(iter(strategies.values()))[0].options
        counted = "counted as measured" if options.count_asking else "counted as free"
        lasting = {name: runs[0].options.core_seconds for name, runs in strategies.items()}
        shared = min(lasting.values())
        short = {name: [r.until(shared) for r in runs] for name, runs in strategies.items()}
        lines = [
            f"## {problem}",
            "",
            f"The first {shared:g} core-seconds on {options.workers} workers, asking {counted}; hypervolumes are of "
            f"noise-free figures, as shares of the best known, {options.best_known:.4g}. Means with 95 % t intervals over "
            "seeds; medians with order-statistic intervals of at least 95 %, ∞ where runs never got there.",
            "",
            _found_table(short),
            "",
            f"Runs as long as they were made: {_lasting(lasting)} core-seconds.",
            "",
            _time_table(strategies, reference),
        ]
        sections.append("\n".join(lines))
    return "\n\n".join(sections)


def _lasting(lasting: dict[str, float]) -> str:
    lengths = dict.fromkeys(lasting.values())
    if len(lengths) == 1:
        return f"{next(iter(lengths)):g}"
    return "; ".join(f"{', '.join(n for n, of in lasting.items() if of == s)} {s:g}" for s in lengths)


def _found_table(strategies: dict[str, list[Stored]]) -> str:
    lines = [
        "| strategy | seeds | trials ended | of them stopped | hypervolume found | reported | lucky members | asking, median s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in strategies.items():
        best = runs[0].options.best_known
        found = [_last(measures.found(r.events, r.options.reference)) / best for r in runs]
        shown = [measures.reported(r.events, r.options.reference) for r in runs]
        reported = [_last(trace) / best for trace, _ in shown]
        members = [m for _, front in shown for m in front]
        lucky = sum(not m.truly_feasible for m in members)
        ended = [len(r.events) for r in runs]
        stopped = sum(e.state == "PRUNED" for r in runs for e in r.events) / max(1, sum(ended))
        asking = [e.ask_s for r in runs for e in r.events]
        cells = [name, str(len(runs)), f"{np.median(ended):.0f}", f"{stopped:.0%}", _mean(found), _mean(reported)]
        cells += [f"{lucky} of {len(members)}", f"{np.median(asking):.3f}" if asking else "–"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _time_table(strategies: dict[str, list[Stored]], baseline: str) -> str:
    heads = [f"core-s to {level:.0%}" for level in LEVELS]
    lines = [
        f"| strategy | {' | '.join(heads)} | {baseline} takes, times as long to 50 % | to 80 % | to 90 % |",
        "|---" * (len(LEVELS) + 4) + "|",
    ]
    times = {name: _times(runs) for name, runs in strategies.items()}
    for name, by_seed in times.items():
        cells = [name]
        for i in range(len(LEVELS)):
            column = [t[i] for t in by_seed.values()]
            censored = sum(math.isinf(t) for t in column)
            cells.append(median(measures.middle(column), ".0f") + (f"; {censored} never" if censored else ""))
        shared = sorted(set(by_seed) & set(times[baseline]))
        for i in range(3):
            ours, theirs = ([t[s][i] for s in shared] for t in (by_seed, times[baseline]))
            ratio = measures.paired_ratio(ours, theirs) if shared and name != baseline else None
            cells.append("–" if ratio is None else f"{median(ratio, '.2f')} (n {ratio.n})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _times(runs: Sequence[Stored]) -> dict[int, list[float]]:
    """Core-seconds to each level by seed, of what was found."""
    found = {}
    for run in runs:
        trace = measures.found(run.events, run.options.reference)
        found[run.seed] = [trace.reaches(level * run.options.best_known) for level in LEVELS]
    return found


def _last(trace: measures.Trace) -> float:
    return float(trace.values[-1]) if len(trace.values) else 0.0


def _mean(values: Sequence[float]) -> str:
    e = estimate(values)
    if e is None:
        return "–"
    return f"{e.mean:.3f}" if e.lower is None or e.upper is None else f"{e.mean:.3f} ± {(e.upper - e.lower) / 2:.3f}"


def median(m: Middle, form: str) -> str:
    def text(value: float) -> str:
        return "∞" if math.isinf(value) else format(value, form)

    return text(m.median) if math.isnan(m.lower) else f"{text(m.median)} [{text(m.lower)}, {text(m.upper)}]"


def interval(told: Estimate | None, form: str) -> str:
    """A mean with its interval, where there is one."""
    if told is None:
        return "–"
    if told.lower is None or told.upper is None:
        return format(told.mean, form)
    return f"{told.mean:{form}} [{told.lower:{form}}, {told.upper:{form}}]"
