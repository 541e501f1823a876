"""What a trial leaves behind: the Arrow schemas, their writer and their reader.

Four tables live under ``RUN/records/``, each a folder of Parquet files with one explicit schema:

    trials/TRIAL.parquet           one row: the parameters, the state, and what search was told
    replicates/TRIAL-rN.parquet    one row: one run of a trial on one seed, and what its figures depend on
    curves/TRIAL-rN.parquet        long form: one row a figure and step of a series, with its interval
    stages/TRIAL-rN.parquet        one row a stage: was it made or found, and where its time went

Any Parquet reader opens a folder as one table. A file is written under a temporary name and renamed, so it is whole or
absent; a trial's own row is written last and only then is the sampler told. Replicate 0 is the search's own run; the
confirm phase adds 1, 2, …. When the run ends, one file takes the place of each folder's many: see `sweep.records.files`, which
also reads them, older versions of the schema (`sweep.records.migrations`) included.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from sweep import procedures
from sweep.errors import UsageError
from sweep.procedures.columns import WORD, Columns, column
from sweep.records import files
from sweep.records.files import SAFE_NAME, NothingRecorded
from sweep.records.migrations import SCHEMA_VERSION
from sweep.records.names import name_of
from sweep.space import Parameter, SearchSpace, Settings, Value, kind

TABLES = ("trials", "replicates", "curves", "stages")

RUNNING, COMPLETE, PRUNED, FAIL = "RUNNING", "COMPLETE", "PRUNED", "FAIL"
GATE, DOMINATION = "gate", "domination"  # what stops a trial

_TIME = pa.timestamp("us", tz="UTC")
SEARCH = "search.json"  # in the run folder: what ended the search
FIRST_SEEDS = 2  # fresh ones that every confirmed trial has, before it is asked what they leave open
CONFIRMATION = "confirmation.json"  # likewise: what the confirmation asked for, what ended it, and what it left open
REBUILT = (
    "status.json",
    SEARCH,
    CONFIRMATION,
    "prepared.json",
)  # files of a run folder that hold nothing its records and artifacts do not


def adaptive(sure: float, seeds: int) -> bool:
    """Whether a confirmation goes on where something is open: it is asked how `sure`, and there are seeds to share out."""
    return sure > 0 and seeds > FIRST_SEEDS


_IDENTITY = (
    column("trial_id", pa.string(), "ARM-NUMBER, unique in the run"),
    column("arm", WORD, "arm of the search space, or 'control'"),
    column("method", WORD, "its method; 'none' for a control"),
)
SETTINGS = column(
    "settings", pa.string(), "JSON: every setting as it was asked, each of its own type; null in old runs"
)
_REPLICATE = (_IDENTITY[0], column("replicate", pa.int32(), "0: search; 1, 2, …: confirm"))
_STATE = (
    column("state", WORD, "RUNNING, COMPLETE, PRUNED (stopped early) or FAIL"),
    column("cause", pa.string(), "why it was pruned or failed; null otherwise"),
    column("stopped_by", WORD, "what stopped it where it is PRUNED: gate, or domination by the front; null otherwise"),
)

_OF_TRIALS = (
    column("number", pa.int32(), "order within the arm"),
    column("feasible", pa.bool_(), "every constraint holds for the point estimates; null where not scored"),
    column("core_s", pa.float64(), "processor time of its stages made here", "seconds", "minimise"),
    column("asked_at", _TIME, "when the sampler proposed it"),
    column("told_at", _TIME, "when its outcome was recorded"),
)


def replicate_columns(columns: Columns) -> tuple[pa.Field, ...]:
    """The columns of the replicates table."""
    return (
        *_REPLICATE,
        *_IDENTITY[1:],
        column("phase", WORD, "search or confirm"),
        *_STATE,
        *columns.fields,
        column("seed", pa.int64(), "seed of everything that it draws"),
        *columns.dependencies,
        column(
            "code_version",
            pa.string(),
            "hash of the code that made the figures, with the versions of the libraries that decide them",
        ),
        column("device", WORD, "device the figures were made on"),
        column("core_s", pa.float64(), "processor time of its stages made here", "seconds", "minimise"),
        column("started_at", _TIME, "first stage's start"),
        column("finished_at", _TIME, "last stage's end"),
    )


def names_of_every_run() -> frozenset[str]:
    """The columns of trials and replicates that are there whatever is asked: no figure may be called so."""
    return frozenset(field.name for field in (*replicate_columns(Columns(())), SETTINGS, *_OF_TRIALS))


def curve_columns(columns: Columns) -> tuple[pa.Field, ...]:
    """The columns of the curves table."""
    return (
        *_REPLICATE,
        *columns.axes,
        column("metric", WORD, "name of the figure"),
        column("value", pa.float64(), "the figure"),
        column("lower", pa.float64(), "lower end of the 95 % interval over samples (Wilson); null where none applies"),
        column("upper", pa.float64(), "upper end of it"),
        column("samples", pa.int32(), "N the figure is over; 0 for one of no samples"),
        column("artifact", pa.string(), "artifact key of the stage the figure is from"),
    )


def stage_columns(columns: Columns) -> tuple[pa.Field, ...]:
    """The columns of the stages table."""
    return (
        *_REPLICATE,
        column("stage", pa.string(), "its name, and behind an @ the step that it goes to where it is one of several"),
        column("kind", WORD, "what it is one of: stages that differ in their step alone are of one kind"),
        column("points", pa.int32(), "points of curves that it gave; null in old runs"),
        column("key", pa.string(), "artifact key of its product"),
        column("found", pa.bool_(), "the product was already in the store: nothing was run"),
        column("started_at", _TIME, "start"),
        column("finished_at", _TIME, "end"),
        column("wall_s", pa.float64(), "elapsed time", "seconds"),
        column("core_s", pa.float64(), "processor time of the process", "seconds"),
        *columns.activities,
        column("pid", pa.int64(), "process that ran it"),
        column("node", WORD, "host that ran it"),
    )


def schemas(space: SearchSpace) -> dict[str, pa.Schema]:
    """The schema of every table for one question; parameters become ``param_NAME`` columns, constraints ``excess_NAME``."""
    procedure_columns = procedures.named(space.procedure).columns()
    parameters = [
        column(
            f"param_{p.name}",
            _parameter_type(p),
            p.help or p.name,
            unit="log scale" if getattr(p, "log", False) else "",
        )
        for p in space.parameters().values()
    ]
    excesses = [
        column(
            f"excess_{c.name}",
            pa.float64(),
            f"violation of the constraint on {c.metric} ({c.side}), in units of its bound; ≤ 0 holds",
        )
        for c in space.constraints
    ]
    trials = [
        *_IDENTITY,
        _OF_TRIALS[0],
        *_STATE,
        SETTINGS,
        *parameters,
        *procedure_columns.fields,
        *excesses,
        *_OF_TRIALS[1:],
    ]
    facts = {"space": space.name, "space_fingerprint": space.fingerprint()}
    facts |= {"procedure": space.procedure} if space.procedure != procedures.DEFAULT else {}
    tables = {"trials": trials, **replicate_tables(procedure_columns)}
    return {name: schema_of(name, columns, facts) for name, columns in tables.items()}


def replicate_tables(columns: Columns) -> dict[str, tuple[pa.Field, ...]]:
    """The columns of the tables of replicates, by table."""
    return {
        "replicates": replicate_columns(columns),
        "curves": curve_columns(columns),
        "stages": stage_columns(columns),
    }


def empty_table(table: str, columns: Columns) -> pa.Table:
    """A table of replicates without rows."""
    return pa.schema(replicate_tables(columns)[table]).empty_table()


def schema_of(table: str, columns: Iterable[pa.Field], facts: Mapping[str, str] | None = None) -> pa.Schema:
    """A table's schema. UsageError for two columns of one name: no reader would open the table again."""
    version = {"schema_version": str(SCHEMA_VERSION)}
    schema = pa.schema(list(columns), metadata={**version, **(facts or {}), "table": table})
    names = [name.lower() for name in schema.names]  # SQL folds case
    for twice in {n for n in names if names.count(n) > 1}:
        raise UsageError(
            f"table {table!r} would have two columns {twice!r}; rename one of the two parameters or figures"
        )
    return schema


