"""Claim a run folder for one run by making it, and leave nothing of it where the run cannot begin.

Two commands that begin in the same second want the same name. Whoever makes the folder has it; the other takes the next name,
or, where the user named the folder, is told that it is taken. Only what every file system does in one step is relied on,
network ones too: making a folder, and making a file that must not exist.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sweep.errors import UsageError

_FREE_BYTES = 200 * 2**20
MARK = ".claim"  # there while the first files are written


def free(folder: Path) -> Path:
    """The folder, or, where something is there already, the next name that is free: NAME-2, NAME-3, …"""
    return next(name for name in _names(folder) if not name.exists())


@contextlib.contextmanager
def claimed(folder: Path, holds: str, named: bool = True) -> Iterator[Path]:
    """The run folder that was claimed, this process's alone, in which `holds` is to be written last: it makes it a run.

    `named`: the user named it, and an empty folder may be there; else a name that is taken is passed over for the next. Where
    anything fails before it is a run, nothing of it stays. UsageError where it is taken, or cannot be written.
    """
    try:
        claimed_folder, made = _folder(folder, named)
        try:
            with _marked(claimed_folder):
                check_untaken(claimed_folder, holds)
                try:
                    yield claimed_folder
                except BaseException:
                    for file in claimed_folder.iterdir():
                        if file.is_dir():
                            shutil.rmtree(file)
                        elif file.name != MARK:
                            file.unlink()
                    raise
        except BaseException:
            if made:
                with contextlib.suppress(
                    OSError
                ):  # another has claimed it meanwhile, and it is no longer ours to remove
                    claimed_folder.rmdir()
            raise
    except OSError as error:
        raise UsageError(f"--run-dir {folder}: cannot be written: {error.strerror}") from None


def check_untaken(folder: Path, holds: str) -> None:
    """UsageError where the folder holds a run, or anything else."""
    if (folder / holds).exists():
        raise UsageError(f"--run-dir {folder}: already holds a run; continue it with --resume {folder}")
    if folder.exists() and (not folder.is_dir() or any(file.name != MARK for file in folder.iterdir())):
        raise UsageError(f"--run-dir {folder}: exists and is not an empty folder")


def check_writable(folder: Path, flag: str) -> None:
    """UsageError unless `folder`, or the nearest parent that exists, takes a file and has 200 MiB free."""
    free = shutil.disk_usage(check_takes_files(folder, flag)).free
    if free < _FREE_BYTES:
        raise UsageError(f"{flag} {folder}: only {free // 2**20} MiB free on its disk; a run needs at least 200 MiB")


def check_takes_files(folder: Path, flag: str) -> Path:
    """The folder, or the nearest parent that exists; UsageError unless a file can be made in it."""
    place = folder
    while not place.exists():
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UsageError(f"{flag} {folder}: cannot write in {place}: {error.strerror}") from None
    return place


def _names(folder: Path) -> Iterator[Path]:
    yield folder
    for number in itertools.count(2):
        yield folder.with_name(f"{folder.name}-{number}")


def _folder(folder: Path, named: bool) -> tuple[Path, bool]:
    """The folder that is to be claimed, and whether it was made here."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for name in _names(folder):
        try:
            name.mkdir()
        except FileExistsError:
            if named:
                return name, False
        else:
            return name, True
    raise AssertionError("there is always a next name")


@contextlib.contextmanager
def _marked(folder: Path) -> Iterator[None]:
    """Only one process at a time gets past the mark: it makes the file, and removes it once the folder is a run."""
    mark = folder / MARK
    try:
        handle = os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        raise UsageError(
            f"--run-dir {folder}: another run is beginning in it; name another folder, or, if that one was killed as it "
            f"began, remove {mark}"
        ) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"process {os.getpid()} of {socket.gethostname()}\n")
        yield
    finally:
        mark.unlink()
