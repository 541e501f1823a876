"""Arrays that the processes of a machine share: made once, kept in a file, and mapped into memory by whoever asks.

An array is ``KEY.npy`` in the folder of the `NodeCache`, with ``KEY.json`` beside it, which is written last and is the commit:
it bears the array's SHA-256 and a hash of its own. Whoever finds no array makes it under a lock, which the system lifts when
its holder ends, however it ends; the others wait and then find it. What a killed maker leaves has no sidecar, so it counts
for nothing, and the next one removes it. An array that is not as it was written is made again.

The pages of a mapped file lie in memory once, whoever reads them. Bytes that a process writes to its mapping stay its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from trainables.store.node_cache import NodeCache
from trainables.store.sidecar import checked, signed

_SIDECAR = frozenset({"sha256", "facts"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What an array will be and how it is made: `parts()` gives its rows in order, `facts` are plain values kept with it.

    `check` is shown the finished array, and what it raises leaves nothing behind. `whose` names it in messages.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    facts: Mapping[str, Any]
    parts: Callable[[], Iterator[np.ndarray]]
    check: Callable[[np.ndarray], None]
    whose: str


@dataclass(frozen=True)
class Shared:
    """An array with its facts. The array is mapped from the machine's file, or this process's own where none could be kept."""

    array: np.ndarray
    facts: dict[str, Any]


class _NotKept(Exception):
    """Why this machine keeps no file of an array."""


def node_array(key: str, recipe: Callable[[], Recipe]) -> Shared:
    """The array of this key (64 hexadecimal digits), found on this machine or made here; `recipe` is called to make it.

    Where the machine's folder cannot hold it, the process makes one for itself, and a warning says so. Raises what `recipe`,
    its parts and its check raise.
    """
    try:
        arrays = _Arrays(key)
        shared = arrays.find()
        if shared is None:
            with arrays.alone():
                shared = arrays.find() or arrays.make(recipe())  # another process may have made it meanwhile
        return shared
    except _NotKept as reason:
        making = recipe()
        _log.warning("%s: this machine keeps no decoded copy, so every process holds its own: %s", making.whose, reason)
        array = np.concatenate(list(making.parts()))
        making.check(array)
        return Shared(array, dict(making.facts))


class _Arrays:
    """The files of one key."""

    def __init__(self, key: str) -> None:
        with _kept():
            self.cache = NodeCache()
        self.key = key
        self.stem = os.path.join(self.cache.folder, key)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While no other process of this machine makes this array."""
        with _kept():
            lock = open(f"{self.stem}.lock", "w")  # noqa: SIM115  # closed below: its errors are not those of the making
        try:
            with _kept():
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            lock.close()

    def find(self) -> Shared | None:
        """The array, or None where it is not there; a damaged one is removed and counts as none."""
        try:
            shared = self._read()
            if shared is None:
                _log.warning("%s.npy: is not as it was written; it is made again", self.stem)
                self._remove("json", "npy")
            return shared
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _NotKept(str(error)) from error

    def _read(self) -> Shared | None:
        """The array, mapped, or None where it is damaged."""
        with open(f"{self.stem}.json", "rb") as file:
            sidecar = checked(self.key, file.read(), _SIDECAR, unsigned=False)
        if sidecar is None:
            return None
        with open(f"{self.stem}.npy", "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sidecar["sha256"]:
                return None
            for suffix in ("npy", "json"):  # what was read longest ago goes first
                os.utime(f"{self.stem}.{suffix}")
            return Shared(_mapped(file), sidecar["facts"])

    def make(self, recipe: Recipe) -> Shared:
        """The array, written part by part, so that its maker never holds more than a part of it."""
        size = int(np.prod(recipe.shape)) * recipe.dtype.itemsize
        with _kept():
            unfinished = [n for n in os.listdir(self.cache.folder) if n.startswith(self.key) and n.endswith(".tmp")]
            self._remove(*(name.removeprefix(f"{self.key}.") for name in unfinished))
            if not self.cache.make_room(size):
                raise _NotKept(f"it takes {size / 2**30:.1f} GiB; SWEEP_CACHE_GIB says how much may be kept")
        path = f"{self.stem}.{uuid.uuid4().hex}.tmp"
        try:
            with _kept():
                file = open(path, "w+b")  # noqa: SIM115  # closed below
            with file:
                digest = _written(file, recipe)
                array = _mapped(file)
            recipe.check(array)
            with _kept():
                os.replace(path, f"{self.stem}.npy")
                with open(path, "wb") as sidecar:
                    sidecar.write(signed(self.key, {"sha256": digest, "facts": dict(recipe.facts)}))
                os.replace(path, f"{self.stem}.json")
        finally:
            with contextlib.suppress(FileNotFoundError):  # it has its name
                os.remove(path)
        return Shared(array, dict(recipe.facts))

    def _remove(self, *suffixes: str) -> None:
        for suffix in suffixes:
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                os.remove(f"{self.stem}.{suffix}")


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """What the file system refuses here is the keeping of an array, not the making."""
    try:
        yield
    except OSError as error:
        raise _NotKept(str(error)) from error


def _written(file: IO[bytes], recipe: Recipe) -> str:
    """Write a recipe's array as NumPy's own format has it; its SHA-256. ValueError where the parts are not what it says."""
    with _kept():
        header = {"descr": npy.dtype_to_descr(recipe.dtype), "fortran_order": False, "shape": recipe.shape}
        npy.write_array_header_1_0(file, header)
        file.seek(0)
        digest = hashlib.sha256(file.read())
    rows = 0
    for part in recipe.parts():
        if part.dtype != recipe.dtype or part.shape[1:] != recipe.shape[1:]:
            raise ValueError(
                f"{recipe.whose}: decoded to {part.dtype} {part.shape[1:]}, not {recipe.dtype} {recipe.shape[1:]}"
            )
        content = np.ascontiguousarray(part).data
        rows += len(part)
        digest.update(content)
        with _kept():
            file.write(content)
    if rows != recipe.shape[0]:
        raise ValueError(f"{recipe.whose}: {rows} images were decoded where {recipe.shape[0]} are listed")
    with _kept():
        file.flush()
    return digest.hexdigest()


def _mapped(file: IO[bytes]) -> np.ndarray:
    """The array in an open file, mapped: the very file that was hashed, whatever has its name by now."""
    file.seek(0)
    npy.read_magic(file)
    shape, _, dtype = npy.read_array_header_1_0(file)
    return np.memmap(file, dtype, "c", file.tell(), shape)
