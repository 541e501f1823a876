"""A flag, declared once: a field of a frozen dataclass that has its option, its check and its words beside its default.

    shadow_models: int = flag(0, "--shadow-models", "shadow models of the membership audit (default: %(default)s)", MODELS,
                              metavar="N", check=at_least(0), words=Words("audit", lambda n, _: f"{n} shadow models"))

Which dataclass: `sweep.plan.plan.Plan` says what is asked and searched, `sweep.plan.run.RunPlan` what a sweep and a track have
alike, `sweep.plan.place.Place` where they run, a procedure's `Setup` (`sweep.procedures.setup`) what trials are about, and all
that is kept in ``plan.json``; `sweep.plan.options.Call` has what one call alone asks. A heading of `Words` that nobody placed
is printed before the search.

From the declaration come the argument and its line of ``--help`` (`add`), the field's value (`values`), its refusal in one line
(`check`), its part of the printed plan (`words_of`), and whether it may stand beside ``--resume`` (`free`, `again`).
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.errors import UsageError, near

# The groups of `--help`, in its order.
QUESTION, SEARCH, MODELS, WHERE = "question", "search", "models and figures", "where it runs"

Check = Callable[[Any], str]
"""What is wrong with a value, told after its flag; empty where nothing is. It may raise a UsageError of its own words."""


@dataclass(frozen=True)
class Words:
    """A value's part of the printed plan: under which heading, in which words, joined how to what stands before it there."""

    heading: str
    # Of the value and the whole dataclass; an empty text says nothing.
    text: Callable[[Any, Any], str] = lambda value, _: str(value)
    joined: str = "; "


@dataclass(frozen=True)
class Line:
    """How what is said under one heading is printed: before which other heading, and how."""

    before: str = "search"
    label: str | None = None  # where it isn't the heading itself
    opening: str = ""
    wrap: bool = True


@dataclass(frozen=True)
class Flag:
    """What a field's declaration says of its flag."""

    option: str
    help: str
    group: str
    arguments: Mapping[str, Any]  # as `argparse` takes them
    read: Callable[[Any], Any]  # the value of what was given; UsageError where it is none
    check: Check
    words: Words | None
    beside_resume: bool

    @property
    def name(self) -> str:
        """The argument's name, as `argparse` makes it of the option."""
        return self.option.removeprefix("--").replace("-", "_")


def flag(
    default: Any,
    option: str,
    help: str,
    group: str,
    *,
    ungiven: Any = dataclasses.MISSING,
    read: Callable[[Any], Any] | None = None,
    check: Check = lambda value: "",
    words: Words | None = None,
    beside_resume: bool = False,
    **arguments: Any,
) -> Any:
    """A field with a flag; ``dataclasses.MISSING`` is the default of a field that has none. `arguments` are argparse's.

    `ungiven`: what the command line says where the flag isn't given, if not the default: None for the question's own, say.
    `read`: from what is given to the value; `check`: what is wrong with a value; `beside_resume`: a resumed run takes it,
    for that call: ``plan.json`` keeps what the run began with (but for the store's new place, `sweep.driver.store_place`).
    """
    if ungiven is not dataclasses.MISSING:
        arguments["default"] = ungiven
    elif default is dataclasses.MISSING:
        arguments["default"] = None
    else:
        arguments["default"] = list(default) if isinstance(default, tuple) else default
    if isinstance(default, bool):
        arguments.setdefault("action", "store_true")
    elif isinstance(default, (int, float)):
        arguments.setdefault("type", type(default))
    if read is None:
        read = tuple if isinstance(default, tuple) else lambda value: value
    declared = Flag(option, help, group, arguments, read, check, words, beside_resume)
    return dataclasses.field(default=default, metadata={"flag": declared})


def flags_of(part: Any) -> Iterator[tuple[str, Flag]]:
    """The fields of a dataclass, or of one of its values, that have a flag; in their order."""
    for field in dataclasses.fields(part):
        if "flag" in field.metadata:
            yield field.name, field.metadata["flag"]


def add(
    p: argparse.ArgumentParser,
    parts: Iterable[Any],
    leave: Collection[str] = (),
    titles: Mapping[str, str] | None = None,
) -> None:
    """Give a command the flags of these dataclasses by group, but those that it leaves out; `titles` renames groups."""
    groups = {group.title: group for group in p._action_groups}
    every = [(name, declared) for part in parts for name, declared in flags_of(part) if name not in leave]
    for title in (QUESTION, SEARCH, MODELS, WHERE):
        for _, declared in (each for each in every if each[1].group == title):
            shown = (titles or {}).get(title, title)
            if shown not in groups:
                groups[shown] = p.add_argument_group(shown)
            groups[shown].add_argument(declared.option, help=declared.help, **declared.arguments)


def values(part: Any, args: argparse.Namespace, leave: Collection[str] = ()) -> dict[str, Any]:
    """The values of a dataclass's fields that a command line gives or has a default for; UsageError for one that is none."""
    values_given = {}
    for name, declared in flags_of(part):
        given = getattr(args, declared.name, None)
        if given is not None and name not in leave:
            values_given[name] = declared.read(given)
    return values_given


def free(parts: Iterable[Any]) -> set[str]:
    """The arguments that may stand beside ``--resume``."""
    return {declared.name for part in parts for _, declared in flags_of(part) if declared.beside_resume}


def again(parts: Iterable[Any], args: argparse.Namespace) -> dict[str, Any]:
    """The values that a resumed run takes of its command line: what is given, and a switch as it stands."""
    values_given = {}
    for part in parts:
        for name, declared in flags_of(part):
            given = getattr(args, declared.name, None)
            if declared.beside_resume and (isinstance(given, bool) or declared.name in args.typed):
                values_given[name] = declared.read(given)
    return values_given


def check(part: Any, only: Collection[str] = ()) -> None:
    """UsageError naming the first flag of a dataclass's value, or the first of those in `only`, with what is wrong with it."""
    for name, declared in flags_of(part):
        value = getattr(part, name)
        if not only or name in only:
            try:
                wrong = declared.check(value)
            except TypeError:  # of a plan's file that somebody has changed
                wrong = f"is a {type(value).__name__}, not of the kind that this flag takes"
            if wrong:
                shown = " ".join(str(value).split())
                raise UsageError(f"{declared.option} {shown[:60]}{'…' if len(shown) > 60 else ''}: {wrong}")


def words_of(part: Any) -> Iterator[tuple[Words, str]]:
    """What the values of a dataclass's fields say in the printed plan."""
    for name, declared in flags_of(part):
        if declared.words:
            text = declared.words.text(getattr(part, name), part)
            if text:
                yield declared.words, text


def at_least(least: float) -> Check:
    """A number that is not below `least`."""
    return lambda value: "" if value >= least else f"must be at least {least}"


def finite(then: Check, otherwise: str) -> Check:
    """A finite number of which `then` finds nothing wrong."""
    return lambda value: then(value) if math.isfinite(value) else otherwise


def one_of(known: Callable[[], Iterable[str]]) -> Check:
    """One of the names that are known when it is asked."""

    def wrong(name: str) -> str:
        names = list(known())
        return "" if name in names else f"unknown; {near(name, names)}"

    return wrong


def member_of(known: Callable[[], Iterable[str]]) -> Check:
    """One of a family's names, or of the user's own members."""
    wrong = one_of(known)
    return lambda name: f"{said}; one of your own comes with --members FILE" if (said := wrong(name)) else ""
