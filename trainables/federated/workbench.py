"""What a process keeps in memory between trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from trainables.store import Store

Value = TypeVar("Value")


class Bench:
    """A store, and what was read of its artifacts, by their keys. All products must already be in it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._kept: dict[tuple[str, Callable[..., object]], object] = {}

    def keep(self, key: str, read: Callable[[], Value], by: Callable[..., object]) -> Value:
        """What `read` makes of the artifact of this key, made once; `by` tells it from what others make of the same one."""
        if (key, by) not in self._kept:
            self._kept[key, by] = read()
        return self._kept[key, by]  # type: ignore[return-value]  # it came from this very function
