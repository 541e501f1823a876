"""What a process keeps in memory between trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from trainables.store import Store

Value = TypeVar("Value")


class Bench:
    """A store, and what was last read of its artifacts. All products must already be in it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._kept: dict[Callable[..., object], tuple[str, object]] = {}

    def keep(self, key: str, read: Callable[[], Value], by: Callable[..., object]) -> Value:
        """What `read` makes of the artifact of this key; `by`, who asks, has it in memory until it asks for another key's.

        One each: rows are large, and trials that come one after the other mostly share theirs.
        """
        if by not in self._kept or self._kept[by][0] != key:
            self._kept.pop(by, None)  # before the next one comes
            self._kept[by] = key, read()
        return self._kept[by][1]  # type: ignore[return-value]  # it came from this very function
