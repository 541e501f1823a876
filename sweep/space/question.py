"""The vocabulary a question is written in.

A `SearchSpace` is a static tree of parameters with the objectives and constraints that turn it into a question. It imports
neither torch, ray nor optuna: whatever asks it in their words is generated from this one declaration.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.errors import UsageError, near
from sweep.space.constraints import Constraint, Objective, named
from sweep.space.parameters import (
    Choice,
    Float,
    Int,
    Parameter,
    Settings,
    Suggests,
    Value,
    check,
    kind,
    pin,
    plain,
    plain_settings,
    suggest,
    walk,
)
from sweep.space.presets import Preset
from sweep.space.shared import check_shared, still_shared

__all__ = [
    "CONTROL", "METHOD", "Arm", "Attack", "Choice", "Constraint", "Float", "Int", "Objective", "Parameter", "Preset",
    "SearchSpace", "Settings", "Value", "kind", "stratified",
]  # fmt: skip

METHOD = "method"  # the name under which ``--fix`` chooses among arms; no setting is called so
DEFAULT_PROCEDURE = "relearning"  # the kind of trial that a question asks of: a room of sweep
CONTROL = "control"  # the arm of what trials are held against, which is run like any and searched by nobody
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")  # it becomes part of files' names


@dataclass(frozen=True)
class Arm:
    """One family of trials with its own sampler and its own share of the trials: the question's method, or a baseline.

    `method` names a file of `trainables/unlearning/`; the parameters are that method's settings. An arm that names an
    `attack`, a file of `trainables/attacks/`, searches the attacker instead: the parameters are the attack's settings, and
    the method's are `held` at these values. What else is `held`, a procedure says.
    """

    name: str
    method: str
    parameters: tuple[Parameter, ...]
    baseline: bool = False
    start_points: tuple[Settings, ...] = ()
    attack: str = ""
    held: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name == CONTROL:
            raise UsageError(f"arm {self.name!r}: a name is of letters, digits, '.', '_' and '-', and not {CONTROL!r}")
        for name, types in (("parameters", (Float, Int, Choice)), ("start_points", (Mapping,))):
            object.__setattr__(self, name, _parts(f"arm {self.name!r}", name, types, getattr(self, name)))
        names = [p.name for p in self.walk()]
        for twice in {n for n in names if names.count(n) > 1}:
            raise UsageError(f"arm {self.name!r}: parameter {twice!r} is declared twice")
        if METHOD in names:
            raise UsageError(
                f"arm {self.name!r}: {METHOD!r} is no setting of a method; make one arm an option by stratified()"
            )
        for point in self.start_points:
            self.check(point)
        object.__setattr__(self, "held", plain_settings(f"arm {self.name!r}", self.held))

    def walk(self) -> Iterator[Parameter]:
        """Every parameter of the tree, conditional ones included, in order of declaration."""
        yield from walk(self.parameters)

    def suggest(self, trial: Suggests) -> Settings:
        """Optuna's define-by-run function: a value for every parameter that is active."""
        return suggest(self.parameters, trial)

    def check(self, settings: Mapping[str, object]) -> Settings:
        """`settings` with every active parameter present, known and in range; raises UsageError otherwise."""
        checked = check(self.parameters, settings)
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
class Attack:
    """One attack of a suite: a file of `trainables/attacks/` with its settings.

    Only attacks that `counts` enter `robustness`; the others (whose data hold what was forgotten) are reported as excess
    over the retrain control.
    """

    name: str
    method: str
    settings: Mapping[str, Value]
    counts: bool = True

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"attack {self.name!r}: a name is of letters, digits, '.', '_' and '-'")
        object.__setattr__(self, "settings", plain_settings(f"attack {self.name!r}", self.settings))


