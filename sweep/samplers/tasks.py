"""The arms of a question as tasks of one model: what their shared parameters do in one is evidence in the others.

Points of all arms are laid out in one space of features: shared parameters by name, on the union of their ranges, every
arm's own parameters after them, and a direction an arm. A parameter that an arm does not have is at its middle, so that it
tells arms' trials apart by nothing but what varies in them; how alike two arms are is the length scale of their directions,
which is learned output by output (multi-task processes with a free task kernel: Bonilla, Chai and Williams, NIPS 2007; a
direction a task is its special case of rank one a task). As a direction's scale falls to 0 its arm is a process of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.samplers import Observation
from sweep.samplers.encoding import Array, Dimension, Encoding, ends
from sweep.samplers.gaussian_process import Fit
from sweep.space import Choice, Parameter

LIKENESS = 1.5  # length scale expected of an arm's direction: two arms' correlation is about .7; benchmarks/search.md


@dataclass(frozen=True)
class Told:
    """One trial of one arm, and its features in the arms' common space."""

    arm: str
    observation: Observation
    features: Array


@dataclass(frozen=True)
class _Shared:
    """A parameter that several arms have: its range on its own scale, or its options, over all of them."""

    low: float = 0.0
    high: float = 1.0
    options: tuple[object, ...] = ()

    @property
    def columns(self) -> int:
        return len(self.options) or 1

    @property
    def middle(self) -> Array:
        return np.full(self.columns, math.sqrt(0.5) / self.columns if self.options else 0.5)


class Tasks:
    """What every arm was told, by arm and number. Told by one thread; read by any."""

    def __init__(self, arms: Mapping[str, Sequence[Parameter]], shared: Collection[str]) -> None:
        """`arms` are the arms' trees; `shared` names parameters that act alike wherever they are: see `SearchSpace`."""
        self._encodings = {arm: Encoding(parameters) for arm, parameters in arms.items()}
        self._shared = {name: self._common(name) for name in shared}
        self._told: dict[tuple[str, int], Told] = {}
        self.fits: dict[str, tuple[bytes, Fit]] = {}  # of the model of all arms: whichever asks first has them made

    def encoding(self, arm: str) -> TaskEncoding:
        """One arm's points in the space of all."""
        mean_size = float(np.mean([len(encoding.varied) for encoding in self._encodings.values()]))
        return TaskEncoding(self._encodings[arm], arm, self._shared, self._layout(), mean_size)

    def tell(self, told: Told) -> None:
        # a new mapping each time: an arm's sampler may be reading the old one in its own thread
        self._told = self._told | {(told.arm, told.observation.number): told}

    def told(self) -> list[Told]:
        """In order of numbers, and of arms where these agree: the latest are last, whatever their arm."""
        told, order = self._told, {arm: i for i, arm in enumerate(self._encodings)}
        return [told[key] for key in sorted(told, key=lambda key: (key[1], order[key[0]]))]

    def _top(self, arm: str) -> dict[str, Dimension]:
        """An arm's unconditional parameters: those that can be shared."""
        return {d.parameter.name: d for d in self._encodings[arm].dimensions if d.parent is None}

    def _common(self, name: str) -> _Shared:
        """A shared parameter over all arms that have it."""
        of_arms = (self._top(arm) for arm in self._encodings)
        having = [dimensions[name].parameter for dimensions in of_arms if name in dimensions]
        options = [option for parameter in having if isinstance(parameter, Choice) for option in parameter.branches]
        if options:
            return _Shared(options=tuple(dict.fromkeys(options)))
        lows, highs = zip(*(ends(p) for p in having if not isinstance(p, Choice)), strict=True)
        return _Shared(min(lows), max(highs))

    def _layout(self) -> _Layout:
        """Where everything is: groups and columns of shared parameters, of each arm's own, of the arms' directions."""
        groups: list[int] = []
        middles: list[float] = []
        starts: dict[tuple[str, str | int], int] = {}
        group = 0

        def add(key: tuple[str, str | int], middle: Array) -> None:
            nonlocal group
            starts[key] = len(groups)
            groups.extend([group] * len(middle))
            middles.extend(middle)
            group += 1

        for name, one in self._shared.items():
            add(("", name), one.middle)
        for arm, encoding in self._encodings.items():
            for i, dimension in enumerate(encoding.dimensions):
                if not dimension.constant and not self._is_shared(dimension):
                    add((arm, i), _absent(dimension))
        parameters = group
        for arm in self._encodings:
            add(("\0arm", arm), np.zeros(1))
        return _Layout(np.array(groups, dtype=np.intp), np.array(middles), starts, parameters, group)

    def _is_shared(self, dimension: Dimension) -> bool:
        return dimension.parent is None and dimension.parameter.name in self._shared


