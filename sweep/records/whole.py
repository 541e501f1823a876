"""A file written whole or not at all: to a name beside it that is then its own, so that readers see the old file or the new."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives the temporary name to write to; it takes the file's place at the end, or goes where writing fails.

    A writer that is killed leaves it: `sweep.records.damage.leftovers` knows it by its name.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # there may be no such folder, or the disk is what fails
            temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all; text in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
