"""How often a stage leaves its checkpoint: so seldom that what writing it takes stays a small share of the time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

SHARE = 20.0  # a checkpoint is due once this many times as long has passed as the last one took


class Pace:
    """Takes checkpoints no oftener than `SHARE` times as long as the last one took; the first one at once.

    A model of megabytes is saved in milliseconds, at every chance; one of gigabytes takes tens of seconds, and what a killed
    process then loses is minutes.
    """

    def __init__(self) -> None:
        self._took, self._ended = 0.0, -math.inf  # seconds, by the monotonic clock

    def take(self, save: Callable[[], None]) -> bool:
        """Call `save` if a checkpoint is due; whether it was."""
        began = time.monotonic()
        if began - self._ended < SHARE * self._took:
            return False
        save()
        self._ended = time.monotonic()
        self._took = self._ended - began
        return True
