"""What a reader should pick: each arm's best trial, how sure it is that it keeps its bounds, and a surer one where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweep.reading.arm import sure_of, unsure
from sweep.reading.arm_against_arm import standings
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.reading.words import at_least, interval, seeds_behind, settings, within


@dataclass(frozen=True)
class Pick:
    """Of one arm the best trial by the first objective, None where nothing was scored, and how sure it is.

    `chance` is the least probability with which its means over all seeds keep every bound, by Bonferroni's inequality from
    those of each; None where it has no two fresh seeds of each. `surer` is, where that leaves it `unsure`, the surest of the
    arm's fully confirmed trials: the best would be one that is sure if any were. It is chosen by the very seeds that it is told
    by, which flatters it a little; the best is chosen by the search's.
    """

    arm: str
    baseline: bool
    best: Trial | None
    chance: float | None
    unsure: bool  # whether its fresh seeds leave open that it breaks a bound, in a run that asks how sure that is
    sure: bool  # whether they say that it keeps them, in such a run; where no fresh seed has confirmed it, neither
    surer: Trial | None
    reason: str | None  # why so few are on the arm's front

    @property
    def doubt(self) -> str:
        """What leaves open that it breaks a bound, behind its name: ``keeps every bound with probability 0.660 or more only``."""
        if self.chance is None:
            return "one fresh seed leaves its bounds open"
        return f"keeps every bound with probability {at_least(self.chance)} only"


def picks(sweep: Sweep) -> tuple[Pick, ...]:
    """Every arm's, in the order in which the arms stand."""
    every = []
    for standing in standings(sweep):
        best = standing.member
        chance = None if best is None else best.chance
        confirmed = best if best is not None and best.fully_confirmed else None
        doubtful = confirmed is not None and unsure(sweep.plan, confirmed)
        sure = confirmed is not None and chance is not None and 0 < sure_of(sweep.plan) <= chance
        pick = Pick(standing.arm, standing.baseline, best, chance, doubtful, sure, None, standing.reason)
        if chance is not None and doubtful:
            pick = replace(pick, surer=_surest(sweep, standing.arm, chance))
        every.append(pick)
    return tuple(every)


def pick_text(sweep: Sweep, pick: Pick) -> str:
    """The pick in words, with figures, intervals and settings."""
    if pick.best is None:
        return f"nothing was scored ({pick.reason})" if pick.reason else "nothing was scored"
    unconfirmed = not pick.best.fully_confirmed
    how = "on the search's one seed, not confirmed" if unconfirmed else f"on {seeds_behind(sweep, [pick.best])}"
    words = [f"{pick.best.trial_id}, {how}: {_figures(sweep, pick.best)}; {settings(pick.best)}"]
    if pick.best.feasible is False:
        which = "" if unconfirmed else " confirmed"
        where = " on fresh seeds" if unconfirmed and pick.best.confirmed else ""
        words.append(f"It breaks a constraint{where}: no{which} trial of this arm keeps them all")
    elif pick.chance is not None:
        sure = ", which is not sure" if pick.unsure else ""
        each = within(sweep, pick.best)
        words.append(f"It keeps every bound with probability {at_least(pick.chance)}{sure} ({each})")
    elif pick.unsure:
        words.append("One fresh seed leaves its bounds open")
    if pick.surer is not None:
        surer = pick.surer
        words.append(
            f"Surer: {surer.trial_id} ({at_least(surer.chance or 0.0)}), {_figures(sweep, surer)}; {settings(surer)}"
        )
    elif pick.unsure and pick.best.feasible and pick.chance is not None:
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
    if not trial.fully_confirmed:
        fresh = "fresh seeds have shown its bounds alone" if trial.confirmed else "no fresh seed has confirmed it"
        return f"{best} is best by {metric} on one seed; {fresh}"
    if not first.unsure:
        known = "" if first.chance is None else f"; it keeps every bound with probability {at_least(first.chance)}"
        kept = ", and sure of its bounds" if first.sure else known
        return f"{best}: the best by {metric}{kept}{_beside_the_next(sweep, trial)}"
    sure = [trial for pick, trial in feasible if pick.sure]
    doubt = f"{best} is best by {metric}, but {first.doubt}"
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
    sign = sweep.objectives[0].sign
    for standing in others:
        ahead, member = standing.ahead, standing.member
        if standing.unplaced or member is None or ahead is None or ahead.lower is None or ahead.upper is None:
            continue
        how = "ahead of" if max(sign * ahead.lower, sign * ahead.upper) < 0 else "not shown to be ahead of"
        return f"; {how} {member.trial_id} ({standing.arm}): by {interval(ahead)} on {ahead.n} shared seeds"
    return ""


def _surest(sweep: Sweep, arm: str, chance: float) -> Trial | None:
    """Of the arm's feasible and fully confirmed trials the surest, if it is surer than this."""
    members = [trial for trial in sweep.arms[arm].confirmed_members if trial.fully_confirmed]
    surer = [trial for trial in members if trial.feasible and (trial.chance or 0.0) > chance]
    return max(surer, key=lambda trial: (trial.chance or 0.0, trial.trial_id), default=None)


def _figures(sweep: Sweep, trial: Trial) -> str:
    return ", ".join(f"{o.metric} {interval(trial.at(o.metric))}" for o in sweep.objectives)
