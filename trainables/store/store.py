"""Content-addressed artifacts: what a stage made, under the hash of everything that determines it.

An artifact is a JSON sidecar ``KEY.json`` saying what it is, and, where it has tensors, ``KEY.safetensors`` beside it. The
tensors are written first and the sidecar last, so a sidecar is the commit: a key is either whole or not there. Nothing is
ever pickled. The store lies on any file system Arrow can open: a folder, or an object store's URI, such as
``s3://bucket/prefix``. Object stores have no rename: there each file is written under its final name, where it appears whole.
What is read from one is kept on this machine too (`NodeCache`), and read from there as long as its hash is right.

``partial/KEY.safetensors`` holds the in-stage checkpoint of a stage that is still being made.

What is read is verified: tensors by the hash in their sidecar, a sidecar and a checkpoint by a hash of their own. A damaged
artifact is never used; it is moved to ``damaged/``, named there and in the log, and counts as not there: it is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, BinaryIO

import numpy as np
from pyarrow import fs

from trainables.store.errors import CorruptArtifact, MissingArtifact, StoreUnusable
from trainables.store.hashed import ends_with_its_hash, hash_of
from trainables.store.node_cache import Copy, NodeCache, NoRoom, in_memory, write_here
from trainables.store.patience import persistently
from trainables.store.sidecar import checked, named, signed
from trainables.store.tensor_file import CHUNK, TensorFile, file_chunks

Tensors = dict[str, np.ndarray]

_KEY = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(
    r"((?P<partial>partial)|[0-9a-f]{2})/((?P<key>[0-9a-f]{64})\.(?P<suffix>json|safetensors)|check-[0-9a-f]{32})"
    r"(?P<unfinished>\.[0-9a-f]{32}\.tmp)?"
)
RESTS_ON = "rests_on"  # the fact of an artifact that says it: see `Artifact.rests_on`
READ_WITH = "read_with"  # likewise: keys by name of other artifacts without which this one is of no use
_SENT = 64 * 2**20  # bytes: as many are written, and not yet on the disk or sent, before the writer waits for them
_DAMAGED = "damaged"  # folder of artifacts that were set aside
_log = logging.getLogger(__name__)


def artifact_key(kind: str, config: Mapping[str, Any], inputs: Mapping[str, str], code: str) -> str:
    """SHA-256 of everything that determines an artifact: its kind, config, inputs' keys and the stage's code version."""
    recipe = {"kind": kind, "config": config, "inputs": inputs, "code": code}
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def is_key(text: str) -> bool:
    """Whether this is an artifact's key rather than a name."""
    return bool(_KEY.fullmatch(text))


@dataclass(frozen=True)
class Artifact:
    """A committed artifact: its key, kind and facts; `tensors()` and `mapped()` read and verify the rest."""

    store: Store
    key: str
    kind: str
    facts: dict[str, Any]
    sha256: str | None
    made_at: float | None = field(default=None, compare=False)  # seconds since 1970

    @property
    def rests_on(self) -> str | None:
        """Key of the artifact of which this one holds only what differs; None where it holds all itself."""
        return self.facts.get(RESTS_ON)

    @property
    def read_with(self) -> set[str]:
        """Keys of the artifacts without which this one is of no use: what it rests on, and those that its facts name so."""
        keys = [self.facts.get(RESTS_ON), *self.named_with.values()]
        return {key for key in keys if isinstance(key, str) and is_key(key)}

    @property
    def named_with(self) -> dict[str, str]:
        """What it is read with but rests not on, keys by name: ``{"prompts": …}``."""
        named = self.facts.get(READ_WITH)
        return dict(named) if isinstance(named, dict) else {}

    def key_read_with(self, name: str) -> str:
        """The key of an artifact that this one is read with, by its name; MissingArtifact where it names none so."""
        key = self.named_with.get(name)
        if not isinstance(key, str) or not is_key(key):
            what = f"artifact {self.key[:12]} ({self.kind}) in {self.store.name}"
            raise MissingArtifact(f"{what}: names no {name} that it goes with; other code made it", self.key)
        return key

    def tensors(self) -> Tensors:
        """The artifact's arrays by name, in memory. Raises CorruptArtifact where the file differs from what was written."""
        return {} if self.sha256 is None else self.mapped().arrays()

    def mapped(self) -> TensorFile:
        """The artifact's tensors, of torch, each read when it is asked for. Raises CorruptArtifact as `tensors` does."""
        file = self.store._opened(self.key, self.sha256) if self.sha256 else None
        if file is None:
            what = f"artifact {self.key[:12]} ({self.kind}) in {self.store.name}: its tensors are damaged or missing"
            self.store._set_aside(self.key, what)
            raise CorruptArtifact(f"{what}; it was set aside, to be made again", self.key)
        with file:
            return TensorFile(file)


