"""Columns of the tables: each says what it holds, in which unit, and which way is better; and those that a procedure adds.

What a trial says of its samples is declared beside what makes it, as ``FIGURES`` in a file of `trainables`. The declarations
are read, not run: a metric may import torch, and a mistake in a question is found in a second.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from sweep.errors import UsageError
from trainables.figures import Figure

WORD = pa.dictionary(pa.int32(), pa.string())


def column(
    name: str, kind: pa.DataType, description: str, unit: str = "", direction: str = "", **facts: str
) -> pa.Field:
    """A column with its description, unit, direction and further facts as metadata, those that are not empty."""
    every = {"description": description, "unit": unit, "direction": direction} | facts
    return pa.field(name, kind, metadata={k: v for k, v in every.items() if v})


def facts_of(one: pa.Field) -> dict[str, str]:
    """A column's metadata as text."""
    return {k.decode(): v.decode() for k, v in (one.metadata or {}).items()}


@dataclass(frozen=True, eq=False)
class Columns:
    """What a procedure's tables hold beside what those of every procedure do.

    `figures` are what a trial says of its samples. `dependencies` are columns of the replicates: what its figures depend on;
    one whose ``compares`` is ``must`` has to agree between replicates that are compared, one whose is ``told`` is told beside
    them; one with ``artifact`` holds the key of an artifact. The curves' points lie at a `step` of a `series`, two of the
    `axes`; points from before the first step are of the series `START` and belong to every other. `activities` are the parts
    of a stage's time.
    """

    figures: tuple[Figure, ...]
    dependencies: tuple[pa.Field, ...] = ()
    axes: tuple[pa.Field, ...] = ()
    series: str = "series"
    step: str = "step"
    activities: tuple[pa.Field, ...] = ()
    counted_by: str = ""  # the figure whose curve says N, beside the replicates; see `Procedure.counts`
    shown: Mapping[str, str] = field(default_factory=dict)  # beside the objectives, in every table; with a brief name
    quality: tuple[str, ...] = ()  # figures that a table of its own shows
    signed: tuple[str, ...] = ()  # figures that are differences, of which a line tells the sign

    @cached_property
    def fields(self) -> tuple[pa.Field, ...]:
        """The columns of all figures."""
        return tuple(map(figure_column, self.figures))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all figures."""
        return tuple(figure.name for figure in self.figures)

    @cached_property
    def quantities(self) -> tuple[str, ...]:
        """The figures that can be averaged: those that are no whole numbers, which name something."""
        return tuple(figure.name for figure in self.figures if not figure.whole)

    def of(self, over: str) -> tuple[str, ...]:
        """The figures that are over samples of this kind."""
        return tuple(figure.name for figure in self.figures if figure.over == over)

    def fact(self, figure: str, what: str) -> str:
        """What a figure's column says of it: its ``description``, ``unit``, ``direction`` or ``samples``; empty: nothing."""
        return self._facts.get(figure, {}).get(what, "")

    def is_share(self, figure: str) -> bool:
        return self.fact(figure, "unit") == "share"

    @cached_property
    def compared(self) -> tuple[str, ...]:
        """The dependencies that must agree between replicates whose figures are compared."""
        return tuple(one.name for one in self.dependencies if facts_of(one).get("compares") == "must")

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """What figures depend on besides the seed, as it is told beside them."""
        names = (one.name for one in self.dependencies if "compares" in facts_of(one))
        return (*names, "code_version", "device")

    @cached_property
    def artifacts(self) -> tuple[str, ...]:
        """The dependencies that hold the key of an artifact."""
        return tuple(one.name for one in self.dependencies if "artifact" in facts_of(one))

    @cached_property
    def _facts(self) -> dict[str, dict[str, str]]:
        return {one.name: facts_of(one) for one in self.fields}


START = "none"  # the series of points from before the first step of any


def figure_column(figure: Figure) -> pa.Field:
    """The column of a figure; its ``samples`` are those that its share is of, empty where it is of none."""
    kind = pa.int32() if figure.whole else pa.float64()
    return column(figure.name, kind, figure.description, figure.unit, figure.direction, samples=figure.samples)


def recorded_figures(values: object) -> tuple[Figure, ...]:
    """Figures as JSON holds them; ValueError or TypeError where that is none."""
    if not isinstance(values, list):
        raise TypeError("its figures are no list")
    figures = tuple(Figure(**one) for one in values)
    for figure in figures:
        for word in (figure.unit, figure.over, figure.samples):
            if not isinstance(word, str):
                raise ValueError(f"figure {figure.name!r}: {word!r} is no word")
    return figures


def with_figures(columns: Columns, figures: Iterable[Figure]) -> Columns:
    """The columns with those of further figures, as far as they lack them."""
    more = tuple(figure for figure in figures if figure.name not in columns.names)
    return replace(columns, figures=(*columns.figures, *more)) if more else columns


def figures_of(files: Iterable[Path]) -> list[Figure]:
    """The figures that files declare. UsageError where one cannot be read, or two of them declare the same figure."""
    by_name: dict[str, Figure] = {}
    for file in files:
        for figure in figures_in(file):
            if figure.name in by_name:
                raise UsageError(f"{file}: figure {figure.name!r} is declared in another file too; rename one of them")
            by_name[figure.name] = figure
    return list(by_name.values())


def figures_in(file: Path) -> list[Figure]:
    """The figures that a file declares. UsageError where it declares none, or not by plain values."""
    mend = 'FIGURES = (Figure("name", description="…"), …), of plain values'
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from None
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if [ast.unparse(target) for target in targets if target is not None] == ["FIGURES"]:
            try:
                return [_figure(call) for call in statement.value.elts]  # type: ignore[attr-defined]  # a tuple, or the mend
            except (AttributeError, TypeError, ValueError) as error:
                raise UsageError(
                    f"{file}, line {statement.lineno}: its figures cannot be read ({error}); write {mend}"
                ) from None
    raise UsageError(f"{file}: declares no figures; write {mend}")


def _figure(call: ast.expr) -> Figure:
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "Figure":
        raise ValueError(f"{ast.unparse(call)} is no Figure(…)")
    given = [ast.literal_eval(argument) for argument in call.args]
    return Figure(*given, **{str(k.arg): ast.literal_eval(k.value) for k in call.keywords})
