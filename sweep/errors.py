"""The one error a user can mend: shown as a single line, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Names the thing that is wrong, the place, and the mend, in one line."""


def near(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the known names nearest to `name`, followed by all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    guess = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{guess}known: {', '.join(known) or 'none'}"
