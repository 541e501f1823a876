"""Tables: one file each, ``(folder) -> Table``: what its columns are, which party holds which, and how its rows are read.

A table's rows come in three splits: `private` ones, of which a synthesizer is trained; `public` ones, which the owner may show
and which all figures are taken against; and `test` ones, on which classifiers are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from trainables.federated.schema import Bounded, Categorical, Schema
from trainables.registry import Registry

SPLITS = ("private", "public", "test")
WHOLE = "table"
_SHARES = (0.6, 0.8)  # of the rows before the public split's end, and before the test split's beginning


@dataclass(frozen=True)
class Table:
    """A table's description. `label` names the categorical column that classifiers tell; empty: none.

    `held` says which columns each party holds, where that is declared. `read` gives the splits by name, or, by `WHOLE`, all rows
    that `split_rows` is to split; `files` are what it reads, by name: none of an embedded one. `notes` say what in a folder was
    taken for what.
    """

    schema: Schema
    read: Callable[[], Mapping[str, pa.Table]]
    label: str = ""
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()

    def where(self, what: str, name: str) -> str:
        """The file of a split's rows, or of the schema, as messages name it; of an embedded table its `name`."""
        files = (file for file in self.files.values() if what in (file.name, file.stem))
        return str(next(files, name))

    def __post_init__(self) -> None:
        if not self.label:
            return
        column = next((c for c in self.schema.columns if c.name == self.label), None)
        if not isinstance(column, Categorical):
            what = "is no column" if column is None else "is no categorical column"
            raise ValueError(f"label {self.label!r} {what}; a label is one of the schema's categorical columns")


@dataclass(frozen=True)
class Member:
    """A registered table; `needs_folder` where its files are the user's."""

    name: str
    describe: Callable[[str], Table]
    needs_folder: bool
    module: str


TABLES: Registry[Member] = Registry("table", __name__)


def register(name: str, needs_folder: bool = False) -> Callable:
    """Register a function ``(folder) -> Table``."""
    return TABLES.decorator(name, lambda describe: Member(name, describe, needs_folder, describe.__module__))


def table(name: str, folder: str = "") -> Table:
    """The table called `name`. ValueError where there is none such, or its folder does not hold it."""
    member = TABLES[name]
    if folder and not member.needs_folder:
        raise ValueError(f"{name}: is embedded, so it takes no folder; for files of your own take the table 'table'")
    if member.needs_folder and not folder:
        raise ValueError(f"{name}: a folder is needed, the one that holds schema.json and the rows")
    try:
        return member.describe(folder)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def split_rows(rows: int) -> dict[str, np.ndarray]:
    """By split, the numbers of its rows: 60 % private, 20 % public, 20 % test, by a fixed permutation."""
    order = np.random.default_rng(0).permutation(rows)
    ends = [int(share * rows) for share in _SHARES]
    return dict(zip(SPLITS, np.split(order, ends), strict=True))


def bounded_columns(declared: str) -> list[Bounded]:
    """Columns from lines of ``name | low | high | decimals``."""
    columns = []
    for line in declared.strip().splitlines():
        name, low, high, decimals = (word.strip() for word in line.split("|"))
        columns.append(Bounded(name, float(low), float(high), int(decimals)))
    return columns
