"""The parameters of a question, as a static tree: numbers in ranges, and choices whose options bring parameters of their own.

Optuna's define-by-run function, a sampler's encoding, TensorBoard's HParams domains, the columns of the Arrow tables and
every range check are generated from one declaration.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeGuard

from sweep.errors import UsageError, near

Value: TypeAlias = str | float | int | bool | None
Settings: TypeAlias = dict[str, Value]
"""Values by name: what a trial is asked to do, recorded as JSON and read again with every value of the type it had."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")  # of a setting: a field of a dataclass, and part of a column's name


def plain(value: object) -> object:
    """A number of NumPy's as Python's own; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


@dataclass(frozen=True)
class Float:
    """A real parameter in [low, high], searched on a log scale if `log`."""

    name: str
    low: float
    high: float
    log: bool = False
    help: str = ""

    def __post_init__(self) -> None:
        _check_range(self)

    def suggest(self, trial: Suggests) -> float:
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def check(self, value: object) -> float:
        number = _number(self.name, value)
        if not self.low <= number <= self.high:
            raise UsageError(f"parameter {self.name!r}: {value} is outside [{self.low:g}, {self.high:g}]")
        return number


@dataclass(frozen=True)
class Int:
    """A whole-number parameter in [low, high], searched on a log scale if `log`."""

    name: str
    low: int
    high: int
    log: bool = False
    help: str = ""

    def __post_init__(self) -> None:
        _check_range(self)
        for end in ("low", "high"):
            bound = getattr(self, end)
            if bound != int(bound):
                raise UsageError(f"parameter {self.name!r}: {end} {bound} is not a whole number; make it a Float")
            if not -(2**63) <= bound < 2**63:
                raise UsageError(
                    f"parameter {self.name!r}: {end} {bound} is beyond what a column of whole numbers holds"
                )
            object.__setattr__(self, end, int(bound))

    def suggest(self, trial: Suggests) -> int:
        return trial.suggest_int(self.name, self.low, self.high, log=self.log)

    def check(self, value: object) -> int:
        number = _number(self.name, value)
        if number != int(number):
            raise UsageError(f"parameter {self.name!r}: {value} is not a whole number")
        if not self.low <= number <= self.high:
            raise UsageError(f"parameter {self.name!r}: {value} is outside [{self.low}, {self.high}]")
        return int(number)


@dataclass(frozen=True)
class Choice:
    """One of several options; an option may bring parameters of its own that exist only under it."""

    name: str
    options: Mapping[Any, tuple[Parameter, ...]] | tuple[Value, ...]  # keys are Values, of any one type
    help: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        if isinstance(self.options, str) or not isinstance(self.options, Iterable):
            raise UsageError(
                f"parameter {self.name!r}: options {self.options!r} are no list; write ({self.options!r},)"
            )
        given = [plain(option) for option in self.options]
        if not given:
            raise UsageError(f"parameter {self.name!r} has no options")
        for i, option in enumerate(given):
            _check_value(f"parameter {self.name!r}, option {i}", option)
            for other in given[:i]:
                if option == other or word(option) == word(other):
                    raise UsageError(
                        f"parameter {self.name!r}: options {other!r} and {option!r} are equal; leave one of them out"
                    )
        children = list(self.options.values()) if isinstance(self.options, Mapping) else [()] * len(given)
        object.__setattr__(self, "options", {o: tuple(c) for o, c in zip(given, children, strict=True)})

    @property
    def branches(self) -> Mapping[Value, tuple[Parameter, ...]]:
        assert isinstance(self.options, Mapping)  # made so in __post_init__
        return self.options

    def suggest(self, trial: Suggests) -> Value:
        return trial.suggest_categorical(self.name, list(self.branches))

    def check(self, value: object) -> Value:
        """The option that `value` is: itself, an equal number, or the word for it that a command line has."""
        value = plain(value)
        for option in self.branches:
            if type(option) is type(value) and option == value:
                return option
        for option in self.branches:
            if _is_number(option) and _is_number(value) and option == value:
                return option
        for option in self.branches:
            if isinstance(value, str | bool) and word(value) in (word(option), json.dumps(option)):
                return option
        raise UsageError(
            f"parameter {self.name!r}: {value!r} is not an option; {near(str(value), map(word, self.branches))}"
        )


Parameter: TypeAlias = Float | Int | Choice


class Suggests(Protocol):
    """What `suggest` needs of an Optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = ...) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = ...) -> int: ...
    def suggest_categorical(self, name: str, choices: list[Any]) -> Any: ...


