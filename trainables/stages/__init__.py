"""The stages of a sweep: what is made once and shared, and what every trial does.

A stage's key is the hash of everything that determines its product, so asking for a key again finds it instead of making
it. Long stages are resumable: they run until a deadline and leave an in-stage checkpoint in the store.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Stopwatch:
    """Where a stage's time went: seconds by activity, elapsed seconds, and processor seconds of this process."""

    seconds: dict[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    core_s: float = 0.0

    @contextmanager
    def __call__(self, activity: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[activity] = self.seconds.get(activity, 0.0) + time.perf_counter() - start

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around every span in which the stage runs."""
        wall, core = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall_s += time.perf_counter() - wall
            self.core_s += time.process_time() - core

    def times(self) -> dict[str, float]:
        """Columns of the stages table."""
        activities = {f"{a}_s": self.seconds.get(a, 0.0) for a in ("training", "sampling", "scoring")}
        return {"wall_s": self.wall_s, "core_s": self.core_s} | activities
