"""Which files of a run folder are damaged; they are moved to ``RUN/damaged/``, never deleted."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from sweep.errors import UsageError
from sweep.records import files
from sweep.records.tables import REBUILT, TABLES

FOLDER = "damaged"


@dataclass(frozen=True)
class Damaged:
    """One file that cannot be read as what it is, by its path within the run, and what is wrong with it."""

    file: Path
    why: str

    @property
    def table(self) -> str:
        """The records' table it belongs to; empty for another file."""
        return self.file.parent.name if self.file.parent.parent.name == "records" else ""


def damaged_files(run: Path) -> list[Damaged]:
    """All of a run's own files that are damaged: its JSON files but the plan, and its tables. Nothing is changed."""
    every = [Damaged(Path(name), why) for name in REBUILT if (why := _json_damage(run / name))]
    for table in TABLES:
        folder = run / "records" / table
        for file in sorted(folder.glob("*.parquet")):
            if not file.name.startswith(".") and (why := _parquet_damage(file, table)):
                every.append(Damaged(file.relative_to(run), why))
    return every


def leftovers(run: Path) -> list[Path]:
    """Temporary files of a writer that was killed: whole files took their place, or nothing did."""
    places = [run, *(run / "records" / table for table in TABLES)]
    return [f for place in places for f in place.glob(".*") if f.is_file() and f.name.rpartition(".")[2].isdigit()]


def set_aside(run: Path, damaged: Damaged) -> Path:
    """Move the file to the run's folder of damaged ones; returns where it is now, within the run."""
    target = Path(FOLDER) / damaged.file.with_name(f"{damaged.file.name}.{time.strftime('%Y%m%dT%H%M%S')}")
    (run / target).parent.mkdir(parents=True, exist_ok=True)
    os.replace(run / damaged.file, run / target)
    return target


def _json_damage(file: Path) -> str:
    if not file.exists():
        return ""
    try:
        whole = isinstance(json.loads(_bytes_of(file)), dict)
    except ValueError as error:
        return str(error).splitlines()[0]
    return "" if whole else "not a JSON object"


def _bytes_of(file: Path) -> bytes:
    """A file's content; UsageError where it cannot be read just now, which is no damage."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read now ({error.strerror})") from error


def _parquet_damage(file: Path, table: str) -> str:
    """What is wrong with a file of a table: its bytes, or that its rows are not of the trial that it is named for."""
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            rows = opened.read(use_threads=False)
    except files.DAMAGED as error:
        if not files.of_its_bytes(error):
            raise UsageError(f"{file}: cannot be read now ({error})") from error
        return str(error).splitlines()[0]
    if files.PART.fullmatch(file.name):
        return ""
    if "trial_id" not in rows.column_names:
        return "it has no column trial_id"
    names = set(files.row_names(rows).to_pylist())
    return "" if names <= {file.stem} else f"it holds rows of {', '.join(sorted(map(str, names)))}"
