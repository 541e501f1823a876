"""Arm against arm, and attack by attack, on the seeds both were confirmed on.

Every unlearning accuracy after an attack is 1 - relearning_accuracy. Differences are paired by seed: what a seed does
to both sides, the sampling noise and the attack's batches, drops out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from sweep.reading.best import closest, leader, merit
from sweep.reading.comparable import differing
from sweep.reading.curves import attacked_by_seed, relearning, rungs_of
from sweep.reading.samples import over_seeds
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.trial import Trial
from sweep.records import fact
from sweep.records.names import RETRAIN
from sweep.statistics.estimates import Estimate
from sweep.statistics.shares import Point, share_difference, share_estimate

FEW_ARMS = 2  # more of them are told by their standings first, and more pairs of them by their objectives alone

BESIDE_FID = ("kid", "precision", "recall")


@dataclass(frozen=True)
class Difference:
    """One figure of two members: both means, and the mean of main - baseline over the seeds they share."""

    figure: str
    attack: str | None  # None for a figure that is of no attack
    step: int | None  # k, optimiser steps of the attack
    counts: bool  # whether the attack enters robustness
    better: str  # maximise or minimise
    main: Estimate
    baseline: Estimate
    difference: Estimate | None


@dataclass(frozen=True)
class AttackExcess:
    """Relearning accuracy less the retrain control's, under an attack whose data hold what was forgotten."""

    trial_id: str
    attack: str
    step: int
    control: Estimate
    member: Estimate
    difference: Estimate | None


@dataclass(frozen=True)
class Standing:
    """Where one arm stands among all: its best member, or `reason` why it has none to show."""

    arm: str
    baseline: bool
    member: Trial | None
    ahead: Estimate | None  # first objective of the arm in first place less this one's, paired by seed
    reason: str | None


@dataclass(frozen=True)
class Comparison:
    """One arm's best confirmed member against another's; `missing` says why there is nothing to compare."""

    arm: str
    baseline_arm: str
    main: Trial | None
    baseline: Trial | None
    rows: tuple[Difference, ...]
    excess: tuple[AttackExcess, ...]
    missing: str | None
    note: str | None = None  # an arm without a feasible confirmed member is compared by its closest one, and says so


def comparison(run: str | os.PathLike[str] | Sweep) -> tuple[Comparison, ...]:
    """The best confirmed members of arms, two by two: see `pairs` for which against which."""
    sweep = run if isinstance(run, Sweep) else read_sweep(run)
    return tuple(_against(sweep, one, other) for one, other in pairs(sweep))


def pairs(sweep: Sweep) -> list[tuple[str, str]]:
    """Which arm is held against which: the main one against each baseline, or, without baselines, against every other.

    An arm of a wrapped method is held against the baseline of the method that it wraps, and that one against no other.
    """
    methods = {sweep.plan["arms"][name]["method"]: name for name, arm in sweep.arms.items() if arm.baseline}
    wrapped = {
        name: methods[inner]
        for name in sweep.arms
        if (inner := sweep.plan["arms"][name]["method"].partition("(")[2].removesuffix(")")) in methods
    }
    main = sweep.plan["main_arm"]
    others = [name for name, arm in sweep.arms.items() if name != main and (arm.baseline or not methods)]
    return [*wrapped.items(), *((main, name) for name in others if name not in wrapped.values())]


def standings(sweep: Sweep) -> tuple[Standing, ...]:
    """Every arm's best member, the best first: feasible ones by the first objective, then what breaks a constraint."""
    metric = sweep.objectives[0].metric
    found = {name: leader(sweep, name) for name in sweep.arms}

    def place(name: str) -> tuple[int, float]:
        member = found[name]
        if member is None:
            return 2, 0.0
        return (0 if member.feasible else 1), -merit(sweep, member.value(metric))

    order = sorted(found, key=place)
    first = found[order[0]]
    lead = sweep.points(first.trial_id, metric) if first else {}
    told = []
    for name in order:
        member, arm = found[name], sweep.arms[name]
        own = sweep.points(member.trial_id, metric) if member and member is not first else {}
        told.append(Standing(name, arm.baseline, member, share_difference(lead, own), arm.reason))
    return tuple(told)


