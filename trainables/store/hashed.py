"""SHA-256 of files that may be large: read in parts, and of a file that stays as it was once a process."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from typing import BinaryIO

from trainables.store.tensor_file import CHUNK

_SETTLED_S = 2.0  # a file changed less than this ago may change again without its time saying so: file systems' clocks are coarse
_Identity = tuple[int, int, int, int]  # device, inode, bytes, nanoseconds of the last change
_known: dict[str, tuple[_Identity, str]] = {}  # by path


def hash_of(path: str, file: BinaryIO, known: bool = True) -> Iterator[str]:
    """Hash the open file at `path`; a step a part, "" while it goes on and at last the hash, in hexadecimal.

    With `known` a file of the path, inode, size and time of one that this process has hashed is not read again.
    """
    stat = os.fstat(file.fileno())
    identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    before, digest = _known.get(path), hashlib.sha256()
    if known and before is not None and before[0] == identity:
        yield before[1]
        return
    began = time.time()
    file.seek(0)
    while part := file.read(CHUNK):
        digest.update(part)
        yield ""
    if stat.st_mtime_ns < (began - _SETTLED_S) * 1e9:
        _known[path] = identity, digest.hexdigest()
    yield digest.hexdigest()


def ends_with_its_hash(file: BinaryIO) -> Iterator[bool]:
    """Whether a file ends with the SHA-256 of all before, as a signed one does; a step a part, the last says."""
    digest = hashlib.sha256()
    left = os.fstat(file.fileno()).st_size - digest.digest_size
    file.seek(0)
    while left > 0 and (part := file.read(min(CHUNK, left))):
        digest.update(part)
        left -= len(part)
        yield False
    yield left == 0 and file.read() == digest.digest()
