"""What classes are called: their order, and which names are numbers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def is_number(name: str) -> bool:
    """Whether a name is a whole number."""
    return name.isascii() and name.isdigit()


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Classes in the order of their conditions: alphabetical, as in torchvision; but whole numbers by size, 10 after 9."""
    ordered = sorted(names)
    if all(map(is_number, ordered)):
        ordered.sort(key=lambda name: (int(name), name))
    return tuple(ordered)


def guess(name: str, names: Iterable[str]) -> str:
    """``did you mean 'this'? ``; nothing where no name is near."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def few(names: Sequence[str], most: int = 5) -> str:
    """The first names of many."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
