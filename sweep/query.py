"""SQL over the tables of runs, finished or running: ``python -m sweep.query RUN [RUN...] "SELECT …"``.

The SQL is DuckDB's; the tables are ``trials``, ``replicates``, ``curves`` and ``stages`` as they are recorded, and
``confirmed``, a row a confirmed trial, each with a column ``run``. It can read
nothing else and write nothing: the database has no access to files or the network. ``--schema`` lists the columns,
``--export DIR`` writes all of them as files.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sweep.errors import Parser, UsageError, command, need
from sweep.records import NothingRecorded
from sweep.records.folder import writable
from sweep.records.whole import write_whole
from sweep.results import TABLE_NAMES, Results, columns_of, load

# No file, no network, no variable of this process, nothing spilled to disk, and no way to turn any of it back on.
_SHUT = {
    "temp_directory": "''",
    "python_enable_replacements": "false",
    "enable_external_access": "false",
    "lock_configuration": "true",
}


def parser() -> argparse.ArgumentParser:
    p = Parser(
        "python -m sweep.query",
        usage='%(prog)s RUN [RUN...] "SELECT …" [--format FORMAT] [-o FILE]\n'
        "       %(prog)s RUN [RUN...] --schema | --export DIR",
        description=f"SQL (DuckDB's) over the tables of runs: {', '.join(TABLE_NAMES)}, each with a column run.",
    )
    p.add_argument("runs", nargs="+", metavar="RUN", help="run folders; after them, one argument of SQL")
    p.add_argument(
        "--format", choices=sorted(_FORMATS), help="of what is printed or written (table; with --export csv)"
    )
    p.add_argument("-o", "--output", metavar="FILE", help="write there instead of printing")
    what = p.add_mutually_exclusive_group()
    what.add_argument("--schema", action="store_true", help="the tables' columns: type, unit, direction, description")
    what.add_argument("--export", metavar="DIR", help="write every table as DIR/TABLE.FORMAT")
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.output is not None:
        writable(Path(args.output), "-o")
    if args.export == "":
        raise UsageError("--export: name a folder")
    if args.export is not None and args.output is not None:
        raise UsageError("-o: is for what is printed; --export names its own folder")
    if args.export is not None:
        for file in export(load(args.runs), Path(args.export), args.format or "csv"):
            print(file)
        return 0
    if args.schema:
        rows = schema(load(args.runs))
    else:
        if len(args.runs) < 2:
            raise UsageError('name a run and then what to ask of it: RUN "SELECT …" (or RUN --schema)')
        *runs, sql = args.runs
        results = load(runs)
        if results.not_comparable:
            print(f"note: these runs differ in {', '.join(results.not_comparable)}", file=sys.stderr)
        rows = query(results, sql)
    _put(rows, args.format or "table", args.output)
    return 0


def query(results: Results, sql: str) -> pa.Table:
    """What the SQL finds in the runs' tables. Raises UsageError, one line, for what DuckDB refuses."""
    need("duckdb", "query", "DuckDB")
    import duckdb

    connection = duckdb.connect()
    try:
        statements = connection.extract_statements(sql)
        if len(statements) > 1:
            raise UsageError("SQL: it is more than one statement; ask them one by one")
        asking = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.PRAGMA)
        if not statements or statements[0].type not in asking:
            raise UsageError("SQL: it gives no rows; ask with SELECT")
        words = set(re.findall(r"\w+", sql.lower()))
        named = [t for t in TABLE_NAMES if t in words]  # reading what is not asked for takes time
        for table in named or TABLE_NAMES:  # SHOW TABLES names none
            try:
                connection.register(table, results.table(table))
            except NothingRecorded:
                if named:
                    raise
        for setting, value in _SHUT.items():
            connection.execute(f"SET {setting} = {value}")
        rows: pa.Table = connection.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        raise UsageError(f"SQL: {_one_line(str(error))}") from None
    finally:
        connection.close()
    return rows


def schema(results: Results) -> pa.Table:
    """Every column of every table that has rows: its type, unit, direction and description."""
    rows = []
    for name in TABLE_NAMES:
        try:
            rows += [{"table": name, **facts} for facts in columns_of(results.table(name))]
        except NothingRecorded:
            continue  # as of `trials` in a run that has only begun
    if not rows:
        raise UsageError(f"{', '.join(map(str, results.runs))}: nothing recorded yet")
    return pa.Table.from_pylist(rows)


def export(results: Results, folder: Path, format: str) -> list[Path]:
    """Write every table that has rows to `folder`, which is made; returns the files. UsageError where that cannot be."""
    written = []
    for name in TABLE_NAMES:
        try:
            table = results.table(name)
        except NothingRecorded:
            continue
        written.append(folder / f"{name}.{_SUFFIXES.get(format, format)}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made: {error.strerror}") from None
        _put(table, format, str(written[-1]))
    if not written:
        raise UsageError(f"{', '.join(map(str, results.runs))}: nothing recorded yet")
    return written


def _put(table: pa.Table, format: str, file: str | None) -> None:
    """Print, or write a file."""
    content = _FORMATS[format](table)
    if file is None:
        if format == "parquet":
            sys.stdout.buffer.write(content)
        else:
            print(content.decode(), end="")
        return
    try:
        write_whole(Path(file), content)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from None


def _plain(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601, and null for a number that is not finite, which JSON has no word for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else _word(value)


def _word(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _csv(table: pa.Table) -> bytes:
    """RFC 4180 in UTF-8, a header line, times in ISO 8601, every digit of a number; nothing for null."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.column_names)
    for batch in table.to_batches(max_chunksize=10_000):
        columns = [["" if v is None else _csv_cell(v) for v in column.to_pylist()] for column in batch.columns]
        writer.writerows(zip(*columns, strict=True))
    return out.getvalue().encode()


def _csv_cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, int | float) else _word(value)


def _json(table: pa.Table) -> bytes:
    """A list of objects, one a row and line. UsageError where two columns have one name: an object has a name once."""
    twice = [name for name, n in Counter(table.column_names).items() if n > 1]
    if twice:
        raise UsageError(f"--format json: two columns are called {twice[0]}; give one another name with AS")
    rows = (json.dumps(_plain(row), ensure_ascii=False, allow_nan=False) for row in table.to_pylist())
    return ("[\n" + ",\n".join(rows) + "\n]\n").encode()


def _parquet(table: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    try:
        pq.write_table(table, out, compression="zstd")
    except pa.ArrowException as error:
        raise UsageError(f"--format parquet: {_one_line(str(error))}; cast it in the SQL") from None
    return bytes(out.getvalue())


def _text(table: pa.Table) -> bytes:
    """Aligned columns, figures to four digits; an em dash for null."""
    columns = [[_cell(v) for v in column.to_pylist()] for column in table.columns]
    wide = [max(map(len, [name, *cells])) for name, cells in zip(table.column_names, columns, strict=True)]
    rows = [tuple(table.column_names), tuple("-" * w for w in wide), *zip(*columns, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)).rstrip() for row in rows]
    return ("\n".join(lines) + "\n").encode()


def _cell(value: Any) -> str:
    if value is None:
        return "—"
    text = f"{value:.4g}" if isinstance(value, float) else _word(value)
    return _one_line(text) if "\n" in text else text


def _one_line(text: str) -> str:
    return " ".join(text.split())


_FORMATS: dict[str, Callable[[pa.Table], bytes]] = {"table": _text, "csv": _csv, "json": _json, "parquet": _parquet}
_SUFFIXES = {"table": "txt"}

if __name__ == "__main__":
    sys.exit(main())
