"""Arm against arm, and attack by attack, on the seeds both were confirmed on.

Every unlearning accuracy after an attack is 1 - relearning_accuracy. Differences are paired by seed: what a seed does
to both sides, the sampling noise and the attack's batches, drops out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from sweep.reading.fronts import Front, closest, differing, leader, merit, read_front
from sweep.reading.members import Member
from sweep.reading.samples import RELEARNED, curve_point, over_seeds
from sweep.records import fact
from sweep.records.names import BASE, RETRAIN
from sweep.space import CONTROL
from sweep.statistics.estimates import Estimate
from sweep.statistics.shares import Point, share_difference, share_estimate

FEW_ARMS = 2  # more of them are told by their standings first, and more pairs of them by their objectives alone

BESIDE_FID = ("kid", "precision", "recall")

Curve = dict[tuple[str, int], dict[int, Point]]  # (attack, step) -> seed -> relearning accuracy


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
class Excess:
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
    member: Member | None
    ahead: Estimate | None  # first objective of the arm in first place less this one's, paired by seed
    reason: str | None


@dataclass(frozen=True)
class Comparison:
    """One arm's best confirmed member against another's; `missing` says why there is nothing to compare."""

    arm: str
    baseline_arm: str
    main: Member | None
    baseline: Member | None
    rows: tuple[Difference, ...]
    excess: tuple[Excess, ...]
    missing: str | None
    note: str | None = None  # an arm without a feasible confirmed member is compared by its closest one, and says so


@dataclass(frozen=True)
class Series:
    """Relearning accuracy of one model over the steps of one attack."""

    label: str
    role: str  # main, baseline, base or retrain
    arm: str
    trial_id: str
    steps: tuple[int, ...]
    values: tuple[Estimate, ...]


@dataclass(frozen=True)
class Recovery:
    """One attack's curves: the best of each arm, the base model and the retrain control."""

    attack: str
    counts: bool
    confirmed: bool  # intervals over seeds; otherwise over the samples of the search's one seed
    series: tuple[Series, ...]


def comparison(run: str | os.PathLike[str] | Front) -> tuple[Comparison, ...]:
    """The best confirmed members of arms, two by two: see `pairs` for which against which."""
    front = run if isinstance(run, Front) else read_front(run)
    return tuple(_against(front, one, other) for one, other in pairs(front))


def pairs(front: Front) -> list[tuple[str, str]]:
    """Which arm is held against which: the main one against each baseline, or, without baselines, against every other.

    An arm of a wrapped method is held against the baseline of the method that it wraps, and that one against no other.
    """
    methods = {front.plan["arms"][name]["method"]: name for name, arm in front.arms.items() if arm.baseline}
    wrapped = {
        name: methods[inner]
        for name in front.arms
        if (inner := front.plan["arms"][name]["method"].partition("(")[2].removesuffix(")")) in methods
    }
    main = front.plan["main_arm"]
    others = [name for name, arm in front.arms.items() if name != main and (arm.baseline or not methods)]
    return [*wrapped.items(), *((main, name) for name in others if name not in wrapped.values())]


def standings(front: Front) -> tuple[Standing, ...]:
    """Every arm's best member, the best first: feasible ones by the first objective, then what breaks a constraint."""
    metric = front.objectives[0].metric
    found = {name: leader(front, name) for name in front.arms}

    def place(name: str) -> tuple[int, float]:
        member = found[name]
        if member is None:
            return 2, 0.0
        return (0 if member.feasible else 1), -merit(front, member.value(metric))

    order = sorted(found, key=place)
    first = found[order[0]]
    lead = front.points(first.trial_id, metric) if first else {}
    told = []
    for name in order:
        member, arm = found[name], front.arms[name]
        own = front.points(member.trial_id, metric) if member and member is not first else {}
        told.append(Standing(name, arm.baseline, member, share_difference(lead, own), arm.reason))
    return tuple(told)


