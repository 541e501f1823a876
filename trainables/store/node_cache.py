"""What this machine keeps for its processes: what was read from an object store, under its hash, and arrays (`node_arrays`)."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from trainables.store.hashed import hash_of

_ABANDONED_S = 3600.0
_log = logging.getLogger(__name__)


class NoRoom(Exception):
    """This machine's own disk does not take what was to be kept on it; no word of the store's."""


class NodeCache:
    """Files on this machine's own disk, named by their SHA-256: what was read from an object store is not fetched twice.

    In the folder that SWEEP_CACHE names, or in the temporary one. A file that no longer has its hash is deleted, not read; those
    read longest ago go first where they take more than SWEEP_CACHE_GIB (default 20). ValueError where that is no number of GiB.
    """

    def __init__(self) -> None:
        usual = os.path.join(tempfile.gettempdir(), f"unlearning-sweeps-{os.getuid()}")
        self.folder = os.environ.get("SWEEP_CACHE", usual)
        self.limit = _limit(os.environ.get("SWEEP_CACHE_GIB") or "20")
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        if os.stat(self.folder).st_uid != os.getuid():  # in a shared temporary folder, someone else may have made it
            raise PermissionError(f"{self.folder}: belongs to another user; name a folder of your own in SWEEP_CACHE")

    def open(self, sha256: str) -> BinaryIO | None:
        """The file of this hash, opened, or None, where this machine's disk cannot read it too."""
        try:
            return self._open(sha256)
        except OSError as error:
            _log.warning("%s: cannot be read: %s", self.folder, error)
            return None

    def _open(self, sha256: str) -> BinaryIO | None:
        path = os.path.join(self.folder, sha256)
        try:
            file = open(path, "rb")  # noqa: SIM115  # it is the caller's to close
        except FileNotFoundError:
            return None
        *_, digest = hash_of(path, file)
        if digest == sha256:
            # It was read, not changed. By the open file: another process that makes room may have deleted its name.
            os.utime(file.fileno(), ns=(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns))
            file.seek(0)
            return file
        file.close()
        with contextlib.suppress(FileNotFoundError):  # another process may have seen it first
            os.remove(path)
        return None

    @contextlib.contextmanager
    def receiving(self) -> Iterator[BinaryIO]:
        """A new file to write to, which is gone afterwards unless it was given to `keep`. NoRoom where there can be none."""
        path = os.path.join(self.folder, f"{uuid.uuid4().hex}.tmp")
        try:
            file = open(path, "w+b")  # noqa: SIM115  # closed below, without a second word of what could not be written
        except OSError as error:
            raise NoRoom(error.strerror) from error
        try:
            yield file
        finally:
            with contextlib.suppress(FileNotFoundError):  # it was kept
                os.remove(path)
            with contextlib.suppress(OSError):
                file.close()

    @contextlib.contextmanager
    def copying(self) -> Iterator[Copy | None]:
        """What takes a copy of something that is written elsewhere; None where this machine has no room."""
        with contextlib.ExitStack() as received:
            copy = None
            try:
                copy = Copy(received.enter_context(self.receiving()))
            except NoRoom as error:
                _log.warning("%s: keeps no copy: %s", self.folder, error)
            yield copy

    def keep(self, file: BinaryIO, sha256: str) -> None:
        """Keep a received file as the one of this hash, unless it alone is more than the limit or this machine cannot."""
        try:
            file.flush()
            size = os.fstat(file.fileno()).st_size
            if self.make_room(size, os.path.basename(file.name)):
                os.replace(file.name, os.path.join(self.folder, sha256))
        except OSError as error:  # who reads it next fetches it
            _log.warning("%s: keeps no copy: %s", self.folder, error)

    def make_room(self, wanted: int, received: str = "") -> bool:
        """Delete what was read longest ago until `wanted` bytes more may be kept; False where they alone are too many.

        What is being `received` is not counted, a file's name in the folder. What other processes are writing is, and stays.
        """
        if wanted > self.limit:
            return False
        used, files = 0, []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name == received:
                    continue
                with contextlib.suppress(FileNotFoundError):  # another process makes room as well
                    stat = entry.stat()
                    used += stat.st_size
                    if not _in_use(entry.name, stat.st_mtime):
                        files.append((stat.st_atime, stat.st_size, entry.path))
        for _read_at, size, path in sorted(files):
            if used + wanted <= self.limit:
                break
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
            used -= size
        return True


class Copy:
    """What is written elsewhere, in a received file too, as long as this machine's disk takes it: the copy is a convenience."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self._whole = file, True

    def begin(self) -> None:
        """What was written counts no more: it is written anew."""
        if self._whole and self.file.tell():
            self.file.seek(0)
            self.file.truncate()

    def write(self, part: bytes | memoryview) -> None:
        if not self._whole:
            return
        try:
            self.file.write(part)
            self.file.flush()
        except OSError as error:
            self._whole = False
            _log.warning("%s: keeps no copy: %s", os.path.dirname(self.file.name), error)

    def keep(self, cache: NodeCache, sha256: str) -> None:
        """Keep it as the file of this hash, if all of it was taken."""
        if self._whole:
            cache.keep(self.file, sha256)


def write_here(file: BinaryIO, chunk: bytes) -> None:
    """Write to a file of this machine's. NoRoom where its disk does not take it: it was not the store that failed."""
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise NoRoom(error.strerror) from error


def in_memory() -> BinaryIO:
    """A new file that takes no disk, where the system has such; else one in the temporary folder, on another disk perhaps."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("from a store"), "w+b")
    return tempfile.TemporaryFile()


def _in_use(name: str, changed: float) -> bool:
    """Whether a file is somebody's lock, or is being written; what nobody has written to for long a killed process left."""
    return name.endswith(".lock") or (name.endswith(".tmp") and time.time() - changed < _ABANDONED_S)


def _limit(gibibytes: str) -> int:
    """Bytes; ValueError for what is no number of GiB."""
    try:
        limit = float(gibibytes)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise ValueError(f"SWEEP_CACHE_GIB={gibibytes!r}: give a number of GiB from 0, such as 20")
    return int(limit * 2**30)
