"""Points of a tree of parameters: drawn, moved a little, and as vectors in the unit cube."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from sweep.space import Choice, Float, Int, Parameter, Settings, Value

INACTIVE = 0.5  # where a conditional parameter does not exist: the middle, beside a column that says so


def drawn(parameters: tuple[Parameter, ...], rng: np.random.Generator) -> Settings:
    """Settings drawn uniformly on each parameter's own scale."""
    return _filled(parameters, {}, rng)


def moved(parameters: tuple[Parameter, ...], settings: Settings, rng: np.random.Generator, step: float) -> Settings:
    """Settings near `settings`: each number moves with probability 1/2 by a normal `step` in its unit interval.

    Each choice changes with probability min(step, .3); what then comes to exist is drawn.
    """
    near: Settings = {}
    for parameter in _all(parameters):
        if parameter.name not in settings:
            continue
        value = settings[parameter.name]
        if isinstance(parameter, Choice):
            options = list(parameter.branches)
            near[parameter.name] = options[rng.integers(len(options))] if rng.random() < min(step, 0.3) else value
        elif rng.random() < 0.5:
            unit = to_unit(parameter, float(value)) + step * rng.standard_normal()
            near[parameter.name] = from_unit(parameter, float(np.clip(unit, 0, 1)))
        else:
            near[parameter.name] = value
    return _filled(parameters, near, rng)


class Encoding:
    """Settings as vectors: one column a number, in [0, 1] on its own scale; one column an option; one column for
    whether a conditional parameter exists."""

    def __init__(self, parameters: tuple[Parameter, ...]) -> None:
        top = {p.name for p in parameters}
        self._columns: list[tuple[Parameter, Value | None]] = []
        self.names: list[str] = []
        self.smooth: list[bool] = []  # whether a column is a number, and not whether something is so
        for parameter in _all(parameters):
            if isinstance(parameter, Choice):
                self._add(
                    [(parameter, o) for o in parameter.branches], [f"{parameter.name}={o}" for o in parameter.branches]
                )
            else:
                self._add([(parameter, None)], [parameter.name])
                self.smooth[-1] = True
                if parameter.name not in top:
                    self._add([(parameter, "")], [f"has {parameter.name}"])

    def _add(self, columns: list, names: list[str]) -> None:
        self._columns += columns
        self.names += names
        self.smooth += [False] * len(columns)

    def vector(self, settings: Settings) -> np.ndarray:
        found = np.empty(len(self._columns))
        for i, (parameter, option) in enumerate(self._columns):
            value = settings.get(parameter.name)
            if isinstance(parameter, Choice):
                found[i] = float(value == option and value is not None)
            elif option is not None:
                found[i] = float(value is not None)
            else:
                found[i] = INACTIVE if value is None else to_unit(parameter, float(value))
        return found


def to_unit(parameter: Float | Int, value: float) -> float:
    """A value's place in [0, 1] on its parameter's scale."""
    low, high = parameter.low, parameter.high
    if high == low:
        return INACTIVE
    if parameter.log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def from_unit(parameter: Float | Int, unit: float) -> float | int:
    """The value at a place in [0, 1] of its parameter's scale; whole numbers are rounded."""
    low, high = parameter.low, parameter.high
    value = (
        math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
        if parameter.log
        else low + unit * (high - low)
    )
    value = min(max(value, low), high)
    return min(max(round(value), parameter.low), parameter.high) if isinstance(parameter, Int) else value


def _filled(parameters: tuple[Parameter, ...], known: Settings, rng: np.random.Generator) -> Settings:
    """`known` where it says something, else drawn; parameters of branches not taken are left out."""
    settings: Settings = {}
    for parameter in parameters:
        if isinstance(parameter, Choice):
            options = list(parameter.branches)
            value = known[parameter.name] if parameter.name in known else options[rng.integers(len(options))]
            settings[parameter.name] = value
            settings |= _filled(parameter.branches[value], known, rng)
        elif parameter.name in known:
            settings[parameter.name] = known[parameter.name]
        else:
            settings[parameter.name] = from_unit(parameter, float(rng.random()))
    return settings


def _all(parameters: tuple[Parameter, ...]) -> Iterator[Parameter]:
    for parameter in parameters:
        yield parameter
        if isinstance(parameter, Choice):
            for children in parameter.branches.values():
                yield from _all(children)
