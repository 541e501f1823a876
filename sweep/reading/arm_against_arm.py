"""Arm against arm, figure by figure, on the seeds both were confirmed on.

Differences are paired by seed: what a seed does to both sides, the noise of what it draws, drops out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sweep.procedures.sections import Difference, Excess
from sweep.reading.best import closest, leader, merit
from sweep.reading.comparable import differing
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.trial import Trial
from sweep.statistics.estimates import Estimate
from sweep.statistics.moderated import Moderated

FEW_ARMS = 2  # more of them are told by their standings first, and more pairs of them by their objectives alone


@dataclass(frozen=True)
class Standing:
    """Where one arm stands among all: its best member, or `reason` why it has none to show."""

    arm: str
    baseline: bool
    member: Trial | None
    ahead: Estimate | None  # first objective of the arm in first place less this one's, paired by seed
    reason: str | None
    differs: tuple[str, ...] = ()  # the conditions in which its figures are others than those it would be placed among

    @property
    def unplaced(self) -> str:
        """Why it has no place among the arms; empty where it has one."""
        if self.member is None:
            return "nothing scored"
        if self.differs:
            return f"not comparable, it differs in {', '.join(self.differs)}"
        return "" if self.member.feasible else "breaks a constraint"


@dataclass(frozen=True)
class Comparison:
    """One arm's best confirmed member against another's; `missing` says why there is nothing to compare."""

    arm: str
    baseline_arm: str
    main: Trial | None
    baseline: Trial | None
    rows: tuple[Difference, ...]
    excess: tuple[Excess, ...]
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
    method_of = {name: sweep.plan["arms"][name]["method"] for name in sweep.arms}
    methods = {method_of[name]: name for name, arm in sweep.arms.items() if arm.baseline}
    wrapped = {}
    for name, method in method_of.items():
        inner = sweep.sections.wrapped(method)
        if inner in methods:
            wrapped[name] = methods[inner]
    main = sweep.plan["main_arm"]
    others = [name for name, arm in sweep.arms.items() if name != main and (arm.baseline or not methods)]
    return [*wrapped.items(), *((main, name) for name in others if name not in wrapped.values())]


def standings(sweep: Sweep) -> tuple[Standing, ...]:
    """Every arm's best member, the best first: feasible ones by the first objective, then what breaks a constraint.

    One that fresh seeds confirm comes before any that is feasible on the search's seed alone: one lucky seed is no first place.
    One whose figures come about otherwise than the main arm's, by another sampler say, is held against none and comes after them.
    """
    metric = sweep.objectives[0].metric
    leaders = {name: leader(sweep, name) for name in sweep.arms}
    apart = _apart(sweep, leaders)

    def place(name: str) -> tuple[int, float]:
        member = leaders[name]
        if member is None:
            return 3, 0.0
        if apart[name] or not member.feasible:
            return 2, -merit(sweep, member.value(metric))
        return (0 if member.fully_confirmed else 1), -merit(sweep, member.value(metric))

    order = sorted(leaders, key=place)
    first = leaders[order[0]]
    every = []
    for name in order:
        member, arm = leaders[name], sweep.arms[name]
        ahead = None
        if first is not None and member is not None and member is not first and not apart[name]:
            ahead = sweep.fresh.difference(metric, first.trial_id, member.trial_id)
        every.append(Standing(name, arm.baseline, member, ahead, arm.reason, apart[name]))
    return tuple(every)


def _apart(sweep: Sweep, leaders: Mapping[str, Trial | None]) -> dict[str, tuple[str, ...]]:
    """In which conditions each arm's best was confirmed otherwise than the main arm's, or the first that was confirmed."""
    confirmed = {name: best for name, best in leaders.items() if best is not None and best.fully_confirmed}
    usual = confirmed.get(sweep.plan["main_arm"]) or next(iter(confirmed.values()), None)
    apart: dict[str, tuple[str, ...]] = dict.fromkeys(leaders, ())
    for name, best in confirmed.items():
        if usual is not None and best is not usual:
            apart[name] = tuple(differing(sweep, usual, best))
    return apart


def _against(sweep: Sweep, main_arm: str, baseline_arm: str) -> Comparison:
    main, baseline = closest(sweep, main_arm), closest(sweep, baseline_arm)
    if main is None or baseline is None:
        lacking = " and ".join(a for a, m in ((main_arm, main), (baseline_arm, baseline)) if m is None)
        return Comparison(main_arm, baseline_arm, main, baseline, (), (), f"no confirmed member of {lacking}")
    if differs := differing(sweep, main, baseline):
        return Comparison(
            main_arm, baseline_arm, main, baseline, (), (), f"not comparable, they differ in {', '.join(differs)}"
        )
    rows = [*_figures(sweep, main, baseline), *sweep.sections.differences(sweep, main, baseline)]
    excess = [*sweep.sections.excess(sweep, main), *sweep.sections.excess(sweep, baseline)]
    broken = [m.trial_id for m in (main, baseline) if not m.feasible]
    note = f"no feasible confirmed member: {' and '.join(broken)} comes closest in its arm" if broken else None
    return Comparison(main_arm, baseline_arm, main, baseline, tuple(rows), tuple(excess), None, note)


def _figures(sweep: Sweep, main: Trial, baseline: Trial) -> Iterator[Difference]:
    """The objectives, and what the procedure compares beside them."""
    better: dict[str, str] = {o.metric: o.direction for o in sweep.objectives}
    better |= {name: sweep.columns.fact(name, "direction") for name in sweep.sections.compared}
    for metric, direction in better.items():
        moderated = sweep.fresh.moderated(metric, main.trial_id)
        yield from differences_of(moderated, metric, direction, main.trial_id, baseline.trial_id)


def differences_of(
    moderated: Moderated,
    figure: str,
    better: str,
    a: str,
    b: str,
    place: tuple[str, int] | None = None,
    counts: bool = True,
    name: str = "",
    brief: str = "",
) -> Iterator[Difference]:
    """The row of one figure of two trials, or nothing where one of them never reached it.

    `place` is the series and step of a figure of a curve; the name is the figure's where none is given.
    """
    main, baseline = moderated.estimate(a), moderated.estimate(b)
    series, step = place or (None, None)
    name = name or figure
    if main is not None and baseline is not None:
        difference = moderated.difference(a, b)
        yield Difference(figure, series, step, counts, better, main, baseline, difference, name, brief or name)
