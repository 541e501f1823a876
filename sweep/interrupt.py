"""Ctrl-C ends every command with one line: nobody who types it asks where the program was."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


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


def interrupted(command: str, plan: Path | None) -> int:
    """Say how to go on with what was stopped, where its plan is written; returns the exit code."""
    how = f"go on with: python -m {command} --resume {plan.parent}" if plan and plan.exists() else "nothing was begun"
    print(f"\nstopped; {how}", file=sys.stderr)
    return 130
