"""A table's schema: what each column holds and how it is scaled. Plain values, declared by the owner in public.

Bounds, means and categories are never taken from the private table: a column's largest value is some person's value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

Category = str | int


@dataclass(frozen=True)
class Bounded:
    """Numbers from `low` to `high`, scaled to [-1, 1].

    A value beyond the bounds is refused, or with `clip` taken for the bound. `decimals` of what is synthesised: 0 for whole
    numbers, None for numbers as they come.
    """

    kind: ClassVar[str] = "bounded"

    name: str
    low: float
    high: float
    decimals: int | None = None
    clip: bool = False

    def __post_init__(self) -> None:
        _check_decimals(self.name, self.decimals)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"column {self.name!r}: low {self.low:g} and high {self.high:g}; give finite numbers, low < high"
            )

    @property
    def width(self) -> int:
        return 1


@dataclass(frozen=True)
class Standardised:
    """Numbers less a `mean`, in units of an `sd`, both published ones; `decimals` as of `Bounded`."""

    kind: ClassVar[str] = "standardised"

    name: str
    mean: float
    sd: float
    decimals: int | None = None

    def __post_init__(self) -> None:
        _check_decimals(self.name, self.decimals)
        if not (math.isfinite(self.mean) and math.isfinite(self.sd) and self.sd > 0):
            raise ValueError(
                f"column {self.name!r}: mean {self.mean:g} and sd {self.sd:g}; give finite numbers, sd > 0"
            )

    @property
    def width(self) -> int:
        return 1


@dataclass(frozen=True)
class Categorical:
    """One of `categories`, all texts or all whole numbers; a vector with a 1 in its place."""

    kind: ClassVar[str] = "categorical"

    name: str
    categories: tuple[Category, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "categories", tuple(self.categories))
        kinds = {type(category) for category in self.categories}
        if len(self.categories) < 2 or len(set(self.categories)) < len(self.categories) or kinds not in ({str}, {int}):
            raise ValueError(
                f"column {self.name!r}: categories {list(self.categories)}; give two or more, each once, all texts or all whole "
                "numbers"
            )

    @property
    def width(self) -> int:
        return len(self.categories)


Column = Bounded | Standardised | Categorical
_KINDS: dict[str, type[Bounded] | type[Standardised] | type[Categorical]] = {
    column.kind: column for column in (Bounded, Standardised, Categorical)
}


@dataclass(frozen=True)
class Schema:
    """The columns of a table in their order. A row of numbers has each column's `width` of them, one column after another."""

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("the schema has no column; declare one or more")
        names = self.names
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the schema declares column {name!r} twice; rename or leave out one of them")

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def width(self) -> int:
        """d, the numbers of a row."""
        return sum(column.width for column in self.columns)

    @property
    def places(self) -> dict[str, range]:
        """By column, where its numbers stand in a row."""
        places, start = {}, 0
        for column in self.columns:
            places[column.name] = range(start, start + column.width)
            start += column.width
        return places

    def to_json(self) -> dict[str, Any]:
        return {"columns": [{"kind": column.kind} | asdict(column) for column in self.columns]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Schema:
        """The schema of ``{"columns": [{"name", "kind", …}, …]}``. ValueError names the column that is wrong, and how."""
        columns = values.get("columns")
        if not isinstance(columns, Sequence) or isinstance(columns, str):
            raise ValueError('a schema is {"columns": [{"name": …, "kind": …}, …]}')
        return cls(tuple(_column(number, one) for number, one in enumerate(columns, 1)))


def _column(number: int, values: Any) -> Column:
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise ValueError(f"column {number} of the schema has no name; write {{'name': …, 'kind': …}}")
    name, kind = values["name"], values.get("kind")
    if kind not in _KINDS:
        raise ValueError(f"column {name!r}: kind {kind!r} is none of {', '.join(_KINDS)}")
    try:
        return _KINDS[kind](**{key: value for key, value in values.items() if key != "kind"})
    except TypeError as error:  # a field that it lacks or does not have
        raise ValueError(f"column {name!r}: {str(error).replace('__init__()', kind)}") from None


def _check_decimals(name: str, decimals: int | None) -> None:
    if decimals is not None and not (isinstance(decimals, int) and decimals >= 0):
        raise ValueError(f"column {name!r}: decimals {decimals!r}; give a whole number, 0 or more, or leave it out")
