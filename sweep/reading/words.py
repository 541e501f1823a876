"""What the figures of a run are called and mean, in the words that the terminal, the page and every export share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sweep.reading.arm import ArmFront
from sweep.reading.best import corner
from sweep.reading.sweep import Sweep
from sweep.reading.trial import Trial
from sweep.records import COMPLETE, FAIL, PRUNED
from sweep.space import Objective
from sweep.statistics.estimates import Estimate
from sweep.statistics.moderated import Moderated

MOST_DECIMALS = 5


def cell(text: str) -> str:
    """Text that cannot end a table's cell of Markdown, or start markup."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ").replace("*", "\\*")


def listed(names: Sequence[str], most: int = 6) -> str:
    """``a, b and c``; of very many the first, and how many others there are."""
    shown = list(names) if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} others"]
    return " and ".join([*([", ".join(shown[:-1])] if shown[1:] else []), *shown[-1:]])


def shown(sweep: Sweep) -> list[str]:
    """The figures of a member that every table has: the objectives first."""
    return list(dict.fromkeys([*(o.metric for o in sweep.objectives), *sweep.columns.shown]))


def meaning(sweep: Sweep, metric: str) -> str:
    """What a figure is in this run, from its column."""
    return sweep.sections.meaning(sweep, sweep.columns.fact(metric, "description"))


def axis(sweep: Sweep, objective: Objective, brief: bool = False) -> str:
    """What an axis of the front says: the figure, what it is unless `brief`, and which way is better."""
    figure = objective.metric if brief else named_with_meaning(sweep, objective)
    return f"{figure}  ({'higher' if objective.direction == 'maximise' else 'lower'} is better)"


def named_with_meaning(sweep: Sweep, objective: Objective) -> str:
    """``loss = what it is``."""
    return f"{objective.metric} = {meaning(sweep, objective.metric).partition(';')[0]}"


def standing_of(sweep: Sweep, name: str) -> str:
    """What an arm is to its question, in words."""
    methods = [a for a, arm in sweep.arms.items() if not arm.baseline]
    if name not in methods:
        return "baseline"
    return "the question's method" if len(methods) == 1 else f"one of {len(methods)} arms"


def definitions(sweep: Sweep) -> dict[str, str]:
    """What each figure means in this run, N and seeds included: printed wherever its figures are."""
    meanings = {
        **sweep.sections.definitions(sweep),
        "interval": "95 % over the confirm seeds: t, with what a trial varies by between seeds moderated by what the others do "
        "(Smyth 2004), and a seed's effect on all of them left in; of a share of samples, or of a difference of two, never "
        f"narrower than Wilson's over the samples of all of them{_freedom(sweep)}",
        "within": "probability that the mean over all seeds keeps the bound, given the confirmed ones, by the same t; of "
        "shares never surer than their samples allow",
        "seeds": f"search {_listed(sweep, False)}; confirm {_listed(sweep, True)}",
    }
    further = [figure for figure in sweep.sections.further(sweep) if sweep.has(figure)]
    for metric in (*(o.metric for o in sweep.objectives), *further):
        meanings.setdefault(metric, meaning(sweep, metric))
    remarks = {name: sweep.sections.remark(name) for name in meanings}
    return {name: f"{text}; {remarks[name]}" if remarks[name] else text for name, text in meanings.items()}


def confirmation_text(sweep: Sweep) -> str:
    """What ended the confirmation and what it left open; empty while it goes on, and where all trials had the same seeds."""
    if "ended_by" not in sweep.confirmation:
        return ""
    left = "; ".join(sweep.confirmation.get("open", ()))
    return f"ended by {sweep.confirmation['ended_by']}" + (f"; left open: {left}" if left else "")


_ROUNDING = 1e-12  # of a mean's square: less is what arithmetic leaves of a figure that is the same on every seed


def _freedom(sweep: Sweep) -> str:
    """``; degrees of freedom: loss 2 of a trial's own seeds and 3 to 9 of the others'``; empty where nothing is confirmed."""
    trials = [trial.trial_id for arm in sweep.arms.values() for trial in arm.confirmed_members]
    phrases = []
    for metric in shown(sweep):
        of_trial, of_others = set(), set()
        for trial in trials:
            moderated = sweep.fresh.moderated(metric, trial)
            variance = moderated.variance(trial)
            if variance is not None and variance.value > _ROUNDING * _mean_square(moderated, trial):
                own = moderated.own_freedom(trial)
                of_trial.add(round(own))
                of_others.add(round(max(variance.freedom - own, 0)))
        if of_trial:
            phrases.append(f"{metric} {_span(of_trial)} of a trial's own seeds and {_span(of_others)} of the others'")
    return f"; degrees of freedom: {', '.join(phrases)}" if phrases else ""


def _mean_square(moderated: Moderated, trial: str) -> float:
    """The square of the trial's mean."""
    estimate = moderated.estimate(trial)
    return 0.0 if estimate is None else estimate.mean**2


