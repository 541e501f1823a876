"""One strategy against another, seed by seed: the difference of the hypervolumes found, at several core-seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.search import measures
from benchmarks.search.results import Stored, interval, read_all
from sweep.errors import UsageError, near
from sweep.statistics.estimates import estimate, paired_difference


def table(folder: Path, against: str, at: Sequence[float]) -> str:
    """Every other strategy of the folder as Markdown. UsageError where `against` has no runs, or they are shorter than `at`."""
    sections = []
    for problem, strategies in read_all(folder).items():
        if against not in strategies:
            raise UsageError(f"--against {against}: no such runs under {folder / problem}; {near(against, strategies)}")
        longest = min(runs[0].options.core_seconds for runs in strategies.values())
        if max(at) > longest:
            raise UsageError(f"--at {max(at):g}: the runs under {folder / problem} are of {longest:g} core-seconds")
        heads = " | ".join(f"{s:g} core-s: found | less {against}" for s in at)
        lines = [f"## {problem}", "", f"| strategy | seeds | {heads} |", "|---" * (2 + 2 * len(at)) + "|"]
        theirs = [_found(strategies[against], s) for s in at]
        for name, runs in strategies.items():
            cells = [name, str(len(runs))]
            for spent, other in zip(at, theirs, strict=True):
                mine = _found(runs, spent)
                cells += [interval(estimate(mine.values()), ".3f")]
                cells += ["–" if name == against else interval(paired_difference(mine, other), "+.3f")]
            lines.append("| " + " | ".join(cells) + " |")
        sections.append("\n".join(lines))
    return "\n\n".join(sections)


def _found(runs: Sequence[Stored], spent: float) -> dict[int, float]:
    """By seed, the share of the best known hypervolume that was found after so many core-seconds."""
    return {r.seed: measures.found(r.events, r.options.reference).at(spent) / r.options.best_known for r in runs}
