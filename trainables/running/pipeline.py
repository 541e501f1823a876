"""The stages of one replicate as steps that each end with a stage or after a while: what a trial of any procedure does.

Every step returns a `Report`, plain values that travel as JSON. What a stage made is in the store before its report
exists, so a trial that is asked for again finds its finished stages and runs none of them twice.
"""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from trainables.running.pace import Pace
from trainables.running.report import Report
from trainables.running.stages import Stage
from trainables.running.stopwatch import Stopwatch
from trainables.store import Artifact, CorruptArtifact, MissingArtifact, Store

STEP_SECONDS = 30.0
_MENDINGS = 2  # of one artifact by one trial: a disk that damages it every time is no disk to go on with


class Pipeline:
    """The stages of one replicate, one after the other, in this process. A procedure's own says which, and what they mean.

    `bench` is what a process keeps between the trials of one procedure; it has a `store`. `activities` are what stages
    spend their time with, each a column of the stages table.
    """

    activities: tuple[str, ...] = ()
    _stages: Iterator[Stage]
    _stage: Stage | None
    _watch: Stopwatch
    _started: float

    def __init__(self, spec: Any, bench: Any) -> None:
        self.spec, self.bench = spec, bench
        self._mended: Counter[str] = Counter()
        self._pace = Pace()
        self._begin()

    def sequence(self) -> Iterator[Stage]:
        """The stages in their order; what was known of the trial is forgotten."""
        raise NotImplementedError

    def ended(self, stage: Stage, artifact: Artifact, report: Report) -> None:
        """Add to the report what a stage has shown: curves, figures, the `cause` where the trial ends with it."""
        raise NotImplementedError

    def completed(self, report: Report) -> None:
        """Add to the report what the whole trial has shown."""

    def make_again(self, key: str) -> None:
        """Make what all trials share, if the key is of that: it was lost or damaged."""

    def step(self, seconds: float = STEP_SECONDS) -> Report:
        """Run until the current stage ends or `seconds` have passed. Raises whatever the stage raises.

        Where an artifact turns out to be damaged or lost it is made again, and the trial begins anew: it finds the others.
        """
        stage = self._stage
        if stage is None:
            raise RuntimeError(f"trial {self.spec.trial_id} is over: it has no stage left")
        if self._watch.wall_s == 0:
            self._started = time.time()
        try:
            with self._watch.running():
                artifact = self._store.whole(stage.key)
                found = artifact is not None
                if artifact is None:
                    if not stage.advance(self._watch, time.monotonic() + seconds):
                        self._pace.take(stage.save_partial)
                        return Report()
                    artifact = stage.commit(self._watch)
            return self._finish(stage, artifact, found)
        except (CorruptArtifact, MissingArtifact) as error:
            self._stage = None
            if self._mended[error.key] == _MENDINGS:
                raise
            self._mended[error.key] += 1
            self.make_again(error.key)
            self._begin()
            return Report()
        except Exception:
            self._stage = None  # what a failed stage holds, diverged weights for one, must never become a checkpoint
            raise

    @property
    def next_key(self) -> str | None:
        """Key of what the stage that comes next makes, or goes on making; None once the trial is over."""
        return self._stage.key if self._stage else None

    def save_partial(self) -> dict[str, str] | None:
        """Leave the in-stage checkpoint of the stage being made, if any, due or not; says which stage that is."""
        if self._stage is None or self._watch.wall_s == 0:
            return None
        self._stage.save_partial()
        return {"stage": self._stage.name, "key": self._stage.key}

    @property
    def _store(self) -> Store:
        store: Store = self.bench.store
        return store

    def _begin(self) -> None:
        self._stages = self.sequence()
        self._stage = next(self._stages)
        self._watch = Stopwatch()
        self._started = time.time()

    def _finish(self, stage: Stage, artifact: Artifact, found: bool) -> Report:
        report = Report(stage=self._stage_row(stage, found))
        self.ended(stage, artifact, report)
        self._watch = Stopwatch()
        self._stage = None if report.cause else next(self._stages, None)
        if self._stage is None:
            report.state = "PRUNED" if report.cause else "COMPLETE"
            if report.state == "COMPLETE":
                self.completed(report)
        return report

    def _stage_row(self, stage: Stage, found: bool) -> dict[str, Any]:
        row = {"stage": stage.name, "kind": stage.kind, "key": stage.key, "found": found}
        row |= {"pid": os.getpid(), "node": platform.node()}
        times = dict.fromkeys((f"{activity}_s" for activity in self.activities), 0.0) | self._watch.times()
        return row | {"started_at": self._started, "finished_at": time.time()} | times
