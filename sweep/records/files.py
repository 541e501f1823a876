"""The files of one recorded table: read as they were at one moment, replaced, and compacted into one.

While a run is driven, each trial's or replicate's rows are a small file of their own. Compaction leaves one file, the part, in
their place. A reader that lists the folder between the writing of PART and the removal of the small files would count rows
twice, and so would any reader after a crash in between. So nothing is added to the folder or taken from it: a whole new
folder is built beside it and the two are exchanged in one step. Whoever lists the folder, with these functions or with
DuckDB, Polars or pandas, sees all of the old state or all of the new one; whoever opens an old path after the exchange is
told that there is no such file, and does not read a wrong number. A manifest, or a rule by which a reader prefers one file
to another, would protect our own readers only.

Linux exchanges two folders atomically (renameat2). Elsewhere two renames follow one another: for that instant there is no
folder, and a crash in it is mended by `settle`.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sweep.errors import UsageError
from sweep.records.migrations import SCHEMA_VERSION, migrate, version_of
from sweep.records.names import trial_of
from sweep.records.whole import replacing

PART = re.compile(r"part-(\d{5})-all\.parquet")  # numbered, so that no state of the folder has the path of another
SAFE_NAME = "[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"  # of a trial: it becomes a path, here and in whatever is told of it
_CHECKED = {"write_page_checksum": True}  # a page that a disk has changed is told, not read; it costs no time
_ROW_GROUP = 64 * 1024  # rows; sorted by trial, so that one trial's are found in one group or two
_ATTEMPTS = 20  # each ends by an exchange of the folder; a run has one or two of them
DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)  # what pyarrow says of bytes that no writer wrote
_GRACE_S = 0.1  # the old folder outlives the exchange by this much: a listing of it that has begun can end
_AT_CWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h

Read = TypeVar("Read")
_log = logging.getLogger(__name__)


class NothingRecorded(UsageError):
    """A table has no row that can be read yet."""


def read_table(folder: Path, columns: Iterable[str] | None = None, trials: Iterable[str] | None = None) -> pa.Table:
    """All rows of the table in `folder`, or those of some trials; null where a file lacks a column.

    `columns`: only these, where the table has them. Rows that lie both in the part and in a file of their own are read from the
    latter alone, with a warning. A file that cannot be read, cut off by a full disk perhaps, is named in
    one warning and left out. Raises UsageError where there is no readable file, or one of a newer schema version.
    """
    wanted, ids = None if columns is None else list(columns), None if trials is None else sorted(set(trials))

    def also(columns: list[str] | None) -> list[str] | None:
        return None if columns is None else [*columns, "trial_id", "replicate"]  # by which rows are told apart

    def read(current: Path) -> list[pa.Table]:
        files = _files(current)
        some = files if ids is None else [f for f in files if _is_part(f) or _may_hold(f.stem, folder.name, ids)]
        parts = {}
        for file in some:
            part = _read_file(file, folder.name, also(wanted), ids)
            if part is not None:
                parts[file] = part
        if parts:
            return [_of_columns(part, wanted) for part in _once_each_name(parts).values()]
        for file in files:
            part = None if file in some else _read_file(file, folder.name, wanted)
            if part is not None:
                return [part.slice(0, 0)]  # no row of these trials, but the columns
        return []

    parts = _at_one_moment(folder, read)
    if not parts:
        raise NothingRecorded(f"{folder.parent.parent}: no {folder.name} recorded yet")
    table = pa.concat_tables(parts, promote_options="default").unify_dictionaries()
    return table.combine_chunks() if len(parts) > 1 else table  # a thousand chunks make every filter slow


def read_name(folder: Path, name: str) -> pa.Table | None:
    """The rows of one trial or replicate by the name of its file, wherever they lie now; None where there are none."""

    def read(current: Path) -> pa.Table | None:
        if (own_file := current / f"{name}.parquet").exists():
            return _read_file(own_file, folder.name)
        part = _part_of(current)
        if part is None:
            return None
        table, places = _index(part, folder.name, part.stat().st_mtime_ns)
        return table.slice(*places[name]) if name in places else None

    return _at_one_moment(folder, read)


def write(folder: Path, name: str, rows: pa.Table) -> None:
    """Write, or replace, the file of one trial or replicate; rows of it that were compacted are taken out of the part first.

    For the one process that drives the run.
    """
    target = folder / f"{name}.parquet"
    if not target.exists() and (part := _part_of(folder)):
        table, places = _index(part, folder.name, part.stat().st_mtime_ns)
        if name in places:
            start, length = places[name]
            rest = pa.concat_tables([table.slice(0, start), table.slice(start + length)])
            _replace(folder, rest, {f"{name}.parquet": rows})
            return
    with replacing(target) as temporary:
        pq.write_table(rows, temporary, **_CHECKED)


def compact(folder: Path) -> int:
    """Leave one file in place of all that can be read; returns how many files it took the place of.

    For the one process that holds the run. What cannot be read stays as it is, beside the part; where that is the part itself, all
    does until the run is repaired: with a second part beside it nobody could tell which state of the folder he sees.
    """
    settle(folder)
    files = _files(folder)
    if not files or (len(files) == 1 and _is_part(files[0])):
        return 0
    read = {}
    for file in files:
        part = _read_file(file, folder.name)
        if part is not None:
            read[file] = part
    if not read or any(_is_part(file) for file in files if file not in read):
        return 0
    table = pa.concat_tables(list(_once_each_name(read).values()), promote_options="default").unify_dictionaries()
    order = [(name, "ascending") for name in ("trial_id", "replicate") if name in table.column_names]
    _replace(folder, table.take(pc.sort_indices(table, sort_keys=order)), {}, without=[f.name for f in read])
    return len(read)


def settle(folder: Path) -> None:
    """Finish or sweep away what a crash in the midst of an exchange left. For the one process that holds the run."""
    if not folder.exists() and _ready(folder).exists():
        os.rename(_ready(folder), folder)
    for name in (_ready(folder), _beside(folder, "building"), _beside(folder, "old")):
        if name.exists():
            _sweep(name)


def _once_each_name(tables: dict[Path, pa.Table]) -> dict[Path, pa.Table]:
    """The tables by file, the part's without rows that have a file of their own, of which one warning is told.

    No state of a run's own folder has both: a small file of a compacted name comes with a part without it, in one exchange. A copy
    has, that was made over an older one.
    """
    small = pa.array([file.stem for file in tables if not _is_part(file)], pa.string())
    for part in filter(_is_part, tables):
        if not len(small) or "trial_id" not in tables[part].column_names:
            continue
        names = pc.cast(row_names(tables[part]), pa.string())
        doubled = pc.is_in(names, value_set=small)
        if pc.any(doubled).as_py():
            twice = sorted(set(names.filter(doubled).to_pylist()))
            _log.warning(
                "%s: has rows of %s too, which %s a file beside it: only that is read; was one copy made over another?",
                part,
                ", ".join(twice[:3]) + (f" and {len(twice) - 3} more" if len(twice) > 3 else ""),
                "has" if len(twice) == 1 else "have",
            )
            tables[part] = tables[part].filter(pc.invert(doubled))
    return tables


def row_names(table: pa.Table) -> pa.ChunkedArray:
    """The name of the file that each row would have while its run is driven."""
    if "replicate" not in table.column_names:
        return table["trial_id"]
    return pc.binary_join_element_wise(table["trial_id"], pc.cast(table["replicate"], pa.string()), "-r")


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder / n for n in os.listdir(folder) if n.endswith(".parquet") and not n.startswith("."))
    except FileNotFoundError:
        return []


def _is_part(file: Path) -> bool:
    return PART.fullmatch(file.name) is not None


def _part_of(folder: Path) -> Path | None:
    """The part, if there is one. As every exchange brings another, its name also says which state of the folder one sees."""
    try:  # by name alone: whoever drives asks this several times a trial, among the files of a thousand others
        names = [name for name in os.listdir(folder) if name.startswith("part-") and PART.fullmatch(name)]
    except FileNotFoundError:
        return None
    return folder / min(names) if names else None


def _may_hold(name: str, table: str, ids: list[str]) -> bool:
    return (name if table == "trials" else trial_of(name)) in ids


def _read_file(
    file: Path, name: str, columns: list[str] | None = None, ids: list[str] | None = None
) -> pa.Table | None:
    """The file's rows as the present schema version has them, or None and a warning where it is damaged."""
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            schema = opened.schema_arrow
            present = version_of(schema) == SCHEMA_VERSION
            some = [n for n in schema.names if n in columns] if columns is not None and present else None
            unique = len(set(schema.names)) == len(schema.names)  # else Arrow's filtered read refuses the file
            if _is_part(file) and ids is not None and unique:
                wanted = pc.field("trial_id").isin(pa.array(ids, pa.string()))  # typed, for there may be none
                table = pq.read_table(file, columns=some, filters=wanted, page_checksum_verification=True)
            else:
                table = opened.read(columns=some if unique else None, use_threads=_is_part(file))
    except DAMAGED as error:
        if not of_its_bytes(error):
            raise
        _log.warning("%s: damaged, its rows are left out: %s", file, str(error).splitlines()[0])
        return None
    table = _safely_named(migrate(_once_each(table, file), name, str(file)), file)
    return _of_columns(table, columns)