def kind(parameter: Parameter) -> str:
    """What a parameter's values are: ``real``, ``whole``, ``numbers`` or ``words`` to choose from."""
    if isinstance(parameter, Choice):
        return "numbers" if all(map(_is_number, parameter.branches)) else "words"
    return "real" if isinstance(parameter, Float) else "whole"


def word(value: object) -> str:
    """An option as a word: what a command line, a table's cell and a legend have of it."""
    return str(value)


def cell(parameter: Parameter, value: Value) -> float | str | None:
    """A value as a table's column has it: a number, or a word where the options are not all numbers."""
    return word(value) if kind(parameter) == "words" else value


def walk(parameters: Sequence[Parameter]) -> Iterator[Parameter]:
    """Every parameter of a tree, conditional ones included, in order of declaration."""
    for parameter in parameters:
        yield parameter
        if isinstance(parameter, Choice):
            for children in parameter.branches.values():
                yield from walk(children)


def suggest(parameters: Sequence[Parameter], trial: Suggests) -> Settings:
    """Optuna's define-by-run function: a value for every parameter that is active."""
    settings: Settings = {}
    for parameter in parameters:
        settings[parameter.name] = value = parameter.suggest(trial)
        if isinstance(parameter, Choice):
            settings |= suggest(parameter.branches[value], trial)
    return settings


def check(parameters: Sequence[Parameter], settings: Mapping[str, object]) -> Settings:
    """The active parameters of `settings`, each in range and of its kind. UsageError where one is missing or out of range."""
    checked: Settings = {}
    for parameter in parameters:
        if parameter.name not in settings:
            raise UsageError(f"parameter {parameter.name!r} is missing")
        checked[parameter.name] = value = parameter.check(settings[parameter.name])
        if isinstance(parameter, Choice):
            checked |= check(parameter.branches[value], settings)
    return checked


def pin(parameters: tuple[Parameter, ...], pins: Mapping[str, object]) -> tuple[Parameter, ...]:
    """The tree with these parameters held at one value each."""
    pinned: list[Parameter] = []
    for parameter in parameters:
        value = parameter.check(pins[parameter.name]) if parameter.name in pins else None
        if isinstance(parameter, Choice):
            branches = {o: pin(c, pins) for o, c in parameter.branches.items() if value is None or o == value}
            pinned.append(dataclasses.replace(parameter, options=branches))
        elif value is None:
            pinned.append(parameter)
        else:
            pinned.append(dataclasses.replace(parameter, low=value, high=value))  # type: ignore[arg-type]
    return tuple(pinned)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"parameter {name!r}: a name is of letters, digits and '_', at most 60, and begins with no digit"
        )


def plain_settings(where: str, settings: Mapping[str, object]) -> Settings:
    """Settings that are held, as Python's own values. UsageError for a name or a value that a record cannot keep as it is."""
    if not isinstance(settings, Mapping):
        raise UsageError(f"{where}: settings {settings!r} are no mapping of names to values")
    held: Settings = {}
    for name, value in settings.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(f"{where}: {name!r} is no name of a setting")
        _check_value(f"{where}, setting {name!r}", plain(value))
        held[name] = plain(value)  # type: ignore[assignment]  # checked
    return held


def _check_value(where: str, value: object) -> None:
    """UsageError for a value that a record cannot keep as it is."""
    if not (value is None or isinstance(value, str | bool | int | float)):
        raise UsageError(
            f"{where}: {value!r} is a {type(value).__name__}; a setting is a number, a word, a bool or None"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}: {value} is not finite")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool):
        raise UsageError(f"parameter {name!r}: {value!r} is not a number")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(f"parameter {name!r}: {value!r} is not a number") from None
    if not math.isfinite(number):
        raise UsageError(f"parameter {name!r}: {value} is not finite")
    return number


def _check_range(parameter: Float | Int) -> None:
    _check_name(parameter.name)
    low, high = plain(parameter.low), plain(parameter.high)
    if not (_is_number(low) and _is_number(high) and math.isfinite(low) and math.isfinite(high) and low <= high):
        raise UsageError(f"parameter {parameter.name!r}: range [{low!r}, {high!r}] is empty, or not of finite numbers")
    object.__setattr__(parameter, "low", low)
    object.__setattr__(parameter, "high", high)
    if parameter.log and low <= 0:
        raise UsageError(f"parameter {parameter.name!r}: a log scale needs a lower bound above 0, not {low}")
