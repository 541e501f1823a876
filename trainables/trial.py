"""The one door to Ray: a trial as a Ray Tune Trainable. A step is stages of half a minute, or one that the driver decides by."""

from __future__ import annotations

import faulthandler
import gc
import json
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ray import tune

from trainables.members import Source, use
from trainables.running import gpu_bytes
from trainables.running.imports import uncollected_imports
from trainables.running.pipeline import STEP_SECONDS, Pipeline
from trainables.running.procedures import module_of, pipeline_of
from trainables.running.report import Report
from trainables.running.steps import reports_of_a_step
from trainables.store import StoreUnusable
from trainables.training import gpu_memory
from trainables.training.failure import failure_report, refuse_sickness

_LEAK_BYTES = 256 * 2**20
_AT_WORK = 0.05  # of a core: Ray's own threads take a few thousandths


class Trial(tune.Trainable):
    """Runs a `Pipeline`; the config is ``{"spec": JSON of a spec}``, a result ``{"reports": JSON of Reports, "done": bool}``.

    A step has a `Report` for each of its stages; with ``every_stage`` in the config it has one stage, for whoever drives the trial
    may end it there. What a process had not reported when it died is in the store, and found there by the next.

    An exception in a stage is an outcome of the trial, not of the process: it is reported as FAIL with its cause and is
    not retried. One that tells of a broken GPU is the process's: it is raised, and Tune ends the process as one that was lost.
    A process that dies is Tune's to restart; the trial then finds its stages in the store. With ``timeout_s`` in
    the config a process that has nothing to report for so long ends itself, whatever it hangs in. `members` are the files from
    outside whose members its trials name.
    """

    def setup(self, config: dict[str, Any], members: Sequence[Source] = ()) -> None:
        try:
            gpu_memory.keep_to(self._gpu_share())
        except RuntimeError as error:  # the first that is asked of the GPU
            refuse_sickness(error)
            raise
        self.members = members
        self.bench: Any = None
        self.baseline: int | None = None  # what the first trial left on the GPU that the bench does not keep
        self.failure: Report | None = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial into this process: imports, data and shared models stay.

        False, for a fresh process, where the last trial's GPU memory did not come free. What the bench keeps for the next trials is
        no leak, nor is what the first trial has left beside it, such as libraries' work spaces.
        """
        self._begin(new_config)
        if self.baseline is None:
            self.baseline = self.left_bytes
        return self.left_bytes <= self.baseline + _LEAK_BYTES

    def step(self) -> dict[str, Any]:
        seconds = min(STEP_SECONDS, self.timeout_s / 2 or STEP_SECONDS)
        reports = reports_of_a_step(self._run, seconds, self.every_stage)
        return {"reports": json.dumps([r.to_json() for r in reports]), "done": reports[-1].state is not None}

    def _run(self, seconds: float) -> Report:
        """The next stage, or so many seconds of it."""
        with last_breath(self.timeout_s):
            try:
                return self.failure or self.pipeline.step(seconds)  # type: ignore[union-attr]  # one of the two is there
            except Exception as error:  # whatever a stage raises becomes the trial's recorded cause
                return report_of(error)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Model, optimiser and generator go to the store; the checkpoint itself names the stage they belong to."""
        stage = self.pipeline.save_partial() if self.pipeline else None
        (Path(checkpoint_dir) / "stage.json").write_text(json.dumps(stage))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load: finished stages and the in-stage checkpoint are found in the store by key."""

    def _gpu_share(self) -> float:
        """How much of a GPU Tune holds for this process; 0 where Tune didn't start it."""
        held = self.trial_resources
        return held.required_resources.get("GPU", 0.0) if isinstance(held, tune.PlacementGroupFactory) else 0.0

    def _begin(self, config: dict[str, Any]) -> None:
        self.failure, self.timeout_s = None, config.get("timeout_s", 0.0)
        self.every_stage = config.get("every_stage", False)
        self.pipeline: Pipeline | None = None  # the last trial's models go before the next one's come
        gc.collect()
        torch.cuda.empty_cache()
        self.left_bytes = gpu_bytes.allocated() - getattr(self.bench, "gpu_bytes", 0)
        with last_breath(self.timeout_s):
            try:
                use(self.members)
                spec = json.loads(config["spec"])
                if self.bench is None:
                    with uncollected_imports():
                        module_of(spec)
                self.pipeline = pipeline_of(spec, self.bench)
                self.bench = self.pipeline.bench
            except Exception as error:  # a setting that a method refuses is the trial's failure, not the actor's
                self.failure = report_of(error)


@contextmanager
def last_breath(seconds: float) -> Iterator[None]:
    """End this process, its tracebacks on stderr, if the block takes longer; 0: never.

    By a thread of C that needs no lock of Python's, so that a call into a library that never returns is ended too.
    """
    if seconds:
        faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def last_breath_of_idlers(seconds: float, every: float = 10.0) -> Iterator[None]:
    """As `last_breath` for a block that may take as long as it likes while it computes: put off by whatever it spends on that.

    A file system or a network that never answers takes no processor time. A GPU that never answers may.
    """
    ended = threading.Event()

    def put_off() -> None:
        spent = time.process_time()
        while not ended.wait(min(every, seconds / 4)):
            before, spent = spent, time.process_time()
            if spent - before > _AT_WORK * min(every, seconds / 4):
                faulthandler.dump_traceback_later(seconds, exit=True, file=2)

    watch = threading.Thread(target=put_off, daemon=True, name="last breath")
    with last_breath(seconds):
        if seconds:
            watch.start()
        try:
            yield
        finally:
            ended.set()
            if seconds:
                watch.join()


def report_of(error: Exception) -> Report:
    """What an exception of a stage means, while it is being handled: the trial's failure, unless the store is unusable.

    SickProcess where this process's GPU is.
    """
    if isinstance(error, StoreUnusable):
        return Report(halt=f"{error} (on {platform.node()})")
    return failure_report()
