"""CelebA's two lists: each picture's attributes, and which split it is of.

Columns are separated by blanks, tabs or commas, blank lines count for nothing, a byte order mark neither. Kaggle's lists are
CSV: no number of pictures stands first, and the columns' names include the picture's.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from trainables.data._files.layout import read_file

NAME_COLUMN = "image_id"  # Kaggle's name of the pictures' column
_SEPARATOR = re.compile(r"\s*,\s*|\s+")

Row = tuple[int, list[str]]  # a line's number and its cells


def read_attributes(path: Path, chosen: tuple[str, ...]) -> dict[str, int]:
    """Each picture's vector of the chosen attributes: the i-th one's is bit i.

    The list: the number of pictures, a line of the attributes' names, then a line a picture of its name and 1 or -1 (or 0) each.
    """
    rows = _rows(path)
    promised = rows.pop(0)[1][0] if rows and len(rows[0][1]) == 1 and rows[0][1][0].isdigit() else ""
    known = rows.pop(0)[1] if rows else []
    if known[:1] == [NAME_COLUMN]:
        known = known[1:]
    for name in chosen:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            guess = f"did you mean {close[0]}? " if close else ""
            raise ValueError(f"{path}: has no attribute {name!r}; {guess}it has {', '.join(known)}")
    if promised and int(promised) != len(rows):
        raise ValueError(
            f"{path}: lists {len(rows)} pictures where its first line promises {promised}; it is truncated, or say so there"
        )
    columns, values = [1 + known.index(name) for name in chosen], ("1", "-1", "0")
    for number, row in rows:
        if len(row) != 1 + len(known) or any(row[c] not in values for c in columns):
            raise ValueError(f"{path}, line {number}: not a picture's name and {len(known)} times 1 or -1, or 1 or 0")
    for column, name in zip(columns, chosen, strict=True):
        if {"-1", "0"} <= {row[column] for _, row in rows}:
            raise ValueError(
                f"{path}: {name} is -1 of some pictures and 0 of others; write one of them for those without it"
            )
    return _by_name(path, [(number, row[0], _code([row[c] for c in columns])) for number, row in rows])


def read_partition(path: Path) -> dict[str, int]:
    """Each picture's partition: 0 train, 1 validation, 2 test."""
    rows = _rows(path)
    if rows and rows[0][1][0] == NAME_COLUMN:
        rows = rows[1:]
    for number, row in rows:
        if len(row) != 2 or row[1] not in ("0", "1", "2"):
            raise ValueError(f"{path}, line {number}: not a picture's name and 0, 1 or 2")
    return _by_name(path, [(number, row[0], int(row[1])) for number, row in rows])


def _code(values: list[str]) -> int:
    return sum((value == "1") << bit for bit, value in enumerate(values))


def _by_name(path: Path, rows: list[tuple[int, str, int]]) -> dict[str, int]:
    """Each picture's number; ValueError where one is listed twice."""
    value_of: dict[str, int] = {}
    for number, name, value in rows:
        if name in value_of:
            raise ValueError(f"{path}, line {number}: lists {name} again")
        value_of[name] = value
    return value_of


def _rows(path: Path) -> list[Row]:
    """The cells of each line that is not blank; ValueError where the file is not text in UTF-8."""
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not text in UTF-8; save it so") from None
    return [(n, _SEPARATOR.split(line.strip())) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