def _against(sweep: Sweep, main_arm: str, baseline_arm: str) -> Comparison:
    main, baseline = closest(sweep, main_arm), closest(sweep, baseline_arm)
    if main is None or baseline is None:
        lacking = " and ".join(a for a, m in ((main_arm, main), (baseline_arm, baseline)) if m is None)
        return Comparison(main_arm, baseline_arm, main, baseline, (), (), f"no confirmed member of {lacking}")
    if differs := differing(sweep, main, baseline):
        return Comparison(
            main_arm, baseline_arm, main, baseline, (), (), f"not comparable, they differ in {', '.join(differs)}"
        )
    rows = [*_figures(sweep, main, baseline), *_unlearning(sweep, main, baseline), *_ruined(sweep, main, baseline)]
    excess = [*_excess(sweep, main), *_excess(sweep, baseline)]
    broken = [m.trial_id for m in (main, baseline) if not m.feasible]
    note = f"no feasible confirmed member: {' and '.join(broken)} comes closest in its arm" if broken else None
    return Comparison(main_arm, baseline_arm, main, baseline, tuple(rows), tuple(excess), None, note)


def _figures(sweep: Sweep, main: Trial, baseline: Trial) -> Iterator[Difference]:
    """The objectives, and what stands beside a Fréchet distance of few samples."""
    better = {o.metric: o.direction for o in sweep.objectives} | {q: fact(q, "direction") for q in BESIDE_FID}
    for metric, direction in better.items():
        a, b = sweep.points(main.trial_id, metric), sweep.points(baseline.trial_id, metric)
        yield from _row(metric, None, None, True, direction, a, b)


def _unlearning(sweep: Sweep, main: Trial, baseline: Trial) -> Iterator[Difference]:
    a, b = relearning(sweep, main.trial_id), relearning(sweep, baseline.trial_id)
    for attack, step, counts in [("none", 0, True), *rungs_of(sweep)]:
        kept = (
            {seed: Point(1 - p.value, p.samples) for seed, p in curve.get((attack, step), {}).items()}
            for curve in (a, b)
        )
        yield from _row("unlearning_accuracy", attack, step, counts, "maximise", *kept)


def _ruined(sweep: Sweep, main: Trial, baseline: Trial) -> Iterator[Difference]:
    """Retain accuracy and FID at the end of every attack: a model that the attack ruined has not resisted it."""
    last = sweep.rungs[-1]
    for attack, step, counts in rungs_of(sweep):
        for name, better in (("retain_accuracy", "maximise"), ("fid", "minimise")):
            if step == last:
                a, b = (attacked_by_seed(sweep, m.trial_id, attack, name) for m in (main, baseline))
                yield from _row(name, attack, step, counts, better, a, b)


def _row(
    name: str, attack: str | None, step: int | None, counts: bool, better: str, a: dict[int, Point], b: dict[int, Point]
) -> Iterator[Difference]:
    """The row of one figure, or nothing where one side never reached it."""
    main, baseline = over_seeds(name, a.values()), over_seeds(name, b.values())
    if main is not None and baseline is not None:
        yield Difference(name, attack, step, counts, better, main, baseline, share_difference(a, b))


def _excess(sweep: Sweep, trial: Trial) -> Iterator[AttackExcess]:
    own, control = relearning(sweep, trial.trial_id), relearning(sweep, RETRAIN)
    for attack, step, counts in rungs_of(sweep):
        a, b = own.get((attack, step), {}), control.get((attack, step), {})
        mean, reference = share_estimate(list(a.values())), share_estimate(list(b.values()))
        if not counts and mean is not None and reference is not None:
            yield AttackExcess(trial.trial_id, attack, step, reference, mean, share_difference(a, b))
