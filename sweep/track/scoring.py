"""What a track says of each method: before any attack, under each attack, and under the strongest that counts.

Figures over several things to forget are means over them, seed by seed, so that intervals stay intervals over seeds. What methods
vary by between seeds moderates one another (`sweep.statistics.moderated`), as a sweep's trials do; excess over the retrain
control is paired by seed and holds its own seeds' noise alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from sweep.reading.samples import points_of
from sweep.records.names import BASE, RETRAIN
from sweep.relearning.columns import RELEARNED, columns, counts_of
from sweep.relearning.recovery import (
    Recovery,
    Revival,
    WorstCase,
    aurc_by_seed,
    excess_recovery,
    recoveries,
    revival,
    worst_case,
)
from sweep.statistics.estimates import Estimate
from sweep.statistics.moderated import Moderated
from sweep.statistics.ranks import Ranks, ranks
from sweep.statistics.shares import Point
from sweep.track.reading import Track, line_of

PointsOf: TypeAlias = "dict[str, dict[int, Point]]"  # of every line, by seed
CONTROLS = (BASE, RETRAIN)
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
    """One line of the leaderboard; `worst` is the AURC under the strongest attack that counts, chosen on the other seeds."""

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
        return [*self.track.entries, *(c for c in CONTROLS if c in present)]

    def lines(self, forget: str | None = None) -> list[Line]:
        """Every line, over one thing to forget or over all: methods first, the least recovery first, then the controls."""
        forgets = [forget] if forget else self.track.forgets
        before = {name: self._estimates(self._before(name, forgets), columns().is_share(name)) for name in BEFORE}
        attacks = {name: self._under(name, forgets) for name in self.track.attacks}
        worst = self._worst(forgets)
        every = [
            Line(
                entry,
                entry in CONTROLS,
                sum(len(self.track.done(entry, f)) for f in forgets),
                {name: estimates.get(entry) for name, estimates in before.items()},
                {name: under[entry] for name, under in attacks.items()},
                worst[entry],
            )
            for entry in self.entries
        ]
        return sorted(
            every, key=lambda line: (line.control, line.score is None, line.score.mean if line.score else 0.0)
        )

    def recovery(self, entry: str, attack: str, forgets: Sequence[str], metric: str = RELEARNED) -> Recovery:
        """The curve of each seed that has one for all of `forgets`: means over them."""
        curves = [self._curves[metric].get((self._ids[entry, f], attack), {}) for f in forgets]
        shared = set.intersection(*(set(c) for c in curves))
        return {seed: _mean_curve([c[seed] for c in curves]) for seed in sorted(shared)}

    def _estimates(self, points: Mapping[str, Mapping[int, Point]], share: bool = True) -> dict[str, Estimate | None]:
        """One figure of every line: what methods vary by between seeds moderates one another, a control has its own seeds alone."""
        methods = Moderated({entry: of for entry, of in points.items() if entry not in CONTROLS}, share)
        return {
            entry: (Moderated({entry: of}, share) if entry in CONTROLS else methods).estimate(entry)
            for entry, of in points.items()
        }

    def _before(self, figure: str, forgets: Sequence[str]) -> PointsOf:
        """A figure before any attack, of each seed that has it for everything that is forgotten: the mean over that."""
        every: PointsOf = {}
        for entry in self.entries:
            rows = [self.track.done(entry, f).values() for f in forgets]
            by_forget = [points_of(columns(), figure, of, self._counts) for of in rows]
            shared = set.intersection(*(set(points) for points in by_forget))
            every[entry] = {seed: _mean([points[seed] for points in by_forget]) for seed in sorted(shared)}
        return every

    def _worst(self, forgets: Sequence[str]) -> dict[str, WorstCase]:
        """The worst case of every line, its score moderated by the others' as any figure is."""
        every = {}
        for entry in self.entries:
            counting = [name for name, attack in self.track.attacks.items() if attack["counts"]]
            scores = {name: aurc_by_seed(self.recovery(entry, name, forgets)) for name in counting}
            every[entry] = worst_case({name: by_seed for name, by_seed in scores.items() if by_seed})
        scores_of = self._estimates({entry: worst.points for entry, worst in every.items()})
        return {entry: replace(worst, score=scores_of[entry]) for entry, worst in every.items()}

    def _under(self, attack: str, forgets: Sequence[str]) -> dict[str, UnderAttack]:
        """What every line is under an attack."""
        curves = {entry: self.recovery(entry, attack, forgets) for entry in self.entries}
        aurcs = self._estimates({entry: aurc_by_seed(curve) for entry, curve in curves.items()})
        last = {entry: self._last(curve) for entry, curve in curves.items()}
        relearned = self._estimates(last)
        after = {}
        for metric in AFTER:
            ends = {entry: self._last(self.recovery(entry, attack, forgets, metric)) for entry in self.entries}
            after[metric] = self._estimates(ends, columns().is_share(metric))
        return {
            entry: UnderAttack(
                attack,
                bool(self.track.attacks[attack]["counts"]),
                aurcs[entry],
                relearned[entry],
                self._excess(entry, last),
                self._revival(entry, attack, forgets),
                {metric: estimates[entry] for metric, estimates in after.items()},
            )
            for entry in self.entries
        }

    def _excess(self, entry: str, last: PointsOf) -> Estimate | None:
        """Relearning accuracy less the retrain control's, paired by seed; None of the control itself, or where there is none."""
        if entry == RETRAIN or RETRAIN not in last:
            return None
        return excess_recovery(last[entry], last[RETRAIN]).difference

    def _revival(self, entry: str, attack: str, forgets: Sequence[str]) -> Revival | None:
        each = [
            steps for f in forgets for steps in self._curves[RELEARNED].get((self._ids[entry, f], attack), {}).values()
        ]
        return revival(dict(enumerate(each))) if each else None

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
