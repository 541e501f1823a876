"""Where a stage's time went."""

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
    _since: tuple[float, float] | None = None  # elapsed and processor time at the start of the span that is open now

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
        self._since = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall_s, self.core_s = self._so_far()
            self._since = None

    def times(self) -> dict[str, float]:
        """Columns of the stages table, the span that is open now included; of activities those that there were."""
        activities = {f"{activity}_s": seconds for activity, seconds in self.seconds.items()}
        wall, core = self._so_far()
        return {"wall_s": wall, "core_s": core} | activities

    def _so_far(self) -> tuple[float, float]:
        if self._since is None:
            return self.wall_s, self.core_s
        wall, core = time.perf_counter() - self._since[0], time.process_time() - self._since[1]
        return self.wall_s + wall, self.core_s + core
