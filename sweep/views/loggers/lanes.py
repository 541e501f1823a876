"""A thread for every logger, so that one that is slow, or waits for a server that is away, holds up no trial."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sweep.jobs import Ended
from sweep.procedures import Tell
from sweep.records import read_json
from sweep.space import SearchSpace
from sweep.views.loggers import CHOICE, Logger, chosen, opener
from sweep.views.loggers.entries import Entry, Whole, ended_names, entry, whole
from trainables.store import Store

WORDS = {"mlflow": "MLflow", "wandb": "Weights & Biases"}
_PATIENCE_S = 60.0  # how long a sweep that is over waits for a logger that writes nothing; a resume writes the rest


class Lane:
    """One logger's thread and what waits for it. After the first failure it writes nothing more."""

    def __init__(self, open_: Callable[[], Logger], read: Callable[[str], Entry], earlier: Sequence[str]) -> None:
        self._open, self._read = open_, read
        self._waiting: queue.SimpleQueue[str | Whole] = queue.SimpleQueue()
        for name in earlier:
            self._waiting.put(name)
        self.failure: Exception | None = None
        self.written = 0  # replicates
        self._ended = frozenset(earlier)
        self._thread = threading.Thread(target=self._work, daemon=True, name="logger")
        self._thread.start()

    def put(self, name: str | Whole) -> None:
        """A replicate that ended, or, as the last, the sweep itself."""
        self._waiting.put(name)

    def wait(self, seconds: float) -> bool:
        """Wait until it is done, and no longer than so long for any one replicate; whether it is."""
        before = -1
        while self._thread.is_alive() and before < self.written:
            before = self.written
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            logger = self._open()
            done = logger.logged() & self._ended  # what is there and no longer ended is run again
            while isinstance(name := self._waiting.get(), str):
                if name not in done:
                    logger.log(self._read(name))
                    done.add(name)
                    self.written += 1
            logger.close(name)
        except Exception as error:  # whatever a tracker raises, the sweep goes on; `Loggers` says what it was
            self.failure = error


class Loggers:
    """The loggers of a run, each given what an earlier driver recorded and it has not got. For the driver's own thread."""

    name = "loggers"

    def __init__(self, run_dir: Path, space: SearchSpace, store: Store, tell: Tell) -> None:
        self.run_dir, self.tell = run_dir, tell
        self._reported: set[str] = set()
        self.lanes: dict[str, Lane] = {}
        if (choice := chosen(run_dir)) is None:
            return
        plan: dict[str, Any] = read_json(run_dir / "plan.json")["plan"]
        earlier = ended_names(run_dir)

        def read(name: str) -> Entry:
            return entry(run_dir, name, space, store)

        self.lanes = {name: Lane(opener(name, choice, run_dir, plan), read, earlier) for name in choice.names}

    def take(self, ended: Ended) -> None:
        self.put(ended.job.name)

    def put(self, name: str) -> None:
        """The replicate called TRIAL-rN has ended and is recorded."""
        for lane in self.lanes.values():
            lane.put(name)
        self._tell()

    def finish(self) -> None:
        """Wait for what is still to be written, and say where something is missing."""
        if not self.lanes:
            return
        entries = whole(self.run_dir)
        for name, lane in self.lanes.items():
            lane.put(entries)
            if not lane.wait(_PATIENCE_S):
                self._reported.add(name)
                self._missing(name, f"nothing was written for {_PATIENCE_S:g} s")
        self._tell()

    def _tell(self) -> None:
        for name, lane in self.lanes.items():
            if lane.failure is not None and name not in self._reported:
                self._reported.add(name)
                error = " ".join(str(lane.failure).split())[:300]
                self._missing(name, f"{type(lane.failure).__name__}: {error}")

    def _missing(self, name: str, why: str) -> None:
        self.tell(
            f"{WORDS[name]}: {why}; the sweep goes on without it, and --resume {self.run_dir} logs what is missing "
            f"(to where {CHOICE} says)"
        )
