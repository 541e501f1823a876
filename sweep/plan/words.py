"""A plan in words, for --dry-run and the first lines of a run, with a rough estimate of what it costs."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Mapping

from sweep import procedures
from sweep.plan import flags
from sweep.plan.flags import Line, Words
from sweep.plan.plan import Plan
from sweep.procedures import Setup
from sweep.reading.durations import duration
from sweep.samplers.catalogue import learns_of_all_arms
from sweep.space import Choice, Constraint, Parameter, SearchSpace

_FEW_ARMS = 4  # more than this are told in fewer words


# The headings of the printed plan, in its order. A procedure's setup says where its own stand; those that nobody names come
# before the search.
_HEADINGS = {
    "question": Line(wrap=False),
    "data": Line(wrap=False),
    "search": Line(),
    "ends": Line(label="", opening="ends earlier by "),
    "stops": Line(label=""),
    "warm start": Line(),
    "shared": Line(),
    "objectives": Line(wrap=False),
    "constraints": Line(wrap=False),
    "confirm": Line(wrap=False),
    "arms": Line(),  # lines of their own
    "runs on": Line(wrap=False),
    "artifacts": Line(wrap=False),
    "run": Line(wrap=False),
}


def describe(plan: Plan[Setup], space: SearchSpace) -> str:
    """The whole plan in words, for --dry-run and the first lines of a run."""
    said: dict[str, str] = {}
    for words, text in _every_word(plan, space):
        before = said.get(words.heading)
        said[words.heading] = text if before is None else before + words.joined + text
    lines: list[str] = []
    for heading, line in _in_order(plan, said):
        if heading == "arms":
            lines += _arms(plan, space)
        elif heading in said:
            label, text = heading if line.label is None else line.label, line.opening + said[heading]
            lines += wrapped(label, text) if line.wrap else [f"{label:<12}{text}"]
    return "\n".join([*lines, *_cost(plan, space)])


def _in_order(plan: Plan[Setup], said: Collection[str]) -> Iterator[tuple[str, Line]]:
    """The headings in the order of the printed plan."""
    line_by_heading: dict[str, Line] = dict(plan.setup.headings)
    line_by_heading = {
        heading: Line() for heading in said if heading not in _HEADINGS and heading not in line_by_heading
    } | line_by_heading
    for heading, line in _HEADINGS.items():
        yield from ((name, of) for name, of in line_by_heading.items() if of.before == heading)
        yield heading, line


def _every_word(plan: Plan[Setup], space: SearchSpace) -> Iterator[tuple[Words, str]]:
    """What the plan's parts and its question say, by heading."""
    for part in (plan.setup, plan.run, plan, plan.place):
        yield from flags.words_of(part)
    yield from plan.setup.more_words(space, plan.place)
    yield Words("question"), space.question
    yield Words("search"), _budgets(plan, space)
    if learns_of_all_arms(plan.sampler, space):
        names = ", ".join(space.shared)
        yield (
            Words("shared"),
            f"{names}: what they do in one arm is evidence in the others, as far as the arms prove alike",
        )
    yield Words("objectives"), ", ".join(f"{o.direction} {o.metric}" for o in space.objectives)
    words = procedures.named(space.procedure).bounds
    yield Words("constraints"), ", ".join(_constraint_text(c, words) for c in space.constraints) or "none"
    if plan.place.address and "://" in plan.artifacts and "://" not in plan.run_dir:
        # The artifacts outlive the cluster there; what was found by them may not.
        yield (
            Words("run"),
            "records lie there and not in the object store: on this machine's own disk they are lost with it",
        )


def _cost(plan: Plan[Setup], space: SearchSpace) -> list[str]:
    procedure = procedures.named(space.procedure)
    cost, measured = procedure.estimate(plan, space), f"; {on}" if (on := procedure.estimated_on) else ""
    return [
        f"cost        about {cost['prepare']:.0f} core-s to prepare (0 where cached), at most {cost['search']:.0f} to search, "
        f"{cost['confirm']:.0f} to confirm;",
        f"            about {duration(cost['wall'])} in all on {plan.place.workers} cores{measured}",
    ]


def _budgets(plan: Plan[Setup], space: SearchSpace) -> str:
    """``dimum 16 trials, label_swap 8 trials``; arms that have the same number are told it once where there are many."""
    each = {arm.name: plan.budget_of(space, arm.name) for arm in space.arms}
    if len(each) <= _FEW_ARMS:
        return ", ".join(f"{name} {n} trial{'s' if n != 1 else ''}" for name, n in each.items())
    arms_of = {n: [name for name, m in each.items() if m == n] for n in dict.fromkeys(each.values())}
    return "; ".join(f"{n} trial{'s' if n != 1 else ''} each of {', '.join(names)}" for n, names in arms_of.items())


def _arms(plan: Plan[Setup], space: SearchSpace) -> list[str]:
    """Every arm with its parameters; of many arms only the names, and every range once."""
    lines = []
    for arm in space.arms:
        what = plan.setup.arm_words(arm)
        words = f"{arm.name}{' (baseline)' if arm.baseline else ''}: {what}"
        if len(space.arms) <= _FEW_ARMS:
            lines += [f"arm         {words}", *(f"              {_parameter_text(p)}" for p in arm.walk())]
        else:
            lines += wrapped("arm", f"{words}; " + ", ".join(p.name for p in arm.walk()))
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
    return textwrap.wrap(
        text,
        120,
        initial_indent=f"{label:<12}",
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _constraint_text(constraint: Constraint, words: Mapping[str, str]) -> str:
    side, bound = ("≤", constraint.at_most) if constraint.at_most is not None else ("≥", constraint.at_least)
    return f"{constraint.metric} {side} {words.get(bound, bound) if isinstance(bound, str) else bound}"


def _parameter_text(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return f"{parameter.name}: {' | '.join(map(str, parameter.branches))}"
    return f"{parameter.name}: {parameter.low:g} … {parameter.high:g}{', log' if parameter.log else ''}"