def _span(numbers: set[int]) -> str:
    return str(min(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"


def _listed(sweep: Sweep, confirm: bool) -> str:
    return ", ".join(map(str, sweep.seeds_run(confirm))) or "none yet"


def number(value: float | None) -> str:
    """A figure that has no interval: three significant digits, of one below .1 fewer; an em dash for nothing."""
    if value is None:
        return "—"
    size = abs(value)
    return f"{value:.{0 if size >= 1000 else 1 if size >= 10 else 4 if 0 < size < 0.01 else 3}f}"


def at_least(probability: float) -> str:
    """A probability that is a bound from below: ``0.994 or more``, never more than it is, and never certain."""
    return f"{min(math.floor(1000 * probability + 1e-6) / 1000, 0.999):.3f} or more"


def brief(value: float, digits: int = 3) -> str:
    """So many significant digits; a large number has all of its own, for nobody reads ``5e+03``."""
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def interval(value: Estimate | None) -> str:
    """``0.91 [0.84, 0.98]``: see `mean` and `ends`; without the brackets where one seed gives no interval."""
    middle = mean(value)
    return middle if value is None or value.lower is None else f"{middle} {ends(value)}"


def mean(value: Estimate | None) -> str:
    """The mean with the digits that its interval lets stand; without an interval, as `number` has it."""
    if value is None:
        return "—"
    decimals = _decimals(value)
    return number(value.mean) if decimals is None else f"{value.mean:z.{decimals}f}"


def ends(value: Estimate) -> str:
    """``[0.84, 0.98]``: the ends of an interval."""
    decimals = _decimals(value)
    texts = (
        number(end) if decimals is None or end is None else f"{end:z.{decimals}f}" for end in (value.lower, value.upper)
    )
    return f"[{', '.join(texts)}]"


def _decimals(value: Estimate) -> int | None:
    """So many that half the interval has two significant digits up to 3.5 and one beyond; None where it has no width.

    It is the Particle Data Group's rule: what is rounded off is small beside what is not known.
    """
    if value.lower is None or value.upper is None or math.isclose(value.lower, value.upper, abs_tol=1e-12):
        return None
    half = (value.upper - value.lower) / 2
    if not math.isfinite(half):
        return None
    place = math.floor(math.log10(half))
    return min(MOST_DECIMALS, max(0, (1 if half < 3.55 * 10.0**place else 0) - place))


def within(sweep: Sweep, trial: Trial) -> str:
    """``loss ≤ 4.1: 0.93, accuracy ≥ 0.9: 0.99``: how probable each constraint is; a dash unless confirmed."""
    phrases = []
    for constraint in sweep.constraints:
        if constraint.bound is not None and constraint.name in trial.within:
            sign = "≤" if constraint.side == "at_most" else "≥"
            phrases.append(f"{constraint.metric} {sign} {brief(constraint.bound)}: {trial.within[constraint.name]:.2f}")
    return ", ".join(phrases) or "—"


def settings(trial: Trial) -> str:
    """The member's parameters as ``name=value`` words."""
    return " ".join(f"{k}={brief(v, 4) if isinstance(v, float) else v}" for k, v in trial.parameters.items()) or "none"


def fresh_seeds(n: int | str) -> str:
    """How many fresh seeds, a number or a range of numbers, in words."""
    return f"{n} fresh seed{'' if str(n) == '1' else 's'}"


def seeds_behind(sweep: Sweep, trials: Iterable[Trial]) -> str:
    """``2 to 5 fresh seeds``: how many the confirmed figures of these trials are over; empty where nothing is confirmed."""
    counts = seed_counts(sweep, trials)
    return fresh_seeds(counts) if counts else ""


def seed_counts(sweep: Sweep, trials: Iterable[Trial]) -> str:
    """``2 to 5``: how many fresh seeds the confirmed figures of these trials are over, objective by objective.

    A replicate that was run for the sake of a bound alone gives no others; empty where none is fully confirmed.
    """
    confirmed = [trial.confirmed or {} for trial in trials if trial.fully_confirmed]
    estimates = [figures.get(o.metric) for figures in confirmed for o in sweep.objectives]
    numbers = {estimate.n for estimate in estimates if estimate is not None}
    if not numbers:
        return ""
    least, most = min(numbers), max(numbers)
    return str(most) if least == most else f"{least} to {most}"


def counted(arm: ArmFront) -> str:
    """How the arm's trials ended, in words."""
    words = {COMPLETE: "complete", PRUNED: "stopped early", FAIL: "failed"}
    return (
        ", ".join(f"{n} {words.get(state, state.lower())}" for state, n in sorted(arm.counts.items()))
        or "no trials yet"
    )


def corner_text(sweep: Sweep) -> str:
    """``accuracy 0 and loss 4.100``: the point that hypervolumes are measured up to."""
    reference, (first, *others) = corner(sweep), sweep.objectives
    if reference is None:
        return "no corner"
    ends = [f"{first.metric} {brief(reference[0])}"]
    ends += [f"{o.metric} {number(value)}" for o, value in zip(others, reference[1:], strict=True)]
    named = sweep.sections.corner(sweep, reference[1]) if len(ends) == 2 else ""
    return f"{ends[0]} at {named}" if named else listed(ends)