def relearning(front: Front, trial_id: str, confirm: bool = True) -> Curve:
    """Relearning accuracy by (attack, step) and seed, of the confirm phase's replicates or of the search's."""
    seeds = front.seeds(trial_id, confirm)
    found: Curve = {}
    for row in front.curves_of(trial_id):
        seed = seeds.get((row["trial_id"], row["replicate"]))
        if seed is not None and row["metric"] == RELEARNED and row["value"] is not None:
            found.setdefault((row["attack"], row["attack_step"]), {})[seed] = curve_point(row)
    return found


def recoveries(front: Front) -> tuple[Recovery, ...]:
    """Recovery curves of every attack, of the confirm phase where anything was confirmed, else of the search.

    The main arm's comes first, or, where more than two arms are compared, that of the arm that stands first.
    """
    main_arm = front.plan["main_arm"]
    order = (
        sorted(front.arms, key=lambda a: a != main_arm)
        if len(front.arms) <= FEW_ARMS
        else [s.arm for s in standings(front)]
    )
    label = "{} (best of {})" if len(front.arms) <= FEW_ARMS else "{}"
    chosen = [(label.format(m.trial_id, a), "baseline" if m.baseline else "main", a, m.trial_id)
              for a in order if (m := leader(front, a))]  # fmt: skip
    chosen += [(BASE, "base", CONTROL, BASE), (RETRAIN, "retrain", CONTROL, RETRAIN)]
    confirm = any(front.arms[a].confirmed for a in front.arms)
    curves = {trial_id: _estimates(front, trial_id, confirm) for *_, trial_id in chosen}
    attacks = {a: counts for a, _, counts in _rungs(front)}
    found = []
    for attack, counts in attacks.items():
        series = []
        for label, role, arm, trial_id in chosen:
            own = {step: e for (name, step), e in curves[trial_id].items() if name == attack}
            if own:
                own = {step: e for (name, step), e in curves[trial_id].items() if name == "none"} | own
                steps = tuple(sorted(own))
                series.append(Series(label, role, arm, trial_id, steps, tuple(own[s] for s in steps)))
        if series:
            found.append(Recovery(attack, counts, confirm, tuple(series)))
    return tuple(found)


def _estimates(front: Front, trial_id: str, confirm: bool) -> dict[tuple[str, int], Estimate]:
    """Intervals over seeds where confirmed; of the search's one seed, the recorded intervals over its samples."""
    if confirm:
        curve = relearning(front, trial_id)
        return {at: e for at, by_seed in curve.items() if (e := share_estimate(list(by_seed.values())))}
    seeds = front.seeds(trial_id, confirm=False)
    return {
        (r["attack"], r["attack_step"]): Estimate(r["value"], r["lower"], r["upper"], 1)
        for r in front.curves_of(trial_id)
        if (r["trial_id"], r["replicate"]) in seeds and r["metric"] == RELEARNED and r["value"] is not None
    }


def _rungs(front: Front) -> Iterator[tuple[str, int, bool]]:
    """Every (attack, step, counts) the curves hold after the start of an attack, in order of the records and rungs."""
    found = {(attack, step): bool(counts) for attack, step, metric, counts in front.attacked if metric == RELEARNED}
    planned = [*front.plan["attacks"]["confirm"], *front.plan["attacks"]["search"]]
    order = {name: i for i, name in reversed(list(enumerate(planned)))}
    for attack, step in sorted(found, key=lambda at: (order.get(at[0], len(order)), at[0], at[1])):
        if attack != "none" and step > 0:
            yield attack, step, found[attack, step]


