"""What this machine keeps for its processes: what was read from an object store, under its hash, and arrays (`node_arrays`)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import uuid


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
        if os.stat(self.folder).st_uid != os.getuid():  # in a shared temporary folder, someone else may have made it
            raise PermissionError(f"{self.folder}: belongs to another user; name a folder of your own in SWEEP_CACHE")

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
        if not self.make_room(len(data)):
            return
        path = os.path.join(self.folder, sha256)
        with open(f"{path}.{uuid.uuid4().hex}.tmp", "wb") as file:
            file.write(data)
        os.replace(file.name, path)

    def make_room(self, wanted: int) -> bool:
        """Delete what was read longest ago until `wanted` bytes more may be kept; False where they alone are too many."""
        if wanted > self.limit:
            return False
        used, files = 0, []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process makes room as well
                    stat = entry.stat()
                    used += stat.st_size
                    files.append((stat.st_mtime, stat.st_size, entry.path))
        for _read_at, size, path in sorted(files):
            if used + wanted <= self.limit:
                break
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
            used -= size
        return True
