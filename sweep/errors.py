"""The one error a user can mend: shown as a single line, exit code 2."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable
from typing import NoReturn


class UsageError(Exception):
    """Names the thing that is wrong, the place, and the mend, in one line."""


class Parser(argparse.ArgumentParser):
    """A command line whose mistakes are one line as well; `--help` tells the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def near(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the known names nearest to `name`, followed by all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    guess = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{guess}known: {', '.join(known) or 'none'}"
