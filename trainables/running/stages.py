"""What a stage of a trial is to whoever runs it."""

from __future__ import annotations

from typing import Protocol

from trainables.running.stopwatch import Stopwatch
from trainables.store import Artifact


class Stage(Protocol):
    """A stage of a trial: `advance` until done or the deadline, then `commit`; `save_partial` in between."""

    name: str  # unique in a trial
    kind: str  # shared by stages that differ in the step alone to which they go
    key: str

    def advance(self, watch: Stopwatch, deadline: float) -> bool: ...
    def save_partial(self) -> None: ...
    def commit(self, watch: Stopwatch) -> Artifact: ...
