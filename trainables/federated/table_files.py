"""Tables in CSV and Parquet files: read by a schema, and written with the same columns."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from trainables.federated.schema import Categorical, Column, Schema

DELIMITERS = (",", ";", "\t")
MISSING = (
    "",
    "?",
    "NA",
    "N/A",
    "NaN",
    "nan",
    "NULL",
    "null",
)  # what stands for no value, unless the schema has it as a category


def read(path: Path, schema: Schema) -> pa.Table:
    """The schema's columns of a ``.csv`` or ``.parquet`` file; a CSV file has a header, and commas, semicolons or tabs.

    ValueError names the file and what is wrong: a column that it lacks, or row (from 1, without the header) and column of a value
    that is no number. A missing value is a null of the table; `encoding.encode` refuses it.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"{path}: a table is a .csv or a .parquet file")
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            options = pacsv.ParseOptions(delimiter=_delimiter(path, schema))
            texts = pacsv.ConvertOptions(column_types={name: pa.string() for name in schema.names})
            table = pacsv.read_csv(path, parse_options=options, convert_options=texts)
        has = table.column_names
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: its header is no UTF-8 text ({error.reason}); save it as UTF-8") from error
    except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{path}: it cannot be read as a table: {' '.join(str(error).split())}") from error
    for name in schema.names:
        if name not in has:
            raise ValueError(f"{path}: no column {name!r}; it has {', '.join(map(repr, has))}")
        if has.count(name) > 1:
            raise ValueError(f"{path}: column {name!r} is there {has.count(name)} times; keep one of them")
    if path.suffix == ".parquet":
        return table.select(schema.names)
    try:
        return pa.table({column.name: _typed(column, table.column(column.name)) for column in schema.columns})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write(path: Path, table: pa.Table) -> None:
    """Write a table as CSV or Parquet, by the file's name. ValueError for another kind of file."""
    if path.suffix == ".csv":
        pacsv.write_csv(table, path)
    elif path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        raise ValueError(f"{path}: a table is written as .csv or .parquet")


def _delimiter(path: Path, schema: Schema) -> str:
    """The delimiter by which the header has most of the schema's columns."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
    columns_by = {d: len(set(next(csv.reader([header], delimiter=d), [])) & set(schema.names)) for d in DELIMITERS}
    return max(DELIMITERS, key=lambda delimiter: columns_by[delimiter])


def _typed(column: Column, texts: pa.ChunkedArray) -> pa.Array:
    """The values of a CSV column as what the schema says they are; None where one is missing."""
    categories = column.categories if isinstance(column, Categorical) else ()
    missing = set(MISSING) - set(categories)
    values = [None if text is None or text.strip() in missing else text.strip() for text in texts.to_pylist()]
    if categories and isinstance(categories[0], str):
        return pa.array(values, pa.string())
    kind = pa.int64() if categories else pa.float64()
    return pa.array([_number(column, row, text, whole=bool(categories)) for row, text in enumerate(values)], kind)


def _number(column: Column, row: int, text: str | None, whole: bool) -> float | int | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if np.isnan(number) or (whole and not number.is_integer()):
        raise ValueError(f"row {row + 1}, column {column.name!r}: {text!r} is no {'whole ' if whole else ''}number")
    return int(number) if whole else number
