"""The one error a user can mend: shown as a single line, exit code 2."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

_LONGEST = 255  # bytes of one name in a path, on the file systems in use


class UsageError(Exception):
    """Names the thing that is wrong, the place, and the mend, in one line."""


class Parser(argparse.ArgumentParser):
    """A command line whose mistakes are one line as well; `--help` tells the rest."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse's; refused too is what would be a path that no file system takes, whatever it is the name of."""
        found, rest = super().parse_known_args(args, namespace)
        for name, value in vars(found).items():
            for text in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(text, str) and (why := _no_path(text)):
                    self.error(f"argument {name.replace('_', '-')}: {why}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _no_path(text: str) -> str | None:
    """Why no file can be called so. Lists, settings and SQL, which name none, may be as long as they like."""
    if "\0" in text:
        return f"{text[:40]!r} holds a NUL, which no name may"
    longest = max(map(len, map(str.encode, text.split("/"))))
    if longest > _LONGEST and not re.search(r"[\s,=]", text):
        return f"{text[:40]}… has a name of {longest} bytes; a file's may have {_LONGEST}"
    return None


def near(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the known names nearest to `name`, followed by all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    guess = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{guess}known: {', '.join(known) or 'none'}"
