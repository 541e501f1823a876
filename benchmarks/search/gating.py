"""The gate alone: what it saves, and how often it stops a trial that the ungated run would have kept.

By its rule the gate never stops a trial whose measured figures are feasible: it asks whether the bound of an interval around
them is. What can be lost is a trial that measured badly and is truly on the front; with a glance first, also one that would have
measured well at full N. Both are counted, over trials that nobody stopped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from benchmarks.search import judges, measures
from benchmarks.search.clock import Event, Limits, stream
from benchmarks.search.staged import DIRECTIONS, Problem, known_after
from benchmarks.search.strategies import Strategy
from sweep.records import COMPLETE
from sweep.statistics.estimates import nondominated
from trainables.metrics import wilson


@dataclass(frozen=True)
class Gated:
    """Counts over all runs. `reported` and `true` are the members of the fronts by what was measured and by the truth."""

    runs: int
    trials: int
    stopped: int
    core_s: float
    saved_s: float
    reported: int
    reported_lost: int
    true: int
    true_lost: int


def gate_alone(
    problem: Problem,
    sampler: str,
    members: int,
    limits: Limits,
    judge: judges.Judge,
    glance: bool = False,
    first_seed: int = 0,
) -> Gated:
    """Ungated runs, seed by seed, until both fronts have had at least `members`; then the gate is asked about every trial.

    What a sampler would have done differently, had it been told of the stops, is not in it.
    """
    total = Gated(0, 0, 0, 0.0, 0.0, 0, 0, 0, 0)
    for seed in range(first_seed, first_seed + 10 * members):
        if min(total.reported, total.true) >= members:
            break
        events = Strategy(sampler).simulate(problem, seed, limits).events
        left = {e.number: _left(problem, judge, seed, e, glance) for e in events}
        reported = measures.reported(events, problem.reference)[1]
        true = _true_front(events)
        total = Gated(
            total.runs + 1,
            total.trials + len(events),
            total.stopped + sum(s > 0 for s in left.values()),
            total.core_s + sum(e.core_s for e in events),
            total.saved_s + sum(left.values()),
            total.reported + len(reported),
            total.reported_lost + sum(left[e.number] > 0 for e in reported),
            total.true + len(true),
            total.true_lost + sum(left[e.number] > 0 for e in true),
        )
    return total


def table(gated: Gated) -> str:
    """The counts as Markdown, with Wilson's 95 % intervals."""
    lines = ["| | of | share | 95 % |", "|---|---|---|---|"]
    lines.append(
        f"| core-seconds saved: {gated.saved_s:.0f} | {gated.core_s:.0f} | {gated.saved_s / gated.core_s:.1%} | |"
    )
    for name, k, n in (
        ("trials stopped", gated.stopped, gated.trials),
        ("members of the reported fronts stopped", gated.reported_lost, gated.reported),
        ("members of the true fronts stopped", gated.true_lost, gated.true),
    ):
        low, high = wilson(k / n, n) if n else (0.0, 1.0)
        lines.append(f"| {name}: {k} | {n} | {k / n if n else 0:.1%} | {low:.1%} to {high:.1%} |")
    return "\n".join(lines)


def _left(problem: Problem, judge: judges.Judge, seed: int, event: Event, glance: bool) -> float:
    """Core-seconds that the gate would have saved of a whole trial; 0 where it lets it go on."""
    trial = problem.run(json.loads(event.settings), (stream("noise", seed), event.number), glance)
    for done in range(1, len(trial.stages)):
        partial = known_after(problem, trial, done)
        if judge(partial, []):
            return trial.core_s - partial.core_s
    return 0.0


def _true_front(events: tuple[Event, ...]) -> list[Event]:
    feasible = [e for e in events if e.state == COMPLETE and e.truly_feasible]
    points = np.array([[e.true_robustness, e.true_fid_delta] for e in feasible]).reshape(-1, 2)
    return [e for e, kept in zip(feasible, nondominated(points, DIRECTIONS), strict=True) if kept]
