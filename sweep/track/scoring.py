"""What a track says of each method: before any attack, under each attack, and under the strongest that counts.

Figures over several things to forget are means over them, seed by seed, so that intervals stay intervals over seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.reading.fronts import BASE, RETRAIN
from sweep.records import fact
from sweep.statistics import scores
from sweep.statistics.estimates import Estimate, estimate
from sweep.statistics.ranks import Ranks, ranks
from sweep.statistics.scores import Point, Recovery, Revival, WorstCase
from sweep.track.reading import Track, line_of

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
            metric: scores.recoveries(track.curves, track.replicates, metric, phase=None)
            for metric in ("relearning_accuracy", *AFTER)
        }
        self._ids = {(entry, f): _trial_id(track, entry, f) for entry in self.entries for f in track.forgets}

    @property
    def entries(self) -> list[str]:
        """Methods in the order of the plan, then the controls that there are."""
        present = {line_of(r) for r in self.track.replicates}
        return [*self.track.entries, *(c for c in (BASE, RETRAIN) if c in present)]

    def lines(self, forget: str | None = None) -> list[Line]:
        """Every line, over one thing to forget or over all: methods first, the least recovery first, then the controls."""
        forgets = [forget] if forget else self.track.forgets
        found = [self._line(entry, forgets) for entry in self.entries]
        return sorted(
            found, key=lambda line: (line.control, line.score is None, line.score.mean if line.score else 0.0)
        )

    def recovery(
        self, entry: str, attack: str, forgets: Sequence[str], metric: str = "relearning_accuracy"
    ) -> Recovery:
        """The curve of each seed that has one for all of `forgets`: means over them."""
        curves = [self._curves[metric].get((self._ids[entry, f], attack), {}) for f in forgets]
        shared = set.intersection(*(set(c) for c in curves))
        return {seed: _mean([c[seed] for c in curves]) for seed in sorted(shared)}

    def _line(self, entry: str, forgets: Sequence[str]) -> Line:
        control = entry in (BASE, RETRAIN)
        attacks = {name: self._under(entry, name, forgets) for name in self.track.attacks}
        counting = [name for name, a in self.track.attacks.items() if a["counts"]]
        aurcs = {name: scores.aurc_by_seed(self.recovery(entry, name, forgets)) for name in counting}
        worst = scores.worst_case({name: by_seed for name, by_seed in aurcs.items() if by_seed})
        done = [self.track.done(entry, f) for f in forgets]
        before = {
            name: self._share_before(entry, forgets, name)
            or _over_seeds([{s: r[name] for s, r in by_seed.items()} for by_seed in done], name)
            for name in BEFORE
        }
        return Line(entry, control, sum(map(len, done)), before, attacks, worst)

    def _share_before(self, entry: str, forgets: Sequence[str], figure: str) -> Estimate | None:
        """A share of samples before any attack, its interval never narrower than those samples allow; None of other figures.

        Seeds that happen to agree prove little: two of .98 are no proof that a third is.
        """
        metric = "relearning_accuracy" if figure == "unlearning_accuracy" else figure
        if metric not in self._curves or metric not in scores.BINOMIAL:
            return None
        recovery = self.recovery(entry, next(iter(self.track.attacks)), forgets, metric)
        points = [steps[0] for steps in recovery.values() if 0 in steps]
        if figure == "unlearning_accuracy":
            points = [Point(1 - p.value, p.samples) for p in points]
        return scores.share_estimate(points)

    def _under(self, entry: str, attack: str, forgets: Sequence[str]) -> UnderAttack:
        own = self.recovery(entry, attack, forgets)
        each = [
            steps
            for f in forgets
            for steps in self._curves["relearning_accuracy"].get((self._ids[entry, f], attack), {}).values()
        ]
        excess = None
        if RETRAIN in self.entries and entry != RETRAIN:
            control = self.recovery(RETRAIN, attack, forgets)
            excess = scores.excess_recovery(self._last(own), self._last(control)).difference
        return UnderAttack(
            attack,
            bool(self.track.attacks[attack]["counts"]),
            scores.share_estimate(list(scores.aurc_by_seed(own).values())),
            scores.share_estimate(list(self._last(own).values())),
            excess,
            scores.revival(dict(enumerate(each))) if each else None,
            {m: scores.after_attack(self.recovery(entry, attack, forgets, m), m) for m in AFTER},
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


def _mean(curves: Sequence[dict[int, Point]]) -> dict[int, Point]:
    """The mean curve of several things to forget, at the rungs all of them were scored at."""
    rungs = set.intersection(*(set(c) for c in curves))
    return {
        k: Point(statistics.fmean(c[k].value for c in curves), sum(c[k].samples for c in curves)) for k in sorted(rungs)
    }


def _over_seeds(by_forget: Sequence[dict[int, float | None]], figure: str) -> Estimate | None:
    """A figure's mean over things to forget with its interval over the seeds that have all of them."""
    shared = set.intersection(*({s for s, v in values.items() if v is not None} for values in by_forget))
    found = estimate([statistics.fmean(values[s] for values in by_forget) for s in sorted(shared)])  # type: ignore[misc]
    return found.as_share() if found and fact(figure, "unit") == "share" else found