def _of_columns(table: pa.Table, columns: list[str] | None) -> pa.Table:
    return table if columns is None else table.select([n for n in table.column_names if n in columns])


def _once_each(table: pa.Table, file: Path) -> pa.Table:
    """The table with the first column of each name: where a metric had two bounds, early versions wrote one name twice."""
    names = table.column_names
    if len(set(names)) == len(names):
        return table
    twice = sorted({n for n in names if names.count(n) > 1})
    _log.warning("%s: has two columns %s; only the first of them is read", file, ", ".join(twice))
    return table.select([names.index(name) for name in dict.fromkeys(names)])


def of_its_bytes(error: BaseException) -> bool:
    """Whether one of `DAMAGED` says that a file's bytes are not what was written; else it could not be read just now.

    pyarrow's OSErrors of bytes have no number; a disk that cannot read its own has EIO.
    """
    return not isinstance(error, OSError) or error.errno in (None, errno.EIO)


def _safely_named(table: pa.Table, file: Path) -> pa.Table:
    """The table without rows whose trial could not name a file: no sweep writes such, and a path is made of it."""
    if "trial_id" not in table.column_names:
        return table
    safe = pc.fill_null(pc.match_substring_regex(table["trial_id"], f"^(?:{SAFE_NAME})$"), False)
    if pc.all(safe).as_py() is False:
        _log.warning("%s: has trials whose names cannot name a file; their rows are left out", file)
        return table.filter(safe)
    return table


