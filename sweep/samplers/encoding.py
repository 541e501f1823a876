"""A tree of parameters as rows of numbers: the cube that candidates are drawn from, and the features a kernel compares.

A *point* is a row with one entry a parameter of the tree, conditional ones included: a number's place in its range in
[0, 1], on its own scale, or a choice's option by index. What is inactive has an entry too, so that rows have one length;
`embed` makes sure that it does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sweep.errors import UsageError
from sweep.space import Choice, Float, Int, Parameter, Settings

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Dimension:
    """One parameter and where it stands in the tree: it is active where dimension `parent` has option `option`."""

    parameter: Parameter
    parent: int | None = None
    option: int = 0

    @property
    def options(self) -> int:
        """How many options a choice has; 0 for a number."""
        return len(self.parameter.branches) if isinstance(self.parameter, Choice) else 0

    @property
    def constant(self) -> bool:
        if isinstance(self.parameter, Choice):
            return self.options == 1
        return self.parameter.low == self.parameter.high


class Encoding:
    """Between settings, points and features, for one tree."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.dimensions: tuple[Dimension, ...] = tuple(_dimensions(parameters, None, 0, 0))
        self._varied = tuple(i for i, d in enumerate(self.dimensions) if not d.constant)

    @property
    def varied(self) -> tuple[int, ...]:
        """The dimensions that can vary."""
        return self._varied

    @property
    def width(self) -> int:
        """Entries of a point."""
        return len(self.dimensions)

    @property
    def groups(self) -> int:
        """Parameters that can vary: each has one length scale."""
        return len(self._varied)

    @property
    def expected(self) -> Array:
        """(groups,) logarithms of the length scales to be expected: they grow with the root of how many parameters there are."""
        return np.full(self.groups, 0.5 * math.log(max(self.groups, 1)))

    def point(self, settings: Mapping[str, object]) -> Array:
        """The settings as a point, .5 or option 0 where inactive. UsageError for a value missing, unknown or out of range."""
        row = np.zeros(self.width)
        known: set[int] = set()
        for i, dimension in enumerate(self.dimensions):
            parameter = dimension.parameter
            if not self._is_active(row, dimension, known):
                row[i] = 0.0 if isinstance(parameter, Choice) else 0.5
                continue
            if parameter.name not in settings:
                raise UsageError(f"parameter {parameter.name!r} is missing")
            value = parameter.check(settings[parameter.name])
            known.add(i)
            if isinstance(parameter, Choice):
                row[i] = list(parameter.branches).index(value)
            else:
                row[i] = _unit(parameter, np.array([value], dtype=float))[0]
        names = {self.dimensions[i].parameter.name for i in known}
        for name in settings:
            if name not in names:
                raise UsageError(f"there is no active parameter {name!r}; active are {', '.join(sorted(names))}")
        return row

    def settings(self, point: Array) -> Settings:
        """The settings a point stands for: every active parameter, in range."""
        settings: Settings = {}
        known: set[int] = set()
        for i, dimension in enumerate(self.dimensions):
            parameter = dimension.parameter
            if not self._is_active(point, dimension, known):
                continue
            known.add(i)
            if isinstance(parameter, Choice):
                settings[parameter.name] = list(parameter.branches)[int(point[i])]
                continue
            value = float(_number(parameter, point[i : i + 1])[0])
            settings[parameter.name] = round(value) if isinstance(parameter, Int) else value
        return settings

    def from_cube(self, cube: Array) -> Array:
        """(n, width) uniform numbers in [0, 1) as points."""
        points = np.array(cube, dtype=float)
        for i, dimension in enumerate(self.dimensions):
            if dimension.options:
                points[:, i] = np.minimum(np.floor(points[:, i] * dimension.options), dimension.options - 1)
        return self.snap(points)

    def snap(self, points: Array) -> Array:
        """The points with whole numbers' entries on their grid, so that a model sees what will be run."""
        snapped = points.copy()
        for i, dimension in enumerate(self.dimensions):
            if isinstance(dimension.parameter, Int):
                snapped[:, i] = _unit(dimension.parameter, _number(dimension.parameter, points[:, i]))
        return snapped

    def active(self, points: Array) -> NDArray[np.bool_]:
        """(n, width): which entries of the points count."""
        mask = np.ones(points.shape, dtype=bool)
        for i, dimension in enumerate(self.dimensions):
            if dimension.parent is not None:
                mask[:, i] = mask[:, dimension.parent] & (points[:, dimension.parent] == dimension.option)
        return mask

    def embed(self, points: Array) -> tuple[Array, NDArray[np.intp]]:
        """Features (n, e), and the parameter that each belongs to, counted among those that can vary.

        Squared Euclidean distance between features, parameter by parameter: numbers (x − x')², choices 1 where the options
        differ. A conditional number lies on an arc of radius 1 where it is active and at the arc's centre where not
        (Hutter and Osborne, arXiv 1310.5738): a full range from every active value, and 0 from where it is inactive too.
        """
        mask = self.active(points)
        columns: list[Array] = []
        groups: list[int] = []
        for group, i in enumerate(self._varied):
            dimension, x, on = self.dimensions[i], points[:, i], mask[:, i]
            if dimension.options:
                columns_of_dimension = [(on & (x == o)) * math.sqrt(0.5) for o in range(dimension.options)]
            elif dimension.parent is None:
                columns_of_dimension = [x]
            else:
                columns_of_dimension = [np.where(on, np.sin(x), 0.0), np.where(on, np.cos(x), 0.0)]
            columns += columns_of_dimension
            groups += [group] * len(columns_of_dimension)
        features = np.stack(columns, axis=1) if columns else np.zeros((len(points), 0))
        return features, np.array(groups, dtype=np.intp)

    def keys(self, points: Array) -> list[bytes]:
        """One key a point, the same for points that stand for the same settings."""
        rows = np.where(self.active(points), np.round(points, 9) + 0.0, -1.0)
        return [row.tobytes() for row in rows]

    @staticmethod
    def _is_active(row: Array, dimension: Dimension, known: set[int]) -> bool:
        parent = dimension.parent
        return parent is None or (parent in known and int(row[parent]) == dimension.option)


def _dimensions(parameters: Sequence[Parameter], parent: int | None, option: int, start: int) -> list[Dimension]:
    dimensions: list[Dimension] = []
    for parameter in parameters:
        index_of_parent = start + len(dimensions)
        dimensions.append(Dimension(parameter, parent, option))
        if isinstance(parameter, Choice):
            for index, children in enumerate(parameter.branches.values()):
                dimensions += _dimensions(children, index_of_parent, index, start + len(dimensions))
    return dimensions


def ends(parameter: Float | Int) -> tuple[float, float]:
    """The ends of the range on the parameter's own scale; a whole number owns half a unit to either side."""
    half = 0.5 if isinstance(parameter, Int) else 0.0
    low, high = parameter.low - half, parameter.high + half
    return (math.log(low), math.log(high)) if parameter.log else (low, high)


def _unit(parameter: Float | Int, values: Array) -> Array:
    low, high = ends(parameter)
    if low == high:
        return np.full(len(values), 0.5)
    scaled = np.log(values) if parameter.log else values
    return np.asarray((scaled - low) / (high - low))


def _number(parameter: Float | Int, units: Array) -> Array:
    low, high = ends(parameter)
    scaled = low + np.clip(units, 0.0, 1.0) * (high - low)
    values = np.exp(scaled) if parameter.log else scaled
    if isinstance(parameter, Int):
        values = np.floor(values + 0.5)
    return np.clip(values, parameter.low, parameter.high)
