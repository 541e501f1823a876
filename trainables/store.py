"""Content-addressed artifacts: what a stage made, under the hash of everything that determines it.

An artifact is a JSON sidecar ``KEY.json`` saying what it is, and, where it has tensors, ``KEY.safetensors`` beside it. The
tensors are written first and the sidecar last, so a sidecar is the commit: a key is either whole or not there. Nothing is
ever pickled. The store lies on any file system Arrow can open: a folder, or an object store's URI, such as
``s3://bucket/prefix``. Object stores have no rename: there each file is written under its final name, where it appears whole.
What is read from one is kept on this machine too (`NodeCache`), and read from there as long as its hash is right.

``partial/KEY.safetensors`` holds the in-stage checkpoint of a stage that is still being made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import safetensors.numpy
from pyarrow import fs

Tensors = dict[str, np.ndarray]

_KEY = re.compile(r"[0-9a-f]{64}")


def artifact_key(kind: str, config: Mapping[str, Any], inputs: Mapping[str, str], code: str) -> str:
    """SHA-256 of everything that determines an artifact: its kind, config, inputs' keys and the stage's code version."""
    recipe = {"kind": kind, "config": config, "inputs": inputs, "code": code}
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def is_key(text: str) -> bool:
    """Whether this is an artifact's key rather than a name."""
    return bool(_KEY.fullmatch(text))


class CorruptArtifact(RuntimeError):
    """An artifact's tensors do not have the hash its sidecar promises."""


@dataclass(frozen=True)
class Artifact:
    """A committed artifact: its key, kind and facts; `tensors()` reads and verifies the rest."""

    store: Store
    key: str
    kind: str
    facts: dict[str, Any]
    sha256: str | None

    def tensors(self) -> Tensors:
        """The artifact's arrays by name. Raises CorruptArtifact where the file differs from what was written."""
        if self.sha256 is None:
            return {}
        data = self.store._content(self.key, self.sha256)
        if data is None or hashlib.sha256(data).hexdigest() != self.sha256:
            state = "missing" if data is None else "damaged"
            raise CorruptArtifact(
                f"artifact {self.key[:12]} ({self.kind}): its tensors are {state}; delete its .json to have it made again"
            )
        return safetensors.numpy.load(data)


