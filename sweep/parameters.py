"""The parameters of a question, as a static tree: numbers in ranges, and choices whose options bring parameters of their own.

Optuna's define-by-run function, a sampler's encoding, TensorBoard's HParams domains, the columns of the Arrow tables and
every range check are generated from one declaration.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sweep.errors import UsageError, near

Value: TypeAlias = str | float | int | bool
Settings: TypeAlias = dict[str, Value]


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
        if not isinstance(self.options, Mapping):
            object.__setattr__(self, "options", dict.fromkeys(self.options, ()))
        if not self.options:
            raise UsageError(f"parameter {self.name!r} has no options")

    @property
    def branches(self) -> Mapping[Value, tuple[Parameter, ...]]:
        assert isinstance(self.options, Mapping)  # made so in __post_init__
        return self.options

    def suggest(self, trial: Suggests) -> Value:
        return trial.suggest_categorical(self.name, list(self.branches))

    def check(self, value: object) -> Value:
        for option in self.branches:
            if value == option or str(value) == str(option):
                return option
        raise UsageError(
            f"parameter {self.name!r}: {value!r} is not an option; {near(str(value), map(str, self.branches))}"
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
        numeric = all(isinstance(o, int | float) and not isinstance(o, bool) for o in parameter.branches)
        return "numbers" if numeric else "words"
    return "real" if isinstance(parameter, Float) else "whole"


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


def _number(name: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(f"parameter {name!r}: {value!r} is not a number") from None
    if not math.isfinite(number):
        raise UsageError(f"parameter {name!r}: {value} is not finite")
    return number


def _check_range(parameter: Float | Int) -> None:
    low, high = parameter.low, parameter.high
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise UsageError(f"parameter {parameter.name!r}: range [{low}, {high}] is empty or not finite")
    if parameter.log and low <= 0:
        raise UsageError(f"parameter {parameter.name!r}: a log scale needs a lower bound above 0, not {low}")
