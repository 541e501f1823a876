"""Arm against arm, and attack by attack, on the seeds both were confirmed on.

Every unlearning accuracy after an attack is 1 - relearning_accuracy. Differences are paired by seed: what a seed does
to both sides, the sampling noise and the attack's batches, drops out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sweep.estimates import Estimate, estimate, paired_difference
from sweep.fronts import BASE, RETRAIN, Front, Member, closest, differing, leader, read_front

Curve = dict[tuple[str, int], dict[int, float]]  # (attack, step) -> seed -> relearning accuracy


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
class Comparison:
    """The main arm's best confirmed member against a baseline arm's; `missing` says why there is nothing to compare."""

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
    """The best confirmed member of the main arm against the best of each baseline arm."""
    front = run if isinstance(run, Front) else read_front(run)
    main_arm = front.plan["main_arm"]
    return tuple(_against(front, main_arm, name) for name, arm in front.arms.items() if arm.baseline)


def relearning(front: Front, trial_id: str, confirm: bool = True) -> Curve:
    """Relearning accuracy by (attack, step) and seed, of the confirm phase's replicates or of the search's."""
    seeds = front.seeds(trial_id, confirm)
    found: Curve = {}
    for row in front.curves:
        seed = seeds.get((row["trial_id"], row["replicate"]))
        if seed is not None and row["metric"] == "relearning_accuracy" and row["value"] is not None:
            found.setdefault((row["attack"], row["attack_step"]), {})[seed] = row["value"]
    return found


def recoveries(front: Front) -> tuple[Recovery, ...]:
    """Recovery curves of every attack, of the confirm phase where anything was confirmed, else of the search."""
    main_arm = front.plan["main_arm"]
    chosen = [(f"{m.trial_id} (best of {a})", "baseline" if m.baseline else "main", m.trial_id)
              for a in sorted(front.arms, key=lambda a: a != main_arm) if (m := leader(front, a))]  # fmt: skip
    chosen += [(BASE, "base", BASE), (RETRAIN, "retrain", RETRAIN)]
    confirm = any(front.arms[a].confirmed for a in front.arms)
    curves = {trial_id: _estimates(front, trial_id, confirm) for _, _, trial_id in chosen}
    attacks = {a: counts for a, _, counts in _rungs(front)}
    found = []
    for attack, counts in attacks.items():
        series = []
        for label, role, trial_id in chosen:
            own = {step: e for (name, step), e in curves[trial_id].items() if name == attack}
            if own:
                own = {step: e for (name, step), e in curves[trial_id].items() if name == "none"} | own
                steps = tuple(sorted(own))
                series.append(Series(label, role, trial_id, steps, tuple(own[s] for s in steps)))
        if series:
            found.append(Recovery(attack, counts, confirm, tuple(series)))
    return tuple(found)


def _estimates(front: Front, trial_id: str, confirm: bool) -> dict[tuple[str, int], Estimate]:
    """Intervals over seeds where confirmed; of the search's one seed, the recorded intervals over its samples."""
    if confirm:
        return {at: e for at, by_seed in relearning(front, trial_id).items() if (e := _share(by_seed.values()))}
    seeds = front.seeds(trial_id, confirm=False)
    return {
        (r["attack"], r["attack_step"]): Estimate(r["value"], r["lower"], r["upper"], 1)
        for r in front.curves
        if (r["trial_id"], r["replicate"]) in seeds and r["metric"] == "relearning_accuracy" and r["value"] is not None
    }


def _rungs(front: Front) -> Iterator[tuple[str, int, bool]]:
    """Every (attack, step, counts) the curves hold after the start of an attack, in order of the records and rungs."""
    found = {
        (r["attack"], r["attack_step"]): bool(r["counts"]) for r in front.curves if r["metric"] == "relearning_accuracy"
    }
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
    for name, better in (("robustness", "maximise"), ("fid_delta", "minimise")):
        a, b = _by_seed(front, main.trial_id, name), _by_seed(front, baseline.trial_id, name)
        yield from _row(name, None, None, True, better, a, b)


def _unlearning(front: Front, main: Member, baseline: Member) -> Iterator[Difference]:
    a, b = relearning(front, main.trial_id), relearning(front, baseline.trial_id)
    for attack, step, counts in [("none", 0, True), *_rungs(front)]:
        kept = ({seed: 1 - v for seed, v in curve.get((attack, step), {}).items()} for curve in (a, b))
        yield from _row("unlearning_accuracy", attack, step, counts, "maximise", *kept)


def _ruined(front: Front, main: Member, baseline: Member) -> Iterator[Difference]:
    """Retain accuracy and FID at the end of every attack: a model that the attack ruined has not resisted it."""
    last = front.rungs[-1]
    for attack, step, counts in _rungs(front):
        for name, better in (("retain_accuracy", "maximise"), ("fid", "minimise")):
            if step == last:
                a, b = (_attacked(front, m.trial_id, attack, name) for m in (main, baseline))
                yield from _row(name, attack, step, counts, better, a, b)


def _attacked(front: Front, trial_id: str, attack: str, metric: str) -> dict[int, float]:
    """A figure at the last rung of an attack, by confirm seed."""
    seeds, last = front.seeds(trial_id), front.rungs[-1]
    return {
        seeds[at]: row["value"]
        for row in front.curves
        if (at := (row["trial_id"], row["replicate"])) in seeds
        and (row["attack"], row["attack_step"], row["metric"]) == (attack, last, metric)
    }


def _row(
    name: str, attack: str | None, step: int | None, counts: bool, better: str, a: dict[int, float], b: dict[int, float]
) -> Iterator[Difference]:
    """The row of one figure, or nothing where one side never reached it."""
    over = estimate if name.startswith("fid") else _share
    main, baseline = over(a.values()), over(b.values())
    if main is not None and baseline is not None:
        yield Difference(name, attack, step, counts, better, main, baseline, paired_difference(a, b))


def _excess(front: Front, member: Member) -> Iterator[Excess]:
    own, control = relearning(front, member.trial_id), relearning(front, RETRAIN)
    for attack, step, counts in _rungs(front):
        a, b = own.get((attack, step), {}), control.get((attack, step), {})
        mean, reference = _share(a.values()), _share(b.values())
        if not counts and mean is not None and reference is not None:
            yield Excess(member.trial_id, attack, step, reference, mean, paired_difference(a, b))


def _by_seed(front: Front, trial_id: str, metric: str) -> dict[int, float]:
    seeds = front.seeds(trial_id)
    return {
        r["seed"]: r[metric]
        for r in front.replicates
        if (r["trial_id"], r["replicate"]) in seeds and r[metric] is not None
    }


def _share(values: Iterable[float]) -> Estimate | None:
    """The estimate of a share, its interval within [0, 1]; differences of shares are left as they are."""
    found = estimate(values)
    return found and found.as_share()
