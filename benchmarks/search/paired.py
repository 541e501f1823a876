"""One strategy against another, seed by seed: the difference of the hypervolumes found, after core-seconds or after trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.search import measures
from benchmarks.search.results import Stored, interval, read_all
from sweep.errors import UsageError, near
from sweep.statistics.estimates import estimate, paired_difference


def table(folder: Path, against: str, at: Sequence[float], trials: Sequence[int] = ()) -> str:
    """Every other strategy of the folder as Markdown, after so many core-seconds each and after so many ended trials each.

    UsageError where `against` has no runs, or some run is shorter than what is asked for.
    """
    sections = []
    for problem, strategies in read_all(folder).items():
        if against not in strategies:
            raise UsageError(f"--against {against}: no such runs under {folder / problem}; {near(against, strategies)}")
        longest = min(runs[0].options.core_seconds for runs in strategies.values())
        if max(at, default=0.0) > longest:
            raise UsageError(f"--at {max(at):g}: the runs under {folder / problem} are of {longest:g} core-seconds")
        fewest = min(len(run.events) for runs in strategies.values() for run in runs)
        if max(trials, default=0) > fewest:
            raise UsageError(f"--trials {max(trials)}: a run under {folder / problem} has ended only {fewest}")
        found = {f"{s:g} core-s": {name: _after(runs, s) for name, runs in strategies.items()} for s in at}
        found |= {f"{n} trials": {name: _after_trials(runs, n) for name, runs in strategies.items()} for n in trials}
        heads = " | ".join(f"{head}: found | less {against}" for head in found)
        lines = [f"## {problem}", "", f"| strategy | seeds | {heads} |", "|---" * (2 + 2 * len(found)) + "|"]
        for name, runs in strategies.items():
            cells = [name, str(len(runs))]
            for by_strategy in found.values():
                mine, theirs = by_strategy[name], by_strategy[against]
                cells += [interval(estimate(mine.values()), ".3f")]
                cells += ["–" if name == against else interval(paired_difference(mine, theirs), "+.3f")]
            lines.append("| " + " | ".join(cells) + " |")
        sections.append("\n".join(lines))
    return "\n\n".join(sections)


def _after(runs: Sequence[Stored], spent: float) -> dict[int, float]:
    """By seed, the share of the best known hypervolume that was found after so many core-seconds."""
    return {r.seed: measures.found(r.events, r.options.reference).at(spent) / r.options.best_known for r in runs}


def _after_trials(runs: Sequence[Stored], ended: int) -> dict[int, float]:
    """By seed, the share of the best known hypervolume that was found in the trials that ended first."""
    traces = {r.seed: (measures.found(r.events[:ended], r.options.reference), r.options.best_known) for r in runs}
    return {seed: float(trace.values[-1]) / best_known for seed, (trace, best_known) in traces.items()}
