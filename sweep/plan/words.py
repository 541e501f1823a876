"""A plan in words, for --dry-run and the first lines of a run, with a rough estimate of what it costs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sweep import procedures
from sweep.plan import flags, targets
from sweep.plan.flags import Words
from sweep.plan.plan import Plan
from sweep.space import Attack, Choice, Parameter, SearchSpace

_FEW_ARMS = 4  # more than this are told in fewer words


@dataclass(frozen=True)
class _Line:
    """How what is said under one heading is printed."""

    label: str | None = None  # where it isn't the heading itself
    opening: str = ""
    wrap: bool = True


# The headings in the order of the printed plan. What another flag says under a heading of its own comes after the data.
_BEFORE = {"question": _Line(wrap=False), "data": _Line(wrap=False)}
_AFTER = {
    "target": _Line(wrap=False),
    "search": _Line(),
    "ends": _Line("", opening="ends earlier by "),
    "stops": _Line(""),
    "warm start": _Line(),
    "objectives": _Line(wrap=False),
    "constraints": _Line(wrap=False),
    "FID budget": _Line(wrap=False),
    "attacks": _Line(),
    "samples": _Line(wrap=False),
    "confirm": _Line(wrap=False),
    "confirm attacks": _Line("", opening="attacked by "),
    "base model": _Line(wrap=False),
    "control": _Line(wrap=False),
    "arms": _Line(),  # lines of their own
    "audit": _Line(wrap=False),
    "runs on": _Line(wrap=False),
    "artifacts": _Line(wrap=False),
    "run": _Line(wrap=False),
}


def describe(plan: Plan, space: SearchSpace) -> str:
    """The whole plan in words, for --dry-run and the first lines of a run."""
    said: dict[str, str] = {}
    for words, text in _every_word(plan, space):
        before = said.get(words.heading)
        said[words.heading] = text if before is None else before + words.joined + text
    others = {heading: _Line() for heading in said if heading not in _BEFORE and heading not in _AFTER}
    lines = []
    for heading, line in (_BEFORE | others | _AFTER).items():
        if heading == "arms":
            lines += _arms(space)
        elif heading in said:
            label, text = heading if line.label is None else line.label, line.opening + said[heading]
            lines += wrapped(label, text) if line.wrap else [f"{label:<12}{text}"]
    return "\n".join([*lines, *_cost(plan, space)])


def _every_word(plan: Plan, space: SearchSpace) -> Iterator[tuple[Words, str]]:
    """What the plan's parts and its question say, by heading."""
    for part in (plan.setup, plan, plan.place):
        yield from flags.told(part)
    yield from plan.setup.more_words()
    yield Words("question"), space.question
    attacked = targets.describe(space)
    if attacked:
        yield Words("target"), attacked
    yield Words("search"), _budgets(plan, space)
    yield Words("objectives"), ", ".join(f"{o.direction} {o.metric}" for o in space.objectives)
    yield Words("constraints"), ", ".join(map(_constraint_text, space.constraints)) or "none"
    rungs = f"scored after {list(space.rungs)} steps"
    yield Words("attacks"), f"{_suite_text(space, space.search_attacks)}; {rungs}"
    yield Words("confirm attacks"), _suite_text(space, space.confirm_attacks)


def _cost(plan: Plan, space: SearchSpace) -> list[str]:
    cost = procedures.estimate(plan, space)
    return [
        f"cost        about {cost['prepare']:.0f} core-s to prepare (0 where cached), at most {cost['search']:.0f} to search, "
        f"{cost['confirm']:.0f} to confirm;",
        f"            about {cost['wall'] / 60:.0f} minutes in all on {plan.place.workers} cores, for the embedded digits",
    ]


def _budgets(plan: Plan, space: SearchSpace) -> str:
    """``dimum 16 trials, label_swap 8 trials``; arms that have the same number are told it once where there are many."""
    each = {arm.name: plan.budget_of(space, arm.name) for arm in space.arms}
    if len(each) <= _FEW_ARMS:
        return ", ".join(f"{name} {n} trials" for name, n in each.items())
    told = {n: [name for name, m in each.items() if m == n] for n in dict.fromkeys(each.values())}
    return "; ".join(f"{n} trials each of {', '.join(names)}" for n, names in told.items())


def _arms(space: SearchSpace) -> list[str]:
    """Every arm with its parameters; of many arms only the names, and every range once."""
    lines = []
    for arm in space.arms:
        what = f"attack {arm.attack} on {arm.method}" if arm.attack else f"method {arm.method}"
        told = f"{arm.name}{' (baseline)' if arm.baseline else ''}: {what}"
        if len(space.arms) <= _FEW_ARMS:
            lines += [f"arm         {told}", *(f"              {_parameter_text(p)}" for p in arm.walk())]
        else:
            lines += wrapped("arm", f"{told}; " + ", ".join(p.name for p in arm.walk()))
    if len(space.arms) > _FEW_ARMS:
        ranges: dict[str, list[str]] = {}
        for arm in space.arms:
            for parameter in arm.walk():
                ranges.setdefault(_parameter_text(parameter), []).append(arm.name)
        names = [text.partition(":")[0] for text in ranges]
        lines.append("ranges")
        for text, arms in ranges.items():
            whose = (
                f"  ({', '.join(arms)})" if names.count(text.partition(":")[0]) > 1 and len(arms) <= _FEW_ARMS else ""
            )
            lines.append(f"              {text}{whose}")
    return lines


def wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(text, 120, initial_indent=f"{label:<12}", subsequent_indent=" " * 12, break_long_words=False)


def _suite_text(space: SearchSpace, attacks: tuple[Attack, ...]) -> str:
    """The suite; of arms that search the attack, each trial has its own and only the controls the suite."""
    told = ", ".join(map(_attack_text, attacks))
    return f"each trial by its own; the controls by {told}" if any(arm.attack for arm in space.arms) else told


def _attack_text(attack: Attack) -> str:
    return attack.name + ("" if attack.counts else " (does not count)")


def _constraint_text(constraint: Any) -> str:
    side, bound = ("≤", constraint.at_most) if constraint.at_most is not None else ("≥", constraint.at_least)
    return f"{constraint.metric} {side} {'the FID budget' if bound == 'fid_budget' else bound}"


def _parameter_text(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return f"{parameter.name}: {' | '.join(map(str, parameter.branches))}"
    return f"{parameter.name}: {parameter.low:g} … {parameter.high:g}{', log' if parameter.log else ''}"
