"""The vocabulary a question is written in.

A `SearchSpace` is a static tree of parameters with the objectives, constraints, attacks and rungs that turn it into a
question. It imports neither torch, ray nor optuna: Optuna's define-by-run function, TensorBoard's HParams domains, the
columns of the Arrow tables and every range check are generated from this one declaration.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
    options: Mapping[Value, tuple[Parameter, ...]] | tuple[Value, ...]
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


@dataclass(frozen=True)
class Arm:
    """One family of trials with its own sampler and its own share of the trials: the question's method, or a baseline.

    `method` names a file of `trainables/unlearning/`; the parameters are that method's settings.
    """

    name: str
    method: str
    parameters: tuple[Parameter, ...]
    baseline: bool = False
    start_points: tuple[Settings, ...] = ()

    def __post_init__(self) -> None:
        names = [p.name for p in self.walk()]
        for twice in {n for n in names if names.count(n) > 1}:
            raise UsageError(f"arm {self.name!r}: parameter {twice!r} is declared twice")
        for point in self.start_points:
            self.check(point)

    def walk(self) -> Iterator[Parameter]:
        """Every parameter of the tree, conditional ones included, in order of declaration."""
        yield from _walk(self.parameters)

    def suggest(self, trial: Suggests) -> Settings:
        """Optuna's define-by-run function: a value for every parameter that is active."""
        return _suggest(self.parameters, trial)

    def check(self, settings: Mapping[str, object]) -> Settings:
        """`settings` with every active parameter present, known and in range; raises UsageError otherwise."""
        checked = _check(self.parameters, settings)
        for name in settings:
            if name not in checked:
                raise UsageError(
                    f"arm {self.name!r} has no active parameter {name!r}; {near(name, (p.name for p in self.walk()))}"
                )
        return checked


@dataclass(frozen=True)
class Objective:
    """A figure of a trial to push one way; `direction` is ``maximise`` or ``minimise``."""

    metric: str
    direction: str

    def __post_init__(self) -> None:
        if self.direction not in ("maximise", "minimise"):
            raise UsageError(
                f"objective {self.metric!r}: direction {self.direction!r} is neither 'maximise' nor 'minimise'"
            )


@dataclass(frozen=True)
class Constraint:
    """A figure of a trial that must stay on one side of a bound; ``"fid_budget"`` stands for the sweep's FID budget."""

    metric: str
    at_most: float | str | None = None
    at_least: float | str | None = None

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise UsageError(f"constraint {self.metric!r}: give exactly one of at_most and at_least")

    def bound(self, fid_budget: float) -> float:
        bound = self.at_most if self.at_most is not None else self.at_least
        return fid_budget if bound == "fid_budget" else float(bound)  # type: ignore[arg-type]

    def violation(self, value: float, fid_budget: float) -> float:
        """≤ 0 where the constraint holds; in units of the bound, so that violations of different figures add up."""
        bound = self.bound(fid_budget)
        excess = value - bound if self.at_most is not None else bound - value
        return excess / (abs(bound) or 1.0)


@dataclass(frozen=True)
class Attack:
    """One attack of a suite: a file of `trainables/attacks/` with its settings.

    Only attacks that `counts` enter `robustness`; the others (whose data hold what was forgotten) are reported as excess
    over the retrain control.
    """

    name: str
    method: str
    settings: Mapping[str, Value]
    counts: bool = True


