"""What a track says of each method: before any attack, under each attack, and under the strongest that counts.

Figures over several things to forget are means over them, seed by seed, so that intervals stay intervals over seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.reading.samples import over_seeds, points_of
from sweep.records.names import BASE, RETRAIN
from sweep.relearning.columns import RELEARNED, columns, counts_of
from sweep.relearning.recovery import (
    Recovery,
    Revival,
    WorstCase,
    after_attack,
    aurc_by_seed,
    excess_recovery,
    recoveries,
    revival,
    worst_case,
)
from sweep.statistics.estimates import Estimate
from sweep.statistics.ranks import Ranks, ranks
from sweep.statistics.shares import Point, share_estimate
from sweep.track.reading import Row, Track, line_of

BEFORE = ("unlearning_accuracy", "retain_accuracy", "fid_delta", "kid", "precision", "recall")
AFTER = ("retain_accuracy", "fid")
COLUMNS = ("UA", "retain", "fid_delta", "worst AURC", "relearned", "excess", "retain after", "FID after")


@dataclass(frozen=True)
class UnderAttack:
    """One method under one attack: AURC@K, relearning accuracy at K, its excess over θ*'s, and what is left after it."""

    attack: str
    counts: bool
    aurc: Estimate | None
    relearned: Estimate | None
    excess: Estimate | None
    revival: Revival | None
    after: dict[str, Estimate | None]


@dataclass(frozen=True)
class Line:
    """One line of the leaderboard; `worst` names the strongest attack that counts and gives its AURC on fresh seeds."""

    entry: str
    control: bool
    replicates: int
    before: dict[str, Estimate | None]
    attacks: dict[str, UnderAttack]
    worst: WorstCase

    @property
    def score(self) -> Estimate | None:
        """The worst case's AURC; with one seed, or one attack, the largest mean, which the choice makes no smaller."""
        if self.worst.score is not None:
            return self.worst.score
        counting = [a.aurc for a in self.attacks.values() if a.counts and a.aurc]
        return max(counting, key=lambda e: e.mean, default=None)

    @property
    def strongest(self) -> UnderAttack | None:
        """The attack that counts and recovers most, by its mean over all seeds."""
        counting = [a for a in self.attacks.values() if a.counts and a.aurc]
        return max(counting, key=lambda a: a.aurc.mean if a.aurc else 0.0, default=None)


class Scorer:
    """Scores a track's lines; reads its curves once."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self._curves = {
            metric: recoveries(track.curves, track.replicates, metric, phase=None) for metric in (RELEARNED, *AFTER)
        }
        self._counts = counts_of(track.replicates, track.curves)
        self._ids = {(entry, f): _trial_id(track, entry, f) for entry in self.entries for f in track.forgets}

    @property
    def entries(self) -> list[str]:
        """Methods in the order of the plan, then the controls that there are."""
        present = {line_of(r) for r in self.track.replicates}
        return [*self.track.entries, *(c for c in (BASE, RETRAIN) if c in present)]

    def lines(self, forget: str | None = None) -> list[Line]:
        """Every line, over one thing to forget or over all: methods first, the least recovery first, then the controls."""
        forgets = [forget] if forget else self.track.forgets
        every = [self._line(entry, forgets) for entry in self.entries]
        return sorted(
            every, key=lambda line: (line.control, line.score is None, line.score.mean if line.score else 0.0)
        )

    def recovery(self, entry: str, attack: str, forgets: Sequence[str], metric: str = RELEARNED) -> Recovery:
        """The curve of each seed that has one for all of `forgets`: means over them."""
        curves = [self._curves[metric].get((self._ids[entry, f], attack), {}) for f in forgets]
        shared = set.intersection(*(set(c) for c in curves))
        return {seed: _mean_curve([c[seed] for c in curves]) for seed in sorted(shared)}

    def _line(self, entry: str, forgets: Sequence[str]) -> Line:
        control = entry in (BASE, RETRAIN)
        curves = {name: self.recovery(entry, name, forgets) for name in self.track.attacks}
        aurcs = {name: aurc_by_seed(curve) for name, curve in curves.items()}
        attacks = {name: self._under(entry, name, forgets, curves[name], aurcs[name]) for name in self.track.attacks}
        counting = {name: aurcs[name] for name, attack in self.track.attacks.items() if attack["counts"]}
        worst = worst_case({name: by_seed for name, by_seed in counting.items() if by_seed})
        done = [self.track.done(entry, f) for f in forgets]
        before = {name: over_seeds(columns(), name, self._before(name, done)) for name in BEFORE}
        return Line(entry, control, sum(map(len, done)), before, attacks, worst)

    def _before(self, figure: str, done: Sequence[dict[int, Row]]) -> list[Point]:
        """A figure before any attack, of each seed that has it for everything that is forgotten: the mean over that."""
        by_forget = [points_of(columns(), figure, by_seed.values(), self._counts) for by_seed in done]
        shared = set.intersection(*(set(points) for points in by_forget))
        return [_mean([points[seed] for points in by_forget]) for seed in sorted(shared)]

    def _under(
        self, entry: str, attack: str, forgets: Sequence[str], recovery: Recovery, aurcs: dict[int, Point]
    ) -> UnderAttack:
        each = [
            steps for f in forgets for steps in self._curves[RELEARNED].get((self._ids[entry, f], attack), {}).values()
        ]
        excess = None
        if RETRAIN in self.entries and entry != RETRAIN:
            control = self.recovery(RETRAIN, attack, forgets)
            excess = excess_recovery(self._last(recovery), self._last(control)).difference
        return UnderAttack(
            attack,
            bool(self.track.attacks[attack]["counts"]),
            share_estimate(list(aurcs.values())),
            share_estimate(list(self._last(recovery).values())),
            excess,
            revival(dict(enumerate(each))) if each else None,
            {m: after_attack(self.recovery(entry, attack, forgets, m), m) for m in AFTER},
        )

    def _last(self, recovery: Recovery) -> dict[int, Point]:
        last = self.track.rungs[-1]
        return {seed: steps[last] for seed, steps in recovery.items() if last in steps}


def values(line: Line) -> list[Estimate | None]:
    """A line's figures in the order of COLUMNS."""
    under = line.strongest
    after = under.after if under else {}
    return [
        *(line.before[name] for name in ("unlearning_accuracy", "retain_accuracy", "fid_delta")),
        line.score,
        under.relearned if under else None,
        under.excess if under else None,
        after.get("retain_accuracy"),
        after.get("fid"),
    ]


def rank(scorer: Scorer) -> Ranks | None:
    """Ranks of the methods by worst AURC, a block for each thing to forget."""
    blocks = {
        forget: {
            line.entry: line.score.mean if line.score else None for line in scorer.lines(forget) if not line.control
        }
        for forget in scorer.track.forgets
    }
    return ranks(blocks, "minimise")


def _trial_id(track: Track, entry: str, forget: str) -> str:
    """The id that a line's replicates have for one thing to forget; empty where none began."""
    return next((r["trial_id"] for r in track.replicates if r["forget"] == forget and line_of(r) == entry), "")


def _mean_curve(curves: Sequence[dict[int, Point]]) -> dict[int, Point]:
    """The mean curve of several things to forget, at the rungs all of them were scored at."""
    rungs = set.intersection(*(set(c) for c in curves))
    return {k: _mean([c[k] for c in curves]) for k in sorted(rungs)}


def _mean(points: Sequence[Point]) -> Point:
    """The mean of one seed's figures of several things to forget, over the samples of all."""
    return Point(statistics.fmean(p.value for p in points), sum(p.samples for p in points))
