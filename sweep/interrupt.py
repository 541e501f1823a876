"""Ctrl-C ends every command with one line: nobody who types it asks where the program was."""

from __future__ import annotations

import sys
from types import TracebackType


def say_so() -> None:
    """Let a KeyboardInterrupt that nobody catches, in an import as well, be told in one line; all else is told as before.

    The interpreter then ends by the signal itself, which a shell calls 130.
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.stderr.write("\nstopped\n")
        else:
            before(kind, error, trace)

    sys.excepthook = hook