def early(told: Sequence[Told], milestone: Callable[[int], int]) -> list[Told]:
    """The first trials of every arm, as many of them as their `milestone` says: the same whichever arm asks."""
    first = {arm: milestone(count) for arm, count in Counter(one.arm for one in told).items()}
    begun: Counter[str] = Counter()
    kept = []
    for one in told:
        begun[one.arm] += 1
        if begun[one.arm] <= first[one.arm]:
            kept.append(one)
    return kept


@dataclass(frozen=True)
class Task:
    """One arm of them."""

    tasks: Tasks
    arm: str

    def encoding(self) -> TaskEncoding:
        return self.tasks.encoding(self.arm)

    def tell(self, observation: Observation, features: Array) -> None:
        self.tasks.tell(Told(self.arm, observation, features))

    def others(self, told: Sequence[Told]) -> list[Told]:
        """The other arms' trials among those."""
        return [one for one in told if one.arm != self.arm]


@dataclass(frozen=True)
class _Layout:
    """Columns of the common space: the group of each, what it is where its parameter does not exist, and where each begins."""

    columns: NDArray[np.intp]
    absent: Array
    starts: Mapping[tuple[str, str | int], int]
    parameters: int
    groups: int


class TaskEncoding(Encoding):
    """An arm's tree, whose points are embedded in the space of all arms."""

    def __init__(
        self, own: Encoding, arm: str, shared: Mapping[str, _Shared], layout: _Layout, mean_size: float
    ) -> None:
        super().__init__([])
        self.dimensions = own.dimensions
        self._own, self._arm, self._shared, self._layout, self._mean_size = own, arm, shared, layout, mean_size

    @property
    def varied(self) -> tuple[int, ...]:
        return self._own.varied

    @property
    def groups(self) -> int:
        return self._layout.groups

    @property
    def expected(self) -> Array:
        """Of a parameter as in a tree of the arms' mean size; of an arm's direction by how alike arms are."""
        scales = np.full(self._layout.groups, 0.5 * math.log(max(self._mean_size, 1.0)))
        scales[self._layout.parameters :] = math.log(LIKENESS)
        return scales

    def embed(self, points: Array) -> tuple[Array, NDArray[np.intp]]:
        """Features (n, e) in the space of all arms, and the group that each column belongs to."""
        layout = self._layout
        features = np.tile(layout.absent, (len(points), 1))
        own, groups = self._own.embed(points)
        for group, i in enumerate(self._own.varied):
            if (self._arm, i) in layout.starts:
                columns = own[:, groups == group]
                start = layout.starts[self._arm, i]
                features[:, start : start + columns.shape[1]] = columns
        for i, dimension in enumerate(self.dimensions):
            one = self._shared.get(dimension.parameter.name) if dimension.parent is None else None
            if one is not None:
                start = layout.starts["", dimension.parameter.name]
                features[:, start : start + one.columns] = _common_columns(dimension, points[:, i], one)
        features[:, layout.starts["\0arm", self._arm]] = math.sqrt(0.5)
        return features, layout.columns


def _common_columns(dimension: Dimension, values: Array, one: _Shared) -> Array:
    """(n, columns): an arm's entries of a shared parameter, on the range or among the options of all arms."""
    parameter = dimension.parameter
    if isinstance(parameter, Choice):
        options = list(parameter.branches)
        columns = np.zeros((len(values), one.columns))
        places = np.array([one.options.index(option) for option in options])
        columns[np.arange(len(values)), places[values.astype(int)]] = math.sqrt(0.5)
        return columns
    low, high = ends(parameter)
    return ((low + values * (high - low) - one.low) / (one.high - one.low))[:, None]


def _absent(dimension: Dimension) -> Array:
    """The features of a parameter in the arms that do not have it: its middle, or what it has where it is inactive."""
    if dimension.options:
        inside = math.sqrt(0.5) / dimension.options if dimension.parent is None else 0.0
        return np.full(dimension.options, inside)
    return np.array([0.5]) if dimension.parent is None else np.zeros(2)
