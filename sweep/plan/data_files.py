"""Data that a question is asked of, as mistakes about their folder are told."""

from __future__ import annotations

from collections.abc import Callable

from sweep.errors import UsageError


def cannot_be_had(error: Exception, folder_needed: bool = False) -> UsageError:
    """What to raise where data cannot be read: the error, and where a folder is missing, the flag that names it."""
    from trainables.data import FolderNeeded

    mend = "; say where with --data-folder DIR" if folder_needed or isinstance(error, FolderNeeded) else ""
    return UsageError(f"--data {error}{mend}")


def fingerprint_of(data: str, folder: str, recorded: str, fingerprint: Callable[[], str]) -> str:
    """The fingerprint of the data's files; UsageError where they cannot be read, or are not those that were `recorded`."""
    try:
        digest = fingerprint()
    except ValueError as error:
        raise UsageError(f"--data {data}: {error}") from error
    if recorded and digest != recorded:
        raise UsageError(
            f"--data-folder {folder or '(default)'}: not the files that this run began with; bring those back, "
            "or start a new run"
        )
    return digest