@dataclass(frozen=True)
class SearchSpace:
    """A question: arms of parameters, objectives, constraints, attacks, and the rungs every attack is scored at.

    What a sweep of it is about and spends unless told otherwise is said here too: `data` and what to `forget` of it (empty: what
    is usual of those data, mostly the 3), `trials`
    of all arms but baselines together, those of the baselines as a share of that, how many members of each arm are
    confirmed, and how many neighbours of its front that noise may have kept off it. `shared` names parameters that act much
    alike in whatever arm has them: a sampler that can learns of all arms together. `presets` are the same question at other sizes.
    """

    name: str
    question: str
    arms: tuple[Arm, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    search_attacks: tuple[Attack, ...] = ()
    confirm_attacks: tuple[Attack, ...] = ()
    rungs: tuple[int, ...] = ()
    references: tuple[str, ...] = field(default=())
    data: str = "digits"
    forget: str = ""
    trials: int = 16
    baseline_share: float = 0.5
    confirm_members: int = 3
    confirm_neighbours: int = 1
    procedure: str = DEFAULT_PROCEDURE
    shared: tuple[str, ...] = ()
    presets: tuple[Preset, ...] = ()

    def __post_init__(self) -> None:
        for name, part_type in _PARTS.items():
            where = f"space {self.name!r}"
            object.__setattr__(self, name, _parts(where, name, (part_type,), getattr(self, name)))
        if not self.arms or self.arms[0].baseline:
            raise UsageError(f"space {self.name!r}: the first arm must be the question's own method, not a baseline")
        names = [arm.name for arm in self.arms]
        for twice in {n for n in names if names.count(n) > 1}:
            raise UsageError(f"space {self.name!r}: two arms are called {twice!r}")
        self._check_columns()
        check_shared(self.name, [arm.parameters for arm in self.arms], self.shared)
        self._check_numbers()
        metrics = [objective.metric for objective in self.objectives]
        for twice in {m for m in metrics if metrics.count(m) > 1}:
            raise UsageError(f"space {self.name!r}: {twice!r} is an objective twice; leave one of them out")
        object.__setattr__(self, "constraints", tuple(named(self.name, self.constraints)))
        object.__setattr__(self, "rungs", _steps(self.name, self.rungs))
        for attacks in (self.search_attacks, self.confirm_attacks):
            names = [a.name for a in attacks]
            if len(set(names)) < len(names) or (attacks and not any(a.counts for a in attacks)):
                raise UsageError(
                    f"space {self.name!r}: a suite needs distinct names and an attack that counts; it has {names}"
                )

    def arm(self, name: str) -> Arm:
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise UsageError(f"space {self.name!r} has no arm {name!r}; {near(name, (a.name for a in self.arms))}")

    def preset(self, name: str) -> SearchSpace:
        """The question as a preset asks it; as it is for an empty name. UsageError where it has none such, or that fits nothing."""
        return self._with_parts(self.preset_named(name)) if name else self

    def preset_named(self, name: str) -> Preset:
        """UsageError where the question has no preset of the name."""
        for preset in self.presets:
            if preset.name == name:
                return preset
        if not self.presets:
            raise UsageError(f"--preset {name}: space {self.name!r} has no presets; leave it out")
        known = near(name, (p.name for p in self.presets))
        raise UsageError(f"--preset {name}: space {self.name!r} has no such preset; {known}")

    def _with_parts(self, preset: Preset) -> SearchSpace:
        fields = {f.name for f in dataclasses.fields(self)} - {"name", "presets", "procedure"}
        for name in preset.parts:
            if name not in fields:
                raise UsageError(
                    f"space {self.name!r}, preset {preset.name!r}: {name!r} is no part of a question that it may change"
                )
        arms = preset.parts.get("arms", self.arms)
        shared = still_shared([arm.parameters for arm in arms], self.shared)
        return dataclasses.replace(self, **{"shared": shared, **preset.parts})

    def bounded(self, bounds: Mapping[str, float]) -> SearchSpace:
        """The same question with numbers for bounds that are words: ``{"budget": 4.87}``, as ``prepared.json`` has it."""
        return dataclasses.replace(self, constraints=tuple(c.bounded(bounds) for c in self.constraints))

    def _check_numbers(self) -> None:
        """UsageError for a number of trials or members that makes no sense."""
        whole = {"trials": 1, "confirm_members": 1, "confirm_neighbours": 0}
        for name, least in whole.items():
            value = plain(getattr(self, name))
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"space {self.name!r}: {name} {value!r} must be a whole number of at least {least}")
            object.__setattr__(self, name, value)
        share = plain(self.baseline_share)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < math.inf:
            raise UsageError(f"space {self.name!r}: baseline_share {share!r} must be a number of at least 0")

    def _check_columns(self) -> None:
        """UsageError where two parameters would be one column: of two kinds, or, to a reader that folds case, of one name."""
        known: dict[str, str] = {}
        for name in self.parameters():
            other = known.setdefault(name.lower(), name)
            if other != name:
                raise UsageError(
                    f"space {self.name!r}: parameters {other!r} and {name!r} differ in case alone; rename one"
                )

    def parameters(self) -> dict[str, Parameter]:
        """Every parameter of every arm by name; a name that two arms share must be of one kind: it is one column."""
        parameters_by_name: dict[str, Parameter] = {}
        for arm in self.arms:
            for parameter in arm.walk():
                other = parameters_by_name.setdefault(parameter.name, parameter)
                if kind(other) != kind(parameter):
                    raise UsageError(
                        f"space {self.name!r}: parameter {parameter.name!r} is of two kinds in two arms, "
                        f"{kind(other)} and {kind(parameter)}"
                    )
                if isinstance(other, Choice) and isinstance(parameter, Choice):
                    merged = dict(other.branches) | dict(parameter.branches)
                    parameters_by_name[parameter.name] = Choice(other.name, merged, other.help)
        return parameters_by_name

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
                parameters=pin(a.parameters, pins),
                start_points=tuple(_repin(a, point, pins) for point in a.start_points),
            )
            for a in self.arms
        )
        return dataclasses.replace(self, arms=arms, shared=still_shared([a.parameters for a in arms], self.shared))

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
        shared = still_shared([a.parameters for a in arms], self.shared)
        return dataclasses.replace(self, arms=arms, shared=shared, trials=max(kept, self.trials * kept // all_of_them))

    def fingerprint(self) -> str:
        """A hash of the whole declaration: two runs answer the same question only where it agrees.

        What it is asked about and how it is searched, by how many trials that share what, are a plan's business and not in it.
        """
        facts = dataclasses.asdict(self)
        for planned in (
            "data",
            "forget",
            "trials",
            "baseline_share",
            "confirm_members",
            "confirm_neighbours",
            "shared",
            "presets",
        ):
            del facts[planned]
        for arm in facts["arms"]:
            if not arm["attack"]:  # as when no arm could search an attack, or hold what it does not search
                del arm["attack"]
                if not arm["held"]:
                    del arm["held"]
        if self.procedure == DEFAULT_PROCEDURE:  # as when there was no other
            del facts["procedure"]
        for constraint in facts["constraints"]:
            del constraint["name"], constraint["bound"]  # they follow from the others
        return hashlib.sha256(json.dumps(_sortable(facts), sort_keys=True, default=str).encode()).hexdigest()[:16]


_PARTS: dict[str, type] = {
    "arms": Arm, "objectives": Objective, "constraints": Constraint, "search_attacks": Attack, "confirm_attacks": Attack,
    "shared": str, "presets": Preset,
}  # fmt: skip


def _parts(where: str, name: str, types: tuple[type, ...], given: object) -> tuple[Any, ...]:
    """The parts of a declaration as a tuple; one alone needs no comma. UsageError for anything else."""
    named = " or ".join(one.__name__ for one in types)
    if isinstance(given, types):
        return (given,)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UsageError(f"{where}: {name} is {given!r}; write a tuple of {named}, () for none")
    parts = tuple(given)
    for part in parts:
        if not isinstance(part, types):
            raise UsageError(f"{where}: {name} has {part!r} in it; each is to be {named}")
    return parts


def _steps(space: str, rungs: Iterable[object]) -> tuple[int, ...]:
    """The rungs as whole numbers that rise from 0; empty of a question that has none."""
    steps = [plain(rung) for rung in rungs]
    if not steps:
        return ()
    whole = [step for step in steps if isinstance(step, int) and not isinstance(step, bool)]
    if whole != steps or whole != sorted(set(whole)) or len(whole) < 2 or whole[0] != 0:
        raise UsageError(f"space {space!r}: rungs {steps} must be whole numbers that rise from 0, at least two of them")
    return tuple(whole)


def _sortable(value: object) -> object:
    """The same with every mapping whose keys cannot be sorted, options of several types, as a list of pairs."""
    if isinstance(value, list | tuple):
        return [_sortable(item) for item in value]
    if not isinstance(value, dict):
        return value
    pairs = [(key, _sortable(item)) for key, item in value.items()]
    if all(isinstance(key, str) for key in value) or all(isinstance(key, int | float) for key in value):
        return dict(pairs)
    return [[json.dumps(key), item] for key, item in pairs]


def _repin(arm: Arm, point: Settings, pins: Mapping[str, object]) -> Settings:
    names = {p.name: p for p in arm.walk()}
    return point | {n: names[n].check(v) for n, v in pins.items() if n in point}


def excesses(space: SearchSpace, figures: Mapping[str, Any]) -> dict[str, float]:
    """How far each constraint whose figure is known is violated, by name and in units of its bound; ≤ 0 holds."""
    known = [c for c in space.constraints if figures.get(c.metric) is not None]
    return {c.name: c.violation(figures[c.metric]) for c in known}


def feasible(space: SearchSpace, figures: Mapping[str, Any]) -> bool | None:
    """Whether every constraint holds whose figure is known; None of a trial that was not scored.

    A trial is scored once it has a figure that the question constrains or, where it constrains none, one of its objectives.
    """
    over = excesses(space, figures)
    scored = over if space.constraints else [o for o in space.objectives if figures.get(o.metric) is not None]
    return all(excess <= 0 for excess in over.values()) if scored else None