def _at_one_moment(folder: Path, read: Callable[[Path], Read]) -> Read:
    """What `read` makes of the folder, all of one state of it: read again where it was exchanged meanwhile."""
    for _ in range(_ATTEMPTS):
        current = _current(folder)
        before = _part_of(current)
        try:
            answer = read(current)
        except FileNotFoundError:
            continue  # listed before an exchange, opened after it
        except PermissionError as error:
            raise UsageError(f"{error.filename or current}: may not be read") from None
        except OSError as error:
            raise UsageError(f"{error.filename or current}: cannot be read now ({error.strerror})") from error
        after = _part_of(_current(folder))
        if (after and after.name) == (before and before.name):
            return answer
    raise UsageError(f"{folder}: its files change faster than they can be read; is something else writing there?")


def _current(folder: Path) -> Path:
    """The folder, or the complete one that a crash between two renames left beside it."""
    return _ready(folder) if not folder.exists() and _ready(folder).exists() else folder


@functools.lru_cache(maxsize=4)  # one a table: a resume looks for one replicate after another in all of them
def _index(part: Path, name: str, _mtime: int) -> tuple[pa.Table, dict[str, tuple[int, int]]]:
    """A part and where in it each name's rows are: (first, number). They lie together, for it is sorted."""
    table = _read_file(part, name)
    if table is None:
        return pa.table({}), {}
    names = row_names(table).combine_chunks().dictionary_encode()
    codes = names.indices.to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    lengths = np.diff(np.append(starts, len(codes)))
    words = names.dictionary.to_pylist()
    return table, {words[codes[s]]: (int(s), int(n)) for s, n in zip(starts, lengths, strict=True)}


def _replace(folder: Path, part: pa.Table, small: dict[str, pa.Table], without: Iterable[str] = ()) -> None:
    """Exchange the folder for one of a part, the files in `small`, and its others but those in `without`."""
    settle(folder)
    building, ready, before = _beside(folder, "building"), _ready(folder), _part_of(folder)
    number = int(match[1]) + 1 if before and (match := PART.fullmatch(before.name)) else 1
    gone, target = {before and before.name, *small, *without}, building / f"part-{number:05d}-all.parquet"
    building.mkdir()
    for file in _files(folder):
        if file.name not in gone:
            shutil.copy2(file, building / file.name)
    pq.write_table(part, target, row_group_size=_ROW_GROUP, compression="zstd", **_CHECKED)
    for name, rows in small.items():
        pq.write_table(rows, building / name, **_CHECKED)
    if (written := pq.read_metadata(target).num_rows) != part.num_rows:
        raise OSError(f"{target}: {written} rows written of {part.num_rows}")
    for file in _files(building):
        _sync(file)  # what it stands for is removed: a power cut must not take both
    os.rename(building, ready)
    _exchange(ready, folder)
    _sync(folder.parent)
    time.sleep(_GRACE_S)
    _sweep(ready)


def _sweep(folder: Path) -> None:
    shutil.rmtree(folder)


def _exchange(new: Path, folder: Path) -> None:
    """`new` takes the place of `folder`, and where that is possible `folder` that of `new`; else it is gone."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if not libc.renameat2(_AT_CWD, os.fsencode(new), _AT_CWD, os.fsencode(folder), _RENAME_EXCHANGE):
            return
        if (code := ctypes.get_errno()) not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV):
            raise OSError(code, os.strerror(code), str(folder))
    _rename_twice(new, folder)


def _rename_twice(new: Path, folder: Path) -> None:
    old = _beside(folder, "old")
    os.rename(folder, old)
    os.rename(new, folder)
    os.rename(old, new)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _ready(folder: Path) -> Path:
    """A complete folder that is about to take this one's place."""
    return _beside(folder, "ready")


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}")
