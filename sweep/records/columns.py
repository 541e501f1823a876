"""Columns of the tables: each says what it holds, in which unit, and which way is better.

Figures are columns of which none is named here: what a trial says of its samples is declared beside what makes it, as
``FIGURES`` in the file of a metric, an audit, or the trial itself. The declarations are read, not run: a metric may import
torch, and a mistake in a question is found in a second.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pyarrow as pa

from sweep.errors import UsageError
from sweep.records.migrations import FIGURES_OF_2
from sweep.space.find import family_folder
from trainables.figures import Figure

FAMILIES = ("metrics", "audits")  # every file of which declares figures
TRIAL = "relearning/outcomes.py"  # what a whole trial says beyond its samples


def column(
    name: str, kind: pa.DataType, description: str, unit: str = "", direction: str = "", **facts: str
) -> pa.Field:
    """A column with its description, unit, direction and further facts as metadata, those that are not empty."""
    told = {"description": description, "unit": unit, "direction": direction} | facts
    return pa.field(name, kind, metadata={k: v for k, v in told.items() if v})


@cache
def declared() -> tuple[Figure, ...]:
    """Every figure that a trial may have, in the order of their columns: that of schema 2, then what came later, by name.

    UsageError naming the file where one cannot be read, or where two files declare the same figure.
    """
    folders = [family_folder(family) for family in FAMILIES]
    sources = [file for folder in folders for file in sorted(folder.glob("*.py")) if not file.stem.startswith("_")]
    found: dict[str, Figure] = {}
    for file in (*sources, folders[0].parent / TRIAL):
        for figure in figures_in(file):
            if figure.name in found:
                raise UsageError(f"{file}: figure {figure.name!r} is declared in another file too; rename one of them")
            found[figure.name] = figure
    early = {name: place for place, (name, _) in enumerate(FIGURES_OF_2)}
    return tuple(sorted(found.values(), key=lambda figure: (early.get(figure.name, len(early)), figure.name)))


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


def figure_column(figure: Figure) -> pa.Field:
    """The column of a figure; its ``samples`` are those that its share is of, empty where it is of none."""
    kind = pa.int32() if figure.whole else pa.float64()
    return column(figure.name, kind, figure.description, figure.unit, figure.direction, samples=figure.samples)


@cache
def figure_columns() -> tuple[pa.Field, ...]:
    """The columns of all figures."""
    return tuple(figure_column(figure) for figure in declared())


@cache
def figure_names() -> tuple[str, ...]:
    return tuple(figure.name for figure in declared())


@cache
def audit_names() -> tuple[str, ...]:
    """The figures that are of an audit."""
    return tuple(figure.name for figure in declared() if figure.over == "audited")


def fact(figure: str, what: str) -> str:
    """What a figure's column says of it: its ``description``, ``unit``, ``direction`` or ``samples``; empty: nothing."""
    found = next((f for f in figure_columns() if f.name == figure), None)
    return found.metadata.get(what.encode(), b"").decode() if found is not None else ""
