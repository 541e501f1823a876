"""A run folder as one whole: who may write it, and its tables compacted."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweep.errors import UsageError
from sweep.records import files
from sweep.records.tables import TABLES
from sweep.records.whole import write_whole


@contextmanager
def only_driver(run_dir: Path) -> Iterator[None]:
    """One process writes a run's files: a second one is refused with UsageError, as is a run that cannot be written."""
    lock_file = run_dir / ".driver.lock"
    try:
        lock_file.touch()
    except OSError as error:
        raise UsageError(f"{run_dir}: cannot be written ({error.strerror}); copy it to where it can be") from None
    with open(lock_file, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{run_dir}: another driver is running this sweep") from None
        except OSError as error:
            why = f"its file system has no locks ({error.strerror}), by which a second driver is kept away"
            raise UsageError(f"{run_dir}: {why}; take another folder") from None
        yield


def compact(run_dir: Path) -> dict[str, int]:
    """One file for every table of the run, which the caller holds; returns by table how many files it took the place of."""
    return {table: files.compact(run_dir / "records" / table) for table in TABLES}


def write_json(path: Path, values: Any) -> None:
    """Replace a JSON file of a run, whole or not at all."""
    write_whole(path, json.dumps(values, indent=1, default=str) + "\n")


def writable(path: Path, flag: str) -> Path:
    """The path, if a command may write a file of that name; UsageError for a folder, and for what a run is made of.

    Whatever lies among a run's records, and its JSON files and journal, no reader may replace: without them it is no run.
    """
    if not path.name or path.is_dir():
        raise UsageError(f"{flag} {path}: is a folder; name a file in it")
    for folder in path.resolve().parents:
        if not ((folder / "plan.json").is_file() or (folder / "track.json").is_file()):
            continue
        within = path.resolve().relative_to(folder)
        if within.parts[0] in ("records", "members", "question", "damaged") or within.suffix in (".json", ".journal"):
            raise UsageError(f"{flag} {path}: is a file of the run {folder}, or would be taken for one; name another")
    return path
