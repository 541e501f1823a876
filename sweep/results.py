"""The tables of one run or several, as Arrow, pandas or Polars tables: ``load(RUN).trials``.

    from sweep.results import load
    load("RUN").to_pandas("trials")

Every column carries its description, unit and direction as field metadata; `columns_of` lists them. A run may be finished or still
running: what is read is what was recorded at that moment, each row once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sweep import records
from sweep.errors import UsageError, near, need
from sweep.reading.comparable import comparable
from sweep.reading.confirmed import confirmed_table
from sweep.reading.sweep import read_sweep
from sweep.records import TABLES, NothingRecorded

if TYPE_CHECKING:
    import pandas
    import polars

TABLE_NAMES = (*TABLES, "confirmed")  # those that are recorded, and what is made of them
RUN = pa.field(
    "run", pa.dictionary(pa.int32(), pa.string()), metadata={"description": "the run folder, as it was named"}
)


@dataclass(frozen=True)
class Results:
    """The tables of runs, read when they are first asked for. With `together` each has a first column ``run``."""

    runs: tuple[Path, ...]
    together: bool
    not_comparable: tuple[str, ...] = field(default=())
    """What differs between the runs and so forbids comparing their figures; empty where they may be compared."""

    @cached_property
    def trials(self) -> pa.Table:
        """One row a trial."""
        return self._read("trials")

    @cached_property
    def replicates(self) -> pa.Table:
        """One row a trial and seed."""
        return self._read("replicates")

    @cached_property
    def curves(self) -> pa.Table:
        """One row a figure and place of a curve, of every replicate."""
        return self._read("curves")

    @cached_property
    def stages(self) -> pa.Table:
        """One row a stage of a replicate, with its times."""
        return self._read("stages")

    @cached_property
    def confirmed(self) -> pa.Table:
        """One row a confirmed trial: means over its fresh seeds, with intervals (`sweep.reading.confirmed`)."""
        return self._together("confirmed", lambda run: confirmed_table(read_sweep(run)))

    def table(self, name: str) -> pa.Table:
        """One of them by its name; UsageError for another name."""
        if name not in TABLE_NAMES:
            raise UsageError(f"table {name!r}: {near(name, TABLE_NAMES)}")
        table: pa.Table = getattr(self, name)
        return table

    def to_pandas(self, name: str) -> pandas.DataFrame:
        """A table by pandas' own conversion; UsageError where pandas is not installed."""
        need("pandas")
        return self.table(name).to_pandas()

    def to_polars(self, name: str) -> polars.DataFrame:
        """A table by Polars' own conversion; UsageError where Polars is not installed."""
        need("polars", called="Polars")
        import polars

        frame = polars.from_arrow(self.table(name))
        assert isinstance(frame, polars.DataFrame), "a table makes a frame"
        return frame

    def front(self, arm: str) -> pa.Table:
        """The members of one arm's front, confirmed where it was, as ``sweep.pareto --format csv`` has them; each row with its run.

        Raises UsageError where no run has such an arm.
        """
        from sweep.reading.texts import flat_rows  # it words a whole page; a table needs no more than its rows

        sweeps = [read_sweep(run) for run in self.runs]
        arms = {name for sweep in sweeps for name in sweep.arms}
        if arm not in arms:
            raise UsageError(f"arm {arm!r}: {near(arm, arms)}")
        return pa.Table.from_pylist(
            [row for sweep in sweeps if arm in sweep.arms for row in flat_rows(sweep, sweep.arms[arm].front)]
        )

    def _read(self, name: str) -> pa.Table:
        return self._together(name, lambda run: records.read(run, name))

    def _together(self, name: str, read: Callable[[Path], pa.Table]) -> pa.Table:
        tables = []
        for run in self.runs:
            try:
                table = read(run)
            except NothingRecorded:
                if not self.together:
                    raise
                continue  # of several, one may have only begun
            if self.together:
                table = table.add_column(0, RUN, _constant(str(run), table.num_rows))
            tables.append(table)
        if not tables:
            raise NothingRecorded(f"{', '.join(map(str, self.runs))}: no {name} recorded yet")
        return _concatenated(tables)


def load(run: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Results:
    """The tables of a run; of several, given as a list, one after another with a column ``run``.

    Runs that may not be compared are loaded too: `Results.not_comparable` says in what they differ. Raises UsageError where
    one is no run folder.
    """
    if isinstance(run, str | os.PathLike):
        return Results((records.run_folder(run),), together=False)
    runs = tuple(records.run_folder(r) for r in run)
    if not runs:
        raise UsageError("no run was named")
    if len({str(r) for r in runs}) < len(runs):
        raise UsageError("a run was named twice: its rows would be counted twice")
    return Results(runs, True, tuple(_differences(runs)) if len(runs) > 1 else ())


def columns_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Of every column: its name, type, unit, direction and description, empty where it has none."""
    for column in table.schema:
        facts = {k.decode(): v.decode() for k, v in (column.metadata or {}).items()}
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        words = {name: facts.get(name, "") for name in ("unit", "direction", "description")}
        yield {"column": column.name, "type": str(kind), **words}


def _differences(runs: Sequence[Path]) -> list[str]:
    """What forbids comparing the runs; a run that has nothing recorded yet forbids nothing."""
    fronts = []
    for run in runs:
        try:
            fronts.append(read_sweep(run))
        except NothingRecorded:
            continue
    return comparable(fronts) if len(fronts) > 1 else []


def _constant(word: str, length: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * length, pa.int32()), [word])


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of all rows, null where a run lacks a column; a column of numbers in one run and of words in another is words."""
    kinds: dict[str, set[pa.DataType]] = {}
    for column in (f for t in tables for f in t.schema):
        kinds.setdefault(column.name, set()).add(column.type)
    mixed = {name for name, types in kinds.items() if len(types) > 1 and any(map(_is_word, types))}
    cast = []
    for table in tables:
        for i, column in enumerate(table.schema):
            if column.name in mixed and not pa.types.is_dictionary(column.type):
                words = table.column(i).cast(pa.string()).dictionary_encode()
                table = table.set_column(i, column.with_type(words.type), words)
        cast.append(table)
    return pa.concat_tables(cast, promote_options="permissive").unify_dictionaries()


def _is_word(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) or pa.types.is_string(kind))