class Store:
    """The artifacts under one root: a folder, or a URI such as ``s3://bucket/prefix``."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)

    def find(self, key: str) -> Artifact | None:
        """The artifact of this key, or None where it was never committed."""
        data = self._read(self._path(key, "json"))
        if data is None:
            return None
        sidecar = json.loads(data)
        return Artifact(self, key, sidecar["kind"], sidecar["facts"], sidecar["sha256"])

    def get(self, key: str) -> Artifact:
        """The artifact of this key; KeyError where a stage's input is missing from the store."""
        artifact = self.find(key)
        if artifact is None:
            raise KeyError(f"no artifact {key[:12]} in {self.root}: the stage that makes it has not run")
        return artifact

    def put(
        self, key: str, kind: str, facts: Mapping[str, Any], tensors: Mapping[str, np.ndarray] | None = None
    ) -> Artifact:
        """Commit an artifact; writing a key again replaces it by the same content."""
        sha256 = None
        if tensors is not None:
            data = safetensors.numpy.save(_contiguous(tensors))
            sha256 = hashlib.sha256(data).hexdigest()
            self._write(self._path(key, "safetensors"), data)
            if self._cache:
                self._cache.put(sha256, data)
        sidecar = {"kind": kind, "facts": dict(facts), "sha256": sha256, "made_at": time.time()}
        self._write(self._path(key, "json"), json.dumps(sidecar, indent=1, sort_keys=True).encode())
        return Artifact(self, key, kind, dict(facts), sha256)

    def save_partial(self, key: str, tensors: Mapping[str, np.ndarray]) -> None:
        """Replace the in-stage checkpoint of the stage that will make `key`."""
        self._write(self._partial(key), safetensors.numpy.save(_contiguous(tensors)))

    def load_partial(self, key: str) -> Tensors | None:
        """The in-stage checkpoint under `key`, or None; a damaged one counts as none, for it can be made again."""
        data = self._read(self._partial(key))
        if data is None:
            return None
        try:
            return safetensors.numpy.load(data)
        except safetensors.SafetensorError:
            return None

    def drop_partial(self, key: str) -> None:
        """Forget the in-stage checkpoint under `key`, if there is one."""
        with contextlib.suppress(FileNotFoundError):  # another process that made the same artifact may have been faster
            self._files.delete_file(self._partial(key))

    def check(self) -> None:
        """Write, read and delete a file, as every trial will. OSError or ValueError where the store cannot be used."""
        path = f"{self._place[1]}/partial/check-{uuid.uuid4().hex}"
        self._write(path, b"check")
        if self._read(path) != b"check":
            raise OSError("a file that was just written does not read the same")
        self._files.delete_file(path)

    def _content(self, key: str, sha256: str) -> bytes | None:
        """The bytes of an artifact's tensors, from this machine where it has them; None where the store lacks them."""
        kept = self._cache.get(sha256) if self._cache else None
        if kept is not None:
            return kept
        data = self._read(self._path(key, "safetensors"))
        if data is not None and self._cache and hashlib.sha256(data).hexdigest() == sha256:
            self._cache.put(sha256, data)
        return data

    @cached_property
    def _cache(self) -> NodeCache | None:
        """None for a folder: what of it is far away, its file system caches."""
        return None if self._renames else NodeCache()

    @cached_property
    def _place(self) -> tuple[fs.FileSystem, str]:
        if "://" in self.root:
            return fs.FileSystem.from_uri(self.root)
        return fs.LocalFileSystem(), os.path.abspath(self.root)

    @property
    def _files(self) -> fs.FileSystem:
        return self._place[0]

    @property
    def _renames(self) -> bool:
        """Object stores have no rename; there a file appears whole when its writer closes it."""
        return isinstance(self._files, fs.LocalFileSystem)

    def _path(self, key: str, suffix: str) -> str:
        if not is_key(key):
            raise ValueError(f"{key!r} is no artifact key (64 hexadecimal digits)")
        return f"{self._place[1]}/{key[:2]}/{key}.{suffix}"

    def _partial(self, key: str) -> str:
        return "/partial/".join(self._path(key, "safetensors").rsplit(f"/{key[:2]}/", 1))

    def _read(self, path: str) -> bytes | None:
        try:
            with self._files.open_input_stream(path) as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def _write(self, path: str, data: bytes) -> None:
        if self._renames:  # object stores have no folders
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
        target = f"{path}.{uuid.uuid4().hex}.tmp" if self._renames else path
        try:
            with self._files.open_output_stream(target) as stream:
                stream.write(data)
            if self._renames:
                self._files.move(target, path)
        except OSError:
            if self._renames and self._files.get_file_info(target).type != fs.FileType.NotFound:
                self._files.delete_file(target)
            raise


class NodeCache:
    """Files on this machine's own disk, named by their SHA-256: what was read from an object store is not fetched twice.

    In the folder that SWEEP_CACHE names, or in the temporary one. A file that no longer has its hash is deleted, not read; those
    read longest ago go first where they take more than SWEEP_CACHE_GIB (default 20).
    """

    def __init__(self) -> None:
        usual = os.path.join(tempfile.gettempdir(), f"unlearning-sweeps-{os.getuid()}")
        self.folder = os.environ.get("SWEEP_CACHE", usual)
        self.limit = int(float(os.environ.get("SWEEP_CACHE_GIB", "20")) * 2**30)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)

    def get(self, sha256: str) -> bytes | None:
        """The content of this hash, or None."""
        path = os.path.join(self.folder, sha256)
        try:
            with open(path, "rb") as file:
                data = file.read()
            os.utime(path)
        except FileNotFoundError:
            return None
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        with contextlib.suppress(FileNotFoundError):  # another process may have seen it first
            os.remove(path)
        return None

    def put(self, sha256: str, data: bytes) -> None:
        """Keep a content, unless it alone is more than the limit."""
        self._make_room(len(data))
        if len(data) > self.limit:
            return
        path = os.path.join(self.folder, sha256)
        with open(f"{path}.{uuid.uuid4().hex}.tmp", "wb") as file:
            file.write(data)
        os.replace(file.name, path)

    def _make_room(self, wanted: int) -> None:
        used, files = 0, []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process makes room as well
                    stat = entry.stat()
                    used += stat.st_size
                    files.append((stat.st_mtime, stat.st_size, entry.path))
        for _read_at, size, path in sorted(files):
            if used + wanted <= self.limit:
                return
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
            used -= size


def _contiguous(tensors: Mapping[str, np.ndarray]) -> Tensors:
    """Row-major arrays, as safetensors writes them; unlike `ascontiguousarray`, a scalar stays a scalar."""
    return {name: np.asarray(array, order="C") for name, array in tensors.items()}
