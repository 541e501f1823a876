"""A file system that no longer answers, as a network's may, must not hold a process for ever."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")


def patience_s() -> float:
    """Seconds within which a file system has to show a sign of life: SWEEP_PATIENCE_S, by default two minutes."""
    return float(os.environ.get("SWEEP_PATIENCE_S", "120"))


def patiently(steps: Iterable[Item]) -> list[Item]:
    """All that `steps` gives, each within `patience_s`; what it raises is raised here. TimeoutError where it gives nothing.

    It is iterated in a thread of its own, for nothing ends a call that hangs in the kernel. The thread is left behind.
    """
    answers: queue.SimpleQueue[tuple[str, Item | BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            for item in steps:
                answers.put(("item", item))
            answers.put(("end", None))
        except BaseException as error:  # whatever it is: the caller waits for it
            answers.put(("error", error))

    threading.Thread(target=work, daemon=True, name="file system").start()
    items: list[Item] = []
    while True:
        try:
            what, answer = answers.get(timeout=patience_s())
        except queue.Empty:
            raise TimeoutError(f"no answer within {patience_s():g} s") from None
        if what == "end":
            return items
        if what == "error":
            assert isinstance(answer, BaseException)
            raise answer
        items.append(answer)  # type: ignore[arg-type]  # of kind "item"
