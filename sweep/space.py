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
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from sweep.errors import UsageError, near

Value: TypeAlias = str | float | int | bool
Settings: TypeAlias = dict[str, Value]

METHOD = "method"  # the name under which ``--fix`` chooses among arms; no setting is called so
CONTROL = "control"  # the arm of θ₀ and θ*, which are attacked like any trial and searched by nobody
_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")  # it becomes part of files' names


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


@dataclass(frozen=True)
class Arm:
    """One family of trials with its own sampler and its own share of the trials: the question's method, or a baseline.

    `method` names a file of `trainables/unlearning/`; the parameters are that method's settings. An arm that names an
    `attack`, a file of `trainables/attacks/`, searches the attacker instead: the parameters are the attack's settings, and
    the method's are `held` at these values.
    """

    name: str
    method: str
    parameters: tuple[Parameter, ...]
    baseline: bool = False
    start_points: tuple[Settings, ...] = ()
    attack: str = ""
    held: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _ARM_NAME.fullmatch(self.name) or self.name == CONTROL:
            raise UsageError(f"arm {self.name!r}: a name is of letters, digits, '.', '_' and '-', and not {CONTROL!r}")
        names = [p.name for p in self.walk()]
        for twice in {n for n in names if names.count(n) > 1}:
            raise UsageError(f"arm {self.name!r}: parameter {twice!r} is declared twice")
        if METHOD in names:
            raise UsageError(
                f"arm {self.name!r}: {METHOD!r} is no setting of a method; make one arm an option by stratified()"
            )
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


def stratified(
    choice: Choice, start_points: Mapping[str, Sequence[Settings]] | None = None, baseline: bool = False
) -> tuple[Arm, ...]:
    """One arm an option of `choice`, whose options are methods, each with the settings that exist under it.

    The choice is a categorical parameter like any other, but it is not left to one sampler. A sampler spends its trials
    where the last ones did well: it would drop a method after two unlucky settings, and a method that was dropped early
    was not found worse, it was searched less. Stratified, every option has a sampler and a study of its own and the same
    number of trials, so methods are compared each at its best and at equal search effort. `start_points` are by option.
    None of the arms is a baseline unless all are.
    """
    points = start_points or {}
    if unknown := set(points) - {str(option) for option in choice.branches}:
        raise UsageError(
            f"parameter {choice.name!r}: start points of {', '.join(sorted(unknown))}, which is none of its options"
        )
    return tuple(
        Arm(_arm_name(str(option)), str(option), settings, baseline, tuple(points.get(str(option), ())))
        for option, settings in choice.branches.items()
    )


def _arm_name(method: str) -> str:
    """``meta-dimum`` for ``meta(dimum)``: a method's name as part of a file's."""
    return method.replace("(", "-").replace(")", "")


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
    """A question: arms of parameters, objectives, constraints, attacks, and the rungs every attack is scored at.

    What a sweep of it is about and spends unless told otherwise is said here too: `data` and what to `forget` of it, `trials`
    of all arms but baselines together, those of the baselines as a share of that, and how many members of each arm are
    confirmed.
    """

    name: str
    question: str
    arms: tuple[Arm, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    search_attacks: tuple[Attack, ...]
    confirm_attacks: tuple[Attack, ...]
    rungs: tuple[int, ...]
    references: tuple[str, ...] = field(default=())
    data: str = "digits"
    forget: str = "3"
    trials: int = 16
    baseline_share: float = 0.5
    confirm_members: int = 3

    def __post_init__(self) -> None:
        if not self.arms or self.arms[0].baseline:
            raise UsageError(f"space {self.name!r}: the first arm must be the question's own method, not a baseline")
        names = [arm.name for arm in self.arms]
        for twice in {n for n in names if names.count(n) > 1}:
            raise UsageError(f"space {self.name!r}: two arms are called {twice!r}")
        self.parameters()  # refuses a name that means two things
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
        """Every parameter of every arm by name; a name that two arms share must be of one kind: it is one column."""
        found: dict[str, Parameter] = {}
        for arm in self.arms:
            for parameter in arm.walk():
                other = found.setdefault(parameter.name, parameter)
                if kind(other) != kind(parameter):
                    raise UsageError(
                        f"space {self.name!r}: parameter {parameter.name!r} is of two kinds in two arms, "
                        f"{kind(other)} and {kind(parameter)}"
                    )
                if isinstance(other, Choice) and isinstance(parameter, Choice):
                    merged = dict(other.branches) | dict(parameter.branches)
                    found[parameter.name] = Choice(other.name, merged, other.help)
        return found

    def fix(self, pins: Mapping[str, object]) -> SearchSpace:
        """The same question with some parameters held at one value, in every arm that has them.

        ``method`` holds the question to some of its arms, named by method or arm (several with commas between them); its
        trials become those arms' part of them.
        """
        if METHOD in pins:
            return self._only(str(pins[METHOD])).fix({k: v for k, v in pins.items() if k != METHOD})
        for name, value in pins.items():
            holders = [a for a in self.arms if name in {p.name for p in a.walk()}]
            if not holders:
                raise UsageError(f"--fix {name}={value}: no such parameter; {near(name, [METHOD, *self.parameters()])}")
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

    def _only(self, listed: str) -> SearchSpace:
        """The question with only the listed arms, and these arms' part of its trials."""
        wanted = [name.strip() for name in listed.split(",")]
        known = [name for a in self.arms for name in dict.fromkeys((a.method, a.name))]
        for name in wanted:
            if name not in known:
                raise UsageError(f"--fix {METHOD}={listed}: no arm of method {name!r}; {near(name, known)}")
        arms = tuple(a for a in self.arms if a.method in wanted or a.name in wanted)
        if all(a.baseline for a in arms):
            raise UsageError(f"--fix {METHOD}={listed}: only baselines are left; name an arm of the question's own too")
        kept, all_of_them = (sum(not a.baseline for a in some) for some in (arms, self.arms))
        return dataclasses.replace(self, arms=arms, trials=max(kept, self.trials * kept // all_of_them))

    def fingerprint(self) -> str:
        """A hash of the whole declaration: two runs answer the same question only where it agrees.

        What it is asked about and how many trials are spent on it are a plan's business and not in it.
        """
        told = dataclasses.asdict(self)
        for planned in ("data", "forget", "trials", "baseline_share", "confirm_members"):
            del told[planned]
        for arm in told["arms"]:
            if not arm["attack"]:  # as when no arm could search an attack
                del arm["attack"], arm["held"]
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def kind(parameter: Parameter) -> str:
    """What a parameter's values are: ``real``, ``whole``, ``numbers`` or ``words`` to choose from."""
    if isinstance(parameter, Choice):
        numeric = all(isinstance(o, int | float) and not isinstance(o, bool) for o in parameter.branches)
        return "numbers" if numeric else "words"
    return "real" if isinstance(parameter, Float) else "whole"


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
