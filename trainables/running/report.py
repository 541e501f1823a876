"""What one step of a trial did: plain values that travel as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Report:
    """What one step did. `stage` is a row of the stages table, None while the stage goes on; `curves` are rows of that table.

    With `state` the trial is over: COMPLETE or PRUNED, with its `figures`, or FAIL with its `cause`. With `halt` the run cannot go
    on, and why: the artifact store is unusable, say, which is no fault of the trial's.
    """

    stage: dict[str, Any] | None = None
    curves: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    state: str | None = None
    cause: str | None = None
    halt: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
