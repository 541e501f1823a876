"""Small tables of text that people write: CSV with a header, every mistake in one line that names the file and the line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.data._class_names import few, guess
from trainables.data._files.layout import read_file


@dataclass(frozen=True)
class Line:
    """A row of a table: its file and number, from 1, for those who must say what is wrong in it; and its values by column."""

    file: Path
    number: int
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")

    def wrong(self, what: str) -> ValueError:
        return ValueError(f"{self.file}, line {self.number}: {what}")


def read_table(file: Path, required: Sequence[str], optional: Sequence[str] = ()) -> tuple[list[Line], list[str]]:
    """The rows of a table, without blank ones, and the columns that are not read; values without spaces around them.

    ValueError where it is no UTF-8, no CSV, lacks a column or has a row of another length.
    """
    lines = _rows(file, _text(file))
    number, header = next(lines, (1, []))
    columns = [name.strip() for name in header]
    for name, times in Counter(columns).items():
        if times > 1:
            raise ValueError(f"{file}, line {number}: {times} columns are called {name!r}")
    for name in required:
        if name not in columns:
            raise ValueError(f"{file}, line {number}: no column {name!r}; {_seen(name, columns, header)}")
    table = []
    for number, row in lines:
        if len(row) != len(columns):
            raise ValueError(
                f"{file}, line {number}: {len(row)} values for {len(columns)} columns; a value with ',' stands in quotes"
            )
        table.append(Line(file, number, dict(zip(columns, (value.strip() for value in row), strict=True))))
    if not table:
        raise ValueError(f"{file}: holds no row below its header")
    return table, [name for name in columns if name not in (*required, *optional)]


def _seen(name: str, columns: list[str], header: list[str]) -> str:
    if len(columns) == 1 and any(mark in header[0] for mark in (";", "\t")):
        return "columns are separated by ','"
    return f"{guess(name, columns)}it has {few(columns, 10) or 'none'}"


def _text(file: Path) -> str:
    """A file as text, UTF-8 with or without its mark at the beginning."""
    content = read_file(file)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        byte = content[error.start]
        raise ValueError(f"{file}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from None


def _rows(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank with the number of their last line."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"{file}, line {reader.line_num}: is no CSV ({error})") from None
        if any(value.strip() for value in row):
            yield reader.line_num, row
