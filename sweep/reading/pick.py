"""What a reader should pick: each arm's best trial, how sure it is that it keeps its bounds, and a surer one where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.reading.arm_against_arm import standings
from sweep.reading.best import merit
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.reading.words import at_least, interval, seeds_behind, settings, within

SURE = 0.9  # of runs whose plan says nothing


@dataclass(frozen=True)
class Pick:
    """Of one arm the best trial by the first objective, None where nothing was scored, and how sure it is.

    `chance` is the least probability with which its means over all seeds keep every bound, by Bonferroni's inequality from
    those of each; None where it was not confirmed. `surer` is, where that is below `least`, another of the arm's confirmed
    trials: the best one that is sure, or, without any, the surest. It is chosen by the very seeds that it is told by, which
    flatters it a little; the best is chosen by the search's.
    """

    arm: str
    baseline: bool
    best: Trial | None
    chance: float | None
    least: float  # the probability from which on it counts as sure
    surer: Trial | None
    reason: str | None  # why so few are on the arm's front

    @property
    def sure(self) -> bool:
        return self.chance is not None and self.chance >= self.least


def picks(sweep: Sweep) -> tuple[Pick, ...]:
    """Every arm's, in the order in which the arms stand."""
    every = []
    for standing in standings(sweep):
        best = standing.member
        chance = None if best is None else best.chance
        surer = None
        if best is not None and chance is not None and chance < sure_of(sweep):
            surer = _surest(sweep, standing.arm, chance)
        every.append(Pick(standing.arm, standing.baseline, best, chance, sure_of(sweep), surer, standing.reason))
    return tuple(every)


def sure_of(sweep: Sweep) -> float:
    """The probability of keeping every bound from which on a trial counts as sure: the plan's, of older runs `SURE`."""
    return float(sweep.plan.get("confirm_sure") or SURE)


def pick_text(sweep: Sweep, pick: Pick) -> str:
    """The pick in words, with figures, intervals and settings."""
    if pick.best is None:
        return f"nothing was scored ({pick.reason})" if pick.reason else "nothing was scored"
    unconfirmed = pick.best.confirmed is None
    how = "on the search's one seed, not confirmed" if unconfirmed else f"on {seeds_behind(sweep, [pick.best])}"
    words = [f"{pick.best.trial_id}, {how}: {_figures(sweep, pick.best)}; {settings(pick.best)}"]
    if pick.best.feasible is False:
        which = "" if unconfirmed else " confirmed"
        words.append(f"It breaks a constraint: no{which} trial of this arm keeps them all")
    elif pick.chance is not None:
        sure = "" if pick.sure else ", which is not sure"
        each = within(sweep, pick.best)
        words.append(f"It keeps every bound with probability {at_least(pick.chance)}{sure} ({each})")
    if pick.surer is not None:
        surer = pick.surer
        words.append(
            f"Surer: {surer.trial_id} ({at_least(surer.chance or 0.0)}), {_figures(sweep, surer)}; {settings(surer)}"
        )
    elif pick.chance is not None and not pick.sure and pick.best.feasible:
        words.append("No trial of this arm that was confirmed is surer")
    return ". ".join(words)


def in_short(sweep: Sweep, all_picks: Sequence[Pick]) -> str:
    """Which trial to pick, in a sentence or two: the best that surely keeps its bounds, and what is better but not sure."""
    metric = sweep.objectives[0].metric
    feasible = [(pick, pick.best) for pick in all_picks if pick.best is not None and pick.best.feasible]
    if not feasible:
        return f"Nothing is feasible ({sweep.reason})" if sweep.reason else "Nothing is feasible yet"
    first, trial = feasible[0]
    best = f"{trial.trial_id} ({first.arm})"
    if trial.confirmed is None:
        return f"{best} is best by {metric} on one seed; no fresh seed has confirmed it"
    if first.chance is None or first.sure:
        kept = ", and sure of its bounds" if first.sure else ""
        return f"{best}: the best by {metric}{kept}{_beside_the_next(sweep, trial)}"
    sure = [
        one for pick, of_arm in feasible for one in (of_arm, pick.surer) if one is not None and _is_sure(sweep, one)
    ]
    doubt = f"{best} is best by {metric}, but keeps every bound with probability {at_least(first.chance)} only"
    if not sure:
        return f"{doubt}, and no other is sure either: more seeds would tell (--confirm-seeds)"
    return (
        f"{doubt}; the best that is sure is {sure[0].trial_id} ({sure[0].arm}), {metric} {interval(sure[0].at(metric))}"
    )


def _beside_the_next(sweep: Sweep, best: Trial) -> str:
    """``; not shown to be ahead of B (arm): by DIFFERENCE on 2 shared seeds``; empty where nothing can be held against it."""
    first, *others = standings(sweep)
    if first.member is None or first.member.trial_id != best.trial_id:
        return ""
    sign = merit(sweep, 1.0)
    for standing in others:
        ahead, member = standing.ahead, standing.member
        if standing.unplaced or member is None or ahead is None or ahead.lower is None or ahead.upper is None:
            continue
        how = "ahead of" if min(sign * ahead.lower, sign * ahead.upper) > 0 else "not shown to be ahead of"
        return f"; {how} {member.trial_id} ({standing.arm}): by {interval(ahead)} on {ahead.n} shared seeds"
    return ""


def _is_sure(sweep: Sweep, trial: Trial) -> bool:
    return trial.chance is not None and trial.chance >= sure_of(sweep)


def _surest(sweep: Sweep, arm: str, chance: float) -> Trial | None:
    """Of the arm's feasible confirmed trials that are surer than this the best one that is sure, else the surest."""
    surer = [
        (trial, known)
        for trial in sweep.arms[arm].confirmed_members
        if trial.feasible and (known := trial.chance) is not None and known > chance
    ]
    sure = [trial for trial, known in surer if known >= sure_of(sweep)]
    metric = sweep.objectives[0].metric
    if sure:
        return max(sure, key=lambda trial: (merit(sweep, trial.value(metric)), trial.on_front, trial.trial_id))
    return max(surer, key=lambda pair: (pair[1], pair[0].trial_id), default=(None, 0.0))[0]


def _figures(sweep: Sweep, trial: Trial) -> str:
    return ", ".join(f"{o.metric} {interval(trial.at(o.metric))}" for o in sweep.objectives)