@dataclass(frozen=True)
class StoredFile:
    """A file of a store, by its path there, and what it is: ``json``, ``safetensors``, ``partial`` or ``unfinished``."""

    path: str
    key: str
    what: str
    size: int  # bytes
    modified: float  # seconds since 1970


class Store:
    """The artifacts under one root: a folder, or a URI such as ``s3://bucket/prefix``."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)

    @property
    def name(self) -> str:
        """The root as messages say it: without a URI's options, which may hold what is nobody's business."""
        return self.root.partition("?")[0] if "://" in self.root else self.root

    def find(self, key: str) -> Artifact | None:
        """The artifact of this key, or None where it was never committed; a damaged sidecar is set aside and counts as none."""
        data = self._read(self._path(key, "json"))
        if data is None:
            return None
        sidecar = checked(key, data)
        if sidecar is None:
            self._set_aside(key, f"artifact {key[:12]} in {self.name}: its sidecar is damaged")
            return None
        return Artifact(self, key, **named(sidecar))

    def whole(self, key: str) -> Artifact | None:
        """As `find`, with its tensors read and verified: an artifact whose tensors are damaged is set aside too."""
        artifact = self.find(key)
        if artifact is None or artifact.sha256 is None:
            return artifact
        file = self._opened(key, artifact.sha256)
        if file is not None:
            file.close()
            return artifact
        self._set_aside(
            key, f"artifact {key[:12]} ({artifact.kind}) in {self.name}: its tensors are damaged or missing"
        )
        return None

    def examine(self, key: str) -> str:
        """``whole``, ``damaged`` or ``missing`` in the store itself, whatever this machine keeps of it: nothing is moved."""
        data = self._read(self._path(key, "json"))
        if data is None:
            return "missing"
        sidecar = checked(key, data)
        if sidecar is None:
            return "damaged"
        if sidecar["sha256"] is None:
            return "whole"
        file = self._stored(key, sidecar["sha256"], known=False)
        if file is None:
            return "damaged"
        file.close()
        return "whole"

    def corrupt(self, artifact: Artifact, what: str) -> CorruptArtifact:
        """Set an artifact aside that cannot be used, unless it has been made again; the error that says so."""
        if self.find(artifact.key) == artifact:
            self._move_aside(artifact.key, what)
        return CorruptArtifact(f"{what}; it was set aside, to be made again", artifact.key)

    def get(self, key: str) -> Artifact:
        """The artifact of this key; MissingArtifact where a stage's input is not in the store."""
        artifact = self.find(key)
        if artifact is None:
            raise MissingArtifact(
                f"no artifact {key[:12]} in {self.name}: the stage that makes it has not run, or it was damaged", key
            )
        return artifact

    def damaged(self) -> list[str]:
        """Names of the files that were set aside: ``KEY.TIME.json`` and ``KEY.TIME.safetensors``."""
        selector = fs.FileSelector(f"{self._place[1]}/{_DAMAGED}", allow_not_found=True)
        return sorted(f.base_name for f in self._ask(lambda: self._files.get_file_info(selector), "list damaged/"))

    def put(self, key: str, kind: str, facts: Mapping[str, Any], tensors: Mapping[str, Any] | None = None) -> Artifact:
        """Commit an artifact; writing a key again replaces it by the same content. Tensors are numpy's or torch's."""
        sha256 = None
        if tensors is not None:
            sha256 = self._written_and_hashed(self._path(key, "safetensors"), partial(file_chunks, tensors))
        sidecar: dict[str, Any] = {"kind": kind, "facts": dict(facts), "sha256": sha256, "made_at": time.time()}
        self._write(self._path(key, "json"), lambda: [signed(key, sidecar)])
        return Artifact(self, key, **sidecar)

    def save_partial(self, key: str, tensors: Mapping[str, Any]) -> None:
        """Replace the in-stage checkpoint of the stage that will make `key`. Tensors are numpy's or torch's."""
        self._write(self._partial(key), partial(file_chunks, tensors, signed=True))

    def load_partial(self, key: str) -> Tensors | None:
        """The arrays of the in-stage checkpoint under `key`, or None; a damaged one counts as none, for it can be made again."""
        partial = self.mapped_partial(key)
        return None if partial is None else partial.arrays()

    def mapped_partial(self, key: str, verified: bool = True) -> TensorFile | None:
        """As `load_partial`, each tensor, of torch, read when it is asked for. Not `verified`: never to go on from."""
        file = self._opened_file(self._partial(key), lambda _, file: ends_with_its_hash(file) if verified else [True])
        if file is None:
            return None
        with file:
            try:
                return TensorFile(file)
            except ValueError:
                return None

    def drop_partial(self, key: str) -> None:
        """Forget the in-stage checkpoint under `key`, if there is one."""
        with contextlib.suppress(FileNotFoundError):  # another process that made the same artifact may have been faster
            self._ask(lambda: self._files.delete_file(self._partial(key)), f"delete {key[:12]}")

    def delete(self, key: str) -> None:
        """Remove an artifact, its sidecar first: that was the commit, and what a killed process leaves is no artifact."""
        for suffix in ("json", "safetensors"):
            self.remove(f"{key[:2]}/{key}.{suffix}")

    def remove(self, path: str) -> None:
        """Remove one of `files`, if it is still there."""
        with contextlib.suppress(FileNotFoundError):
            self._ask(lambda: self._files.delete_file(f"{self._place[1]}/{path}"), f"delete {path}")

    def files(self) -> list[StoredFile]:
        """All that is the store's own, sidecars first; what was set aside and whatever else lies there is left out."""
        selector = fs.FileSelector(self._place[1], recursive=True, allow_not_found=True)
        stored = []
        for info in self._ask(lambda: self._files.get_file_info(selector), "list it"):
            path = info.path.removeprefix(self._place[1]).lstrip("/")
            if info.type == fs.FileType.File and (known := _FILE.fullmatch(path)):
                what = "unfinished" if known["unfinished"] else "partial" if known["partial"] else known["suffix"]
                stored.append(StoredFile(path, known["key"] or "", what, info.size, info.mtime.timestamp()))
        return sorted(stored, key=lambda file: (file.what != "json", file.path))

    def _set_aside(self, key: str, what: str) -> None:
        """Move an artifact that was found damaged to ``damaged/``, unless another process has made it again meanwhile."""
        if self.examine(key) != "whole":
            self._move_aside(key, what)

    def _move_aside(self, key: str, what: str) -> None:
        _log.warning("%s; set aside in %s/, to be made again", what, _DAMAGED)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        folder = f"{self._place[1]}/{_DAMAGED}"
        for suffix in ("json", "safetensors"):  # the sidecar first: without it there is no artifact
            source, target = self._path(key, suffix), f"{folder}/{key}.{stamp}.{suffix}"
            with contextlib.suppress(FileNotFoundError):  # there was none, or another process was faster
                self._ask(partial(self._move, source, target), f"set aside {key[:12]}")

    def _move(self, source: str, target: str) -> None:
        if self._files.get_file_info(source).type == fs.FileType.NotFound:
            raise FileNotFoundError(source)
        if self._renames:
            self._files.create_dir(target.rpartition("/")[0], recursive=True)
        self._files.move(source, target)

    def check(self) -> None:
        """Write, read and delete a file, as every trial will. StoreUnusable or ValueError where the store cannot be used."""
        path = f"{self._place[1]}/partial/check-{uuid.uuid4().hex}"
        self._write(path, lambda: [b"check"])
        if self._read(path) != b"check":
            raise StoreUnusable(f"artifact store {self.name}: a file that was just written does not read the same")
        with contextlib.suppress(FileNotFoundError):  # deleted, though it was told otherwise
            self._ask(lambda: self._files.delete_file(path), f"delete {path}")

    def _opened(self, key: str, sha256: str) -> BinaryIO | None:
        """The verified file of an artifact's tensors, from this machine where it has them; None where damaged or missing."""
        return (self._cache.open(sha256) if self._cache else None) or self._stored(key, sha256)

    def _stored(self, key: str, sha256: str, known: bool = True) -> BinaryIO | None:
        """The file of an artifact's tensors in the store, or None where it is not the one that was written."""

        def verdict(path: str, file: BinaryIO) -> Iterator[bool]:
            return (digest == sha256 for digest in hash_of(path, file, known))

        return self._opened_file(self._path(key, "safetensors"), verdict, sha256)

    def _opened_file(
        self, path: str, verdict: Callable[[str, BinaryIO], Iterable[bool]], keep_as: str = ""
    ) -> BinaryIO | None:
        """A file of the store on this machine, fetched there if need be, if the last of `verdict` is true; else None."""
        opened: list[BinaryIO] = []

        def steps() -> Iterator[bool]:
            for before in opened:
                before.close()
            opened[:] = [open(path, "rb")]  # noqa: SIM115  # closed below, or by who gets it
            yield from verdict(path, opened[0])

        try:
            if self._cache:
                return self._fetched(path, verdict, keep_as)
            good = self._patiently(steps, f"read {path}")[-1]
        except FileNotFoundError:
            return None
        if good:
            return opened[0]
        opened[0].close()
        return None

    def _fetched(self, path: str, verdict: Callable[[str, BinaryIO], Iterable[bool]], keep_as: str) -> BinaryIO | None:
        """As `_opened_file` of an object store; the file is kept on this machine where `keep_as` names its hash.

        Where this machine's disk has no room it is read into memory, and not kept.
        """
        cache = self._cache
        assert cache
        try:
            with cache.receiving() as file:
                if not self._received(path, file, verdict):
                    return None
                if keep_as:
                    cache.keep(file, keep_as)
                return os.fdopen(os.dup(file.fileno()), "rb")
        except NoRoom as error:
            _log.warning("%s: %s; what is read from %s is held in memory; SWEEP_CACHE can name a folder on a larger disk",
                         cache.folder, error, self.name)  # fmt: skip
        with in_memory() as file:
            return os.fdopen(os.dup(file.fileno()), "rb") if self._received(path, file, verdict) else None

    def _received(self, path: str, file: BinaryIO, verdict: Callable[[str, BinaryIO], Iterable[bool]]) -> bool:
        """Read a file of the store into this one; the last of `verdict` on it."""

        def chunks() -> Iterator[None]:
            if file.tell():  # what came before an error
                file.seek(0)
                file.truncate()
            with self._files.open_input_stream(path) as stream:
                while chunk := stream.read(CHUNK):
                    write_here(file, chunk)
                    yield

        self._patiently(chunks, f"read {path}")
        return [*verdict(str(file.name), file)][-1]

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
        def chunks() -> Iterator[bytes]:
            with self._files.open_input_stream(path) as stream:
                while chunk := stream.read(CHUNK):
                    yield chunk

        try:
            return b"".join(self._patiently(chunks, f"read {path}"))
        except FileNotFoundError:
            return None

    def _written_and_hashed(self, path: str, parts: Callable[[], Iterable[bytes | memoryview]]) -> str:
        """Write a file; its SHA-256. Of an object store this machine keeps a copy."""
        digest = hashlib.sha256()

        def hashed(kept: Copy | None) -> Iterator[bytes | memoryview]:
            nonlocal digest
            digest = hashlib.sha256()
            if kept:
                kept.begin()
            for part in parts():
                digest.update(part)
                if kept:
                    kept.write(part)
                yield part

        if self._cache is None:
            self._write(path, lambda: hashed(None))
        else:
            with self._cache.copying() as copy:
                self._write(path, lambda: hashed(copy))
                if copy:
                    copy.keep(self._cache, digest.hexdigest())
        return digest.hexdigest()

    def _write(self, path: str, data: Callable[[], Iterable[bytes | memoryview]]) -> None:
        """Write a file of what `data` gives, which is asked anew where the file has to be."""
        self._patiently(lambda: self._written(path, data()), f"write {path}")

    def _written(self, path: str, data: Iterable[bytes | memoryview]) -> Iterator[None]:
        if self._renames:  # object stores have no folders
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
        target = f"{path}.{uuid.uuid4().hex}.tmp" if self._renames else path
        try:
            with self._opened_to_write(target) as stream:
                left = _SENT
                for part in data:
                    stream.write(part)
                    left -= len(part)
                    if left <= 0:  # else all of a large file is on its way when it is closed, without a sign of life
                        stream.flush()
                        if self._renames:
                            os.fsync(stream.fileno())
                        left = _SENT
                    yield
            if self._renames:
                self._files.move(target, path)
        except OSError:
            with contextlib.suppress(OSError):  # what failed may fail here too, and the first time says why
                if self._renames and self._files.get_file_info(target).type != fs.FileType.NotFound:
                    self._files.delete_file(target)
            raise

    def _opened_to_write(self, path: str) -> Any:
        """A new file. Arrow sends parts of one to an object store in the background; its `flush` waits for those on their way."""
        return open(path, "xb") if self._renames else self._files.open_output_stream(path)

    def _ask(self, call: Callable[[], Any], what: str) -> Any:
        """A short call of the file system's; StoreUnusable as `_patiently` says."""
        return self._patiently(lambda: (call() for _ in range(1)), what)[0]

    def _patiently(self, begin: Callable[[], Iterable[Any]], what: str) -> list[Any]:
        """All that `begin` gives, begun anew after an error that passes.

        StoreUnusable, in one line, where the file system refuses, does not answer in time or has been asked for long enough.
        """
        try:
            return persistently(begin)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreUnusable(f"artifact store {self.name}: cannot {what}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """What is wrong, in a few words: Arrow's messages repeat the path."""
    return os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
