"""Presets: a question asked at another size, by a name of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,19}")


@dataclass(frozen=True)
class Preset:
    """A named way of asking a question: flags as they would be typed, and parts of the `SearchSpace` in place of its own.

    The flags stand before those of the command line, which win; `parts` are fields of the space by name.
    """

    name: str
    help: str  # what it is for, in a few words
    flags: tuple[str, ...] = ()
    parts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"preset {self.name!r}: a name is of small letters, digits, '_' and '-', at most 20")
        if isinstance(self.flags, str) or not all(isinstance(word, str) for word in self.flags):
            raise UsageError(f"preset {self.name!r}: flags are a tuple of words, as they would be typed")
        if self.flags and not self.flags[0].startswith("--"):
            raise UsageError(f"preset {self.name!r}: flags begin with one, not with {self.flags[0]!r}")