def _against(front: Front, main_arm: str, baseline_arm: str) -> Comparison:
    main, baseline = closest(front, main_arm), closest(front, baseline_arm)
    if main is None or baseline is None:
        lacking = " and ".join(a for a, m in ((main_arm, main), (baseline_arm, baseline)) if m is None)
        return Comparison(main_arm, baseline_arm, main, baseline, (), (), f"no confirmed member of {lacking}")
    if differs := differing(front, main, baseline):
        return Comparison(
            main_arm, baseline_arm, main, baseline, (), (), f"not comparable, they differ in {', '.join(differs)}"
        )
    rows = [*_figures(front, main, baseline), *_unlearning(front, main, baseline), *_ruined(front, main, baseline)]
    excess = [*_excess(front, main), *_excess(front, baseline)]
    broken = [m.trial_id for m in (main, baseline) if not m.feasible]
    note = f"no feasible confirmed member: {' and '.join(broken)} comes closest in its arm" if broken else None
    return Comparison(main_arm, baseline_arm, main, baseline, tuple(rows), tuple(excess), None, note)


def _figures(front: Front, main: Member, baseline: Member) -> Iterator[Difference]:
    """The objectives, and what stands beside a Fréchet distance of few samples."""
    better = {o.metric: o.direction for o in front.objectives} | {q: fact(q, "direction") for q in BESIDE_FID}
    for metric, direction in better.items():
        a, b = front.points(main.trial_id, metric), front.points(baseline.trial_id, metric)
        yield from _row(metric, None, None, True, direction, a, b)


def _unlearning(front: Front, main: Member, baseline: Member) -> Iterator[Difference]:
    a, b = relearning(front, main.trial_id), relearning(front, baseline.trial_id)
    for attack, step, counts in [("none", 0, True), *_rungs(front)]:
        kept = (
            {seed: Point(1 - p.value, p.samples) for seed, p in curve.get((attack, step), {}).items()}
            for curve in (a, b)
        )
        yield from _row("unlearning_accuracy", attack, step, counts, "maximise", *kept)


def _ruined(front: Front, main: Member, baseline: Member) -> Iterator[Difference]:
    """Retain accuracy and FID at the end of every attack: a model that the attack ruined has not resisted it."""
    last = front.rungs[-1]
    for attack, step, counts in _rungs(front):
        for name, better in (("retain_accuracy", "maximise"), ("fid", "minimise")):
            if step == last:
                a, b = (_attacked(front, m.trial_id, attack, name) for m in (main, baseline))
                yield from _row(name, attack, step, counts, better, a, b)


def attacked(front: Front, member: Member, attack: str, metric: str) -> Estimate | None:
    """A figure at the last rung of an attack, over the confirm seeds, or the search's where nothing was confirmed."""
    values = _attacked(front, member.trial_id, attack, metric, confirm=member.confirmed is not None).values()
    return over_seeds(metric, values)


def _attacked(front: Front, trial_id: str, attack: str, metric: str, confirm: bool = True) -> dict[int, Point]:
    """A figure at the last rung of an attack, by seed."""
    seeds, last = front.seeds(trial_id, confirm), front.rungs[-1]
    return {
        seeds[at]: curve_point(row)
        for row in front.curves_of(trial_id)
        if (at := (row["trial_id"], row["replicate"])) in seeds
        and (row["attack"], row["attack_step"], row["metric"]) == (attack, last, metric)
        and row["value"] is not None
    }


def _row(
    name: str, attack: str | None, step: int | None, counts: bool, better: str, a: dict[int, Point], b: dict[int, Point]
) -> Iterator[Difference]:
    """The row of one figure, or nothing where one side never reached it."""
    main, baseline = over_seeds(name, a.values()), over_seeds(name, b.values())
    if main is not None and baseline is not None:
        yield Difference(name, attack, step, counts, better, main, baseline, share_difference(a, b))


def _excess(front: Front, member: Member) -> Iterator[Excess]:
    own, control = relearning(front, member.trial_id), relearning(front, RETRAIN)
    for attack, step, counts in _rungs(front):
        a, b = own.get((attack, step), {}), control.get((attack, step), {})
        mean, reference = share_estimate(list(a.values())), share_estimate(list(b.values()))
        if not counts and mean is not None and reference is not None:
            yield Excess(member.trial_id, attack, step, reference, mean, share_difference(a, b))