@dataclass(frozen=True)
class SearchSpace:
    """A question: arms of parameters, objectives, constraints, attacks, and the rungs every attack is scored at."""

    name: str
    question: str
    arms: tuple[Arm, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    search_attacks: tuple[Attack, ...]
    confirm_attacks: tuple[Attack, ...]
    rungs: tuple[int, ...]
    references: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.arms or self.arms[0].baseline:
            raise UsageError(f"space {self.name!r}: the first arm must be the question's own method, not a baseline")
        if list(self.rungs) != sorted(set(self.rungs)) or len(self.rungs) < 2 or self.rungs[0] != 0:
            raise UsageError(f"space {self.name!r}: rungs {self.rungs} must rise from 0, with at least two of them")
        for attacks in (self.search_attacks, self.confirm_attacks):
            names = [a.name for a in attacks]
            if not any(a.counts for a in attacks) or len(set(names)) < len(names):
                raise UsageError(
                    f"space {self.name!r}: a suite needs distinct names and an attack that counts; it has {names}"
                )

    def arm(self, name: str) -> Arm:
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise UsageError(f"space {self.name!r} has no arm {name!r}; {near(name, (a.name for a in self.arms))}")

    def parameters(self) -> dict[str, Parameter]:
        """Every parameter of every arm by name; a name that two arms share must be of one kind."""
        found: dict[str, Parameter] = {}
        for arm in self.arms:
            for parameter in arm.walk():
                other = found.setdefault(parameter.name, parameter)
                if type(other) is not type(parameter):
                    raise UsageError(f"space {self.name!r}: parameter {parameter.name!r} is of two kinds in two arms")
                if isinstance(other, Choice) and isinstance(parameter, Choice):
                    merged = dict(other.branches) | dict(parameter.branches)
                    found[parameter.name] = Choice(other.name, merged, other.help)
        return found

    def fix(self, pins: Mapping[str, object]) -> SearchSpace:
        """The same question with some parameters held at one value, in every arm that has them."""
        for name, value in pins.items():
            holders = [a for a in self.arms if name in {p.name for p in a.walk()}]
            if not holders:
                raise UsageError(f"--fix {name}={value}: no such parameter; {near(name, self.parameters())}")
            for arm in holders:
                next(p for p in arm.walk() if p.name == name).check(value)
        arms = tuple(
            dataclasses.replace(
                a,
                parameters=_pin(a.parameters, pins),
                start_points=tuple(_repin(a, point, pins) for point in a.start_points),
            )
            for a in self.arms
        )
        return dataclasses.replace(self, arms=arms)

    def fingerprint(self) -> str:
        """A hash of the whole declaration: two runs answer the same question only where it agrees."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True, default=str).encode()).hexdigest()[
            :16
        ]


def _walk(parameters: tuple[Parameter, ...]) -> Iterator[Parameter]:
    for parameter in parameters:
        yield parameter
        if isinstance(parameter, Choice):
            for children in parameter.branches.values():
                yield from _walk(children)


def _suggest(parameters: tuple[Parameter, ...], trial: Suggests) -> Settings:
    settings: Settings = {}
    for parameter in parameters:
        settings[parameter.name] = value = parameter.suggest(trial)
        if isinstance(parameter, Choice):
            settings |= _suggest(parameter.branches[value], trial)
    return settings


def _check(parameters: tuple[Parameter, ...], settings: Mapping[str, object]) -> Settings:
    checked: Settings = {}
    for parameter in parameters:
        if parameter.name not in settings:
            raise UsageError(f"parameter {parameter.name!r} is missing")
        checked[parameter.name] = value = parameter.check(settings[parameter.name])
        if isinstance(parameter, Choice):
            checked |= _check(parameter.branches[value], settings)
    return checked


def _pin(parameters: tuple[Parameter, ...], pins: Mapping[str, object]) -> tuple[Parameter, ...]:
    pinned: list[Parameter] = []
    for parameter in parameters:
        value = parameter.check(pins[parameter.name]) if parameter.name in pins else None
        if isinstance(parameter, Choice):
            branches = {o: _pin(c, pins) for o, c in parameter.branches.items() if value is None or o == value}
            pinned.append(dataclasses.replace(parameter, options=branches))
        elif value is None:
            pinned.append(parameter)
        else:
            pinned.append(dataclasses.replace(parameter, low=value, high=value))  # type: ignore[arg-type]
    return tuple(pinned)


def _repin(arm: Arm, point: Settings, pins: Mapping[str, object]) -> Settings:
    names = {p.name: p for p in arm.walk()}
    return point | {n: names[n].check(v) for n, v in pins.items() if n in point}


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