def _known(table: str, schema: pa.Schema) -> dict[str, pa.Field]:
    """Columns by name: what a migration adds has no description of its own."""
    name = (schema.metadata or {}).get(b"procedure", procedures.DEFAULT.encode()).decode(errors="replace")
    columns = procedures.named(name).columns()
    fields = {"trials": columns.fields, **replicate_tables(columns)}.get(table, ())
    return {field.name: field for field in fields}


class Writer:
    """Writes the tables of one run; one process holds it. Every write is one whole file, renamed into place."""

    def __init__(self, run_dir: Path, schemas: Mapping[str, pa.Schema]) -> None:
        self.folder, self.schemas = run_dir / "records", schemas
        for table in schemas:
            files.settle(self.folder / table)
            (self.folder / table).mkdir(parents=True, exist_ok=True)

    def trial(self, row: Mapping[str, Any]) -> None:
        """Write, or replace, a trial's row. Raises on a column the schema does not have."""
        self._write("trials", safe_name(row["trial_id"]), [row])

    def replicate(
        self, row: Mapping[str, Any], curves: Iterable[Mapping[str, Any]], stages: Iterable[Mapping[str, Any]]
    ) -> None:
        """Write, or replace, all rows of one replicate; its own row last, as the commit."""
        name = safe_name(name_of(row))
        self._write("stages", name, stages)
        self._write("curves", name, curves)
        self._write("replicates", name, [row])

    def stages(self, name: str, stages: Iterable[Mapping[str, Any]]) -> None:
        """Write, or replace, what a replicate that goes on has made."""
        self._write("stages", safe_name(name), stages)

    def _write(self, table: str, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        schema, rows = self.schemas[table], list(rows)
        names = frozenset(schema.names)
        for row in rows:
            if unknown := row.keys() - names:
                raise KeyError(f"table {table!r} has no column {sorted(unknown)}")
        files.write(self.folder / table, name, pa.Table.from_pylist([dict(r) for r in rows], schema=schema))


def read(
    run_dir: str | os.PathLike[str],
    table: str,
    columns: Iterable[str] | None = None,
    trials: Iterable[str] | None = None,
) -> pa.Table:
    """One table of a run, finished or still running, with its schema and column metadata.

    `columns` and `trials` (ids): only these. Raises UsageError where `run_dir` is no run folder or has no rows yet.
    """
    stored = files.read_table(run_folder(run_dir) / "records" / table, columns, trials)
    known = _known(table, stored.schema)
    fields = [
        f.with_metadata(known[f.name].metadata) if f.name in known and not f.metadata else f for f in stored.schema
    ]
    return pa.Table.from_arrays(stored.columns, schema=pa.schema(fields, metadata=stored.schema.metadata))


def rows(run_dir: Path, table: str, name: str = "*") -> list[dict[str, Any]]:
    """Rows of one table, all of them or one trial's or replicate's by its name; empty where nothing is recorded."""
    folder = run_dir / "records" / table
    if name != "*":
        rows_of_name = files.read_name(folder, safe_name(name))
        return rows_of_name.to_pylist() if rows_of_name is not None else []
    try:
        return files.read_table(folder).to_pylist()
    except NothingRecorded:
        return []


def recorded_settings(row: Mapping[str, Any]) -> Settings:
    """The settings a trial was asked for, by its row of the trials table, each of the type it was asked with.

    Rows of schema 2 and earlier have them in columns alone, where a bool is a word and a choice of numbers is real: there
    ``True`` and ``False`` are taken for bools, and a real number without a fraction for a whole one, to which it is equal.
    """
    if row.get("settings") is not None:
        return dict(json.loads(row["settings"]))
    cells = {name.removeprefix("param_"): value for name, value in row.items() if name.startswith("param_")}
    return {name: _of_schema_2(value) for name, value in cells.items() if value is not None}


def _of_schema_2(value: Any) -> Value:
    if value in ("True", "False"):
        return bool(value == "True")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def run_folder(path: str | os.PathLike[str]) -> Path:
    """`path` if it is a run folder, else UsageError saying what was expected."""
    folder = Path(path)
    if not (folder / "plan.json").is_file():
        what = "is not a run folder (it has no plan.json)" if folder.exists() else "does not exist"
        raise UsageError(f"{path}: {what}; name the folder that a sweep printed as its run")
    return folder


def read_json(path: Path) -> Any:
    """A JSON file of a run folder; UsageError naming the file where it cannot be read, and the mend where there is one.

    Those of `REBUILT` are objects: readers ask them by name.
    """
    mend = ""
    if path.name in REBUILT:
        does = "sets it aside, and readers do without" if path.name in (SEARCH, CONFIRMATION) else "makes it again"
        mend = f"; python -m sweep.repair {path.parent} {does}"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as JSON: {error}{mend}") from None
    if mend and not isinstance(values, dict):
        raise UsageError(f"{path}: is no JSON object{mend}")
    return values


def safe_name(name: str) -> str:
    """`name` if it can be a file's name anywhere, else ValueError: names become paths."""
    if not re.fullmatch(SAFE_NAME, name):
        raise ValueError(f"{name!r} cannot name a file: letters, digits, '.', '_' and '-' only")
    return name


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _parameter_type(parameter: Parameter) -> pa.DataType:
    return {"real": pa.float64(), "numbers": pa.float64(), "whole": pa.int64(), "words": WORD}[kind(parameter)]
