"""A table of one's own: a folder with ``schema.json`` and its rows as CSV or Parquet.

    {"columns": [{"name": "age", "kind": "bounded", "low": 0, "high": 120, "decimals": 0},
                 {"name": "income", "kind": "categorical", "categories": ["<=50K", ">50K"]}, …],
     "label": "income", "parties": {"clinic": ["age", …], "bank": ["income", …]}}

``label`` and ``parties`` may be left out. The rows are ``table.csv`` (or ``.parquet``), split 60 : 20 : 20, or lie in files
``private``, ``public`` and ``test``. Columns that the schema does not name are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from trainables.federated.schema import Schema
from trainables.federated.table_files import read
from trainables.federated.tables import SPLITS, WHOLE, Table, register

SCHEMA = "schema.json"
_SUFFIXES = (".csv", ".parquet")
_KNOWN = {"columns", "label", "parties"}


@register("table", needs_folder=True)
def table(folder: str) -> Table:
    place = Path(folder)
    if not place.is_dir():
        raise ValueError(f"{place}: no such folder")
    values = _declared(place / SCHEMA)
    try:
        schema, held = Schema.from_json(values), _held(values.get("parties", {}))
    except ValueError as error:
        raise ValueError(f"{place / SCHEMA}: {error}") from error
    files = _files(place)
    notes = (("rows", ", ".join(file.name for file in files.values()) + _split_words(files)),)
    try:
        return Table(
            schema,
            partial(_rows, files, schema),
            str(values.get("label") or ""),
            held,
            {SCHEMA: place / SCHEMA} | {file.name: file for file in files.values()},
            notes,
        )
    except ValueError as error:
        raise ValueError(f"{place / SCHEMA}: {error}") from error


def _declared(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; it says what the columns are and how they are scaled")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: is no JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f'{path}: a schema is {{"columns": [{{"name": …, "kind": …}}, …]}}')
    unknown = sorted(set(values) - _KNOWN)
    if unknown:
        raise ValueError(f"{path}: {unknown[0]!r} is none of {', '.join(sorted(_KNOWN))}")
    return values


def _held(parties: Any) -> dict[str, tuple[str, ...]]:
    named = isinstance(parties, Mapping) and all(
        isinstance(columns, list) and all(isinstance(name, str) for name in columns) for columns in parties.values()
    )
    if not named:
        raise ValueError('parties are {"NAME": ["COLUMN", …], …}')
    return {name: tuple(columns) for name, columns in parties.items()}


def _files(place: Path) -> dict[str, Path]:
    """The files of rows: ``table`` alone, or one a split. ValueError where it is not clear which they are."""
    files_by_name: dict[str, Path] = {}
    for name in (WHOLE, *SPLITS):
        files = [file for suffix in _SUFFIXES if (file := place / f"{name}{suffix}").is_file()]
        if len(files) > 1:
            raise ValueError(f"{place}: holds both {files[0].name} and {files[1].name}; keep one of them there")
        if files:
            files_by_name[name] = files[0]
    splits = [name for name in SPLITS if name in files_by_name]
    if WHOLE in files_by_name and splits:
        raise ValueError(
            f"{place}: holds {files_by_name[WHOLE].name} beside {files_by_name[splits[0]].name}; keep one kind of them there"
        )
    if WHOLE not in files_by_name and len(splits) < len(SPLITS):
        lacking = next(name for name in SPLITS if name not in files_by_name)
        what = "table.csv or table.parquet" if not splits else f"{lacking}.csv or {lacking}.parquet"
        raise ValueError(f"{place}: no {what}; there the rows are looked for")
    return files_by_name


def _split_words(files: Mapping[str, Path]) -> str:
    return (
        ", split 60 : 20 : 20 into private, public and test; to choose them give a file of each"
        if WHOLE in files
        else ""
    )


def _rows(files: Mapping[str, Path], schema: Schema) -> dict[str, pa.Table]:
    return {name: read(file, schema) for name, file in files.items()}
