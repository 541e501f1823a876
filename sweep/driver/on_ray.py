"""Tasks and jobs on Ray, on this machine or a cluster: tasks as remote functions, jobs as trials of Ray Tune."""

from __future__ import annotations

import contextlib
import logging
import os
import site
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from sweep.driver.pending import Pending
from sweep.driver.ray_health import RayHealth
from sweep.errors import UsageError, listen_to_signals
from sweep.jobs import Ended, Jobs, Place, Planned
from sweep.plan.place import temporary_folder
from sweep.procedures import Task, Tasks
from sweep.terminal.lines import Progress
from trainables.members import MemberError, in_use
from trainables.running.imports import uncollected_imports
from trainables.store import CorruptArtifact, MissingArtifact, Store, StoreUnusable
from trainables.training.failure import SickProcess

_KILL_AFTER_S = "20"  # a process that is asked to stop and does not is killed; Tune alone waits for ever
_NEVER_S = str(10**9)
# A trial whose process dies more often than this has failed; one that dies less is started again. A lost node takes the
# processes of all its trials, and for a minute Ray may start them there again.
_MAX_LOST = 4
_MAX_LOST_TASK = 2  # one that prepares; it goes on from its checkpoint


class OnRay:
    """Ray as the place where tasks and jobs run, while it is entered; `sweep.driver.here.Here` has the same interface.

    Another `trainable` may take the place of `trainables.trial`'s: a Trainable of Tune that makes reports as it does. Where a
    worker cannot use the store that `artifacts` names, it is asked whether this process can.
    """

    def __init__(
        self,
        plan: Planned,
        preparation: Callable[[Sequence[str]], str],
        progress: Progress,
        trainable: Any = None,
        artifacts: str = "",
    ) -> None:
        self.run_dir, self.place = Path(plan.run_dir).resolve(), plan.place
        self.preparation, self.progress, self.trainable = preparation, progress, trainable
        self.store = Store(artifacts) if artifacts else None

    def __enter__(self) -> Self:
        _set_environment(self.place)
        where = f"connecting to {self.place.address}" if self.place.address else "starting on this machine"
        self.progress.line(f"Ray: {where}")
        _start(self.place, self.run_dir, self.progress.verbose)
        listen_to_signals()  # Ray has a handler of its own, which ends this process in a dump of its stack
        with uncollected_imports():
            _import_loggers_without_their_libraries()
        return self

    def __exit__(self, *error: object) -> None:
        import ray

        ray.shutdown()

    def execute(self, tasks: Tasks) -> dict[str, Any]:
        """Do the tasks side by side, each once those it needs are done; returns their artifacts by name.

        Says every few seconds how far the long ones are.
        """
        import ray

        def call(name: str, task: Task, *done: Any) -> Any:  # Ray begins it once what stands for others is there
            from sweep.driver import pending

            pending.note_begun(run, name)
            import torch

            from trainables.members import use
            from trainables.training import gpu_memory
            from trainables.training.failure import refuse_sickness
            from trainables.trial import last_breath_of_idlers

            torch.set_num_threads(1)
            with last_breath_of_idlers(limit):
                try:
                    use(files)
                    gpu_memory.keep_to(share)
                    return task.function(*task.arguments)
                except RuntimeError as error:
                    refuse_sickness(error)
                    raise

        share, mark, files = self.place.gpus_per_trial, gpu_type_resource(self.place), in_use()
        limit, run = self.place.trial_timeout, uuid.uuid4().hex
        # Spread over the nodes: what is prepared at the same time is as heavy as a trial each.
        remote = ray.remote(
            num_cpus=1, num_gpus=share, resources=mark, scheduling_strategy="SPREAD", max_retries=_MAX_LOST_TASK
        )(call)
        begun: dict[str, Any] = {}
        for name, task in tasks.items():
            begun[name] = remote.remote(name, task, *(begun[need] for need in task.needs))
        waiting = {reference: name for name, reference in begun.items()}
        made: dict[str, Any] = {}
        health, asked = RayHealth(), {"CPU": 1.0, **({"GPU": share} if share else {}), **mark}
        queue = Pending(run, {name: task.needs for name, task in tasks.items()}, asked)
        while waiting:
            health.check()
            for line in queue.overdue(made):
                self.progress.line(line)
            ready, _ = ray.wait(list(waiting), timeout=2.0)
            for reference in ready:
                name = waiting.pop(reference)
                try:
                    made[name] = ray.get(reference)
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                    what = ", ".join(sorted(set(waiting.values()) | {name}))
                    said = str(error).partition(". ")[0]
                    hung = f", or did nothing for {limit:g} s (--trial-timeout)" if limit else ""
                    raise UsageError(
                        f"prepare: the process that made {name} was killed, of memory perhaps{hung}, and so were "
                        f"{_MAX_LOST_TASK} after it ({said}); left: {what}"
                    ) from None
                except ray.exceptions.RayTaskError as error:
                    if isinstance(error.cause, MissingArtifact):
                        shared = "is --storage one folder, or object store, of all nodes?"
                        raise UsageError(f"prepare: {name}: {error.cause}; {shared}") from None
                    clear = isinstance(error.cause, StoreUnusable | CorruptArtifact | MemberError | SickProcess)
                    raise error.cause if clear else error from None
            if waiting and self.progress.quiet_for() > 10:
                self.progress.line(f"prepare: {self.preparation(list(waiting.values()))}")
        return made

    def drive(self, jobs: Jobs, take: Callable[[Ended], None]) -> None:
        """Have Ray Tune do every job; `take` hears of each that ended."""
        with uncollected_imports():
            from ray import tune

            from sweep.driver.tune import AgendaScheduler, AgendaSearcher, LostTrials, ToldAfterwards, ToldOnce
            from trainables.trial import Trial

        place, progress = self.place, self.progress
        ended: list[Ended] = []
        reachable = {"check_store": self.store.check} if self.store else {}
        searcher = AgendaSearcher(
            jobs,
            ended.append,
            lambda: progress.heartbeat(jobs),
            _MAX_LOST,
            place.trial_timeout,
            workers=place.workers,
            **reachable,
        )
        told_afterwards, scheduler = ToldAfterwards(ended, searcher, take), AgendaScheduler(searcher)
        gpus = {"gpu": place.gpus_per_trial} if place.gpus_per_trial else {}
        resources = {"cpu": 1.0, **gpus, **gpu_type_resource(place)}
        log = logging.getLogger("ray.tune.execution.tune_controller")
        told_once = ToldOnce(searcher, None if progress.verbose else progress.line)
        log.addFilter(told_once)
        try:
            tune.Tuner(
                tune.with_resources(self._with_members(self.trainable or Trial), resources),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    scheduler=scheduler,
                    num_samples=-1,
                    max_concurrent_trials=place.workers,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=str(self.run_dir / "ray"),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # what it made is in the store
                    failure_config=tune.FailureConfig(max_failures=_MAX_LOST + 1),
                    callbacks=[LostTrials(searcher, scheduler), told_afterwards],
                    verbose=int(progress.verbose),
                ),
            ).fit()
        except Exception:
            if searcher.error is None:
                raise
        finally:
            log.removeFilter(told_once)
            told_afterwards.tell_the_rest()
        if searcher.error is not None:
            raise searcher.error  # Tune's own has it as text
        if not jobs.finished:
            raise RuntimeError(f"Ray Tune ended before the run did; continue it with --resume {self.run_dir}")

    def _with_members(self, trainable: Any) -> Any:
        """The trainable with the members from outside that this process uses, which Ray carries to every worker once."""
        from ray import tune

        files = in_use()
        return tune.with_parameters(trainable, members=files) if files else trainable


def gpu_type_resource(place: Place) -> dict[str, float]:
    """The resource by which Ray marks nodes with GPUs of a type: a sliver of it, for it is a mark and not an amount."""
    return {f"accelerator_type:{place.gpu_type}": 0.001} if place.gpu_type else {}


def _set_environment(place: Place) -> None:
    """What Ray and Tune read of the environment as they are imported and started; what the user has set stays."""
    settings = {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our records are the only result store
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the sweep, not just Tune's loop
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_DISABLE_IMPORT_WARNING": "1",
        # All of them at once, so that an autoscaler sees how many nodes they need; else Tune lets one trial wait at a time.
        "TUNE_MAX_PENDING_TRIALS_PG": str(place.workers),
        "TUNE_FORCE_TRIAL_CLEANUP_S": _KILL_AFTER_S,
        "TUNE_GLOBAL_CHECKPOINT_S": _NEVER_S,  # a snapshot holds all trials so far, and a run is resumed from its records
    }
    if not place.address:  # Ray's own way to keep off the network: else each of its processes listens on every address
        settings["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _import_loggers_without_their_libraries() -> None:
    """Tune's own logger for W&B, as if W&B were not installed: its `fit` imports all its loggers, only to count those in use.

    W&B's library is 4 core-seconds of imports; ours (`sweep.views.loggers`) imports it where somebody asks for it, later than this.
    Where Ray has its logger elsewhere, `fit` imports what it will.
    """
    if "wandb" in sys.modules:
        return
    sys.modules["wandb"] = None  # type: ignore[assignment]  # by which an import of it fails
    try:
        with contextlib.suppress(ImportError):
            import ray.air.integrations.wandb  # noqa: F401
    finally:
        del sys.modules["wandb"]


def _start(place: Place, run_dir: Path, verbose: bool) -> None:
    """Start Ray here or connect to the cluster; UsageError where that cannot be, or Ray sees too few GPUs."""
    import ray

    said: dict[str, Any] = {"log_to_driver": verbose, "logging_level": logging.INFO if verbose else logging.ERROR}
    try:
        if place.address:
            ray.init(address=place.address, runtime_env={"py_modules": _packages()}, **said)
        else:
            # A Ray of its own, whatever cluster the machine or its environment names.
            with contextlib.chdir(_begun_in(run_dir)):
                ray.init(address="local", num_cpus=max(place.workers, 1), include_dashboard=False, **said)
    except Exception as error:  # a Ray that does not start in time raises no kind of its own
        if not place.address:
            ray.shutdown()  # of what has started
        raise UsageError(_not_started(place, error)) from error
    have = ray.cluster_resources().get("GPU", 0)
    if place.gpus_per_trial > have and not place.address:
        raise UsageError(f"--gpus-per-trial {place.gpus_per_trial:g}: Ray sees {have:g} GPU(s)")
    mark = gpu_type_resource(place)
    if not place.address and not mark.keys() <= ray.cluster_resources().keys():
        types = sorted(
            name.partition(":")[2] for name in ray.cluster_resources() if name.startswith("accelerator_type:")
        )
        raise UsageError(
            f"--gpu-type {place.gpu_type}: this machine has {', '.join(types) or 'no GPU of a type that Ray knows'}"
        )


def _not_started(place: Place, error: Exception) -> str:
    """That Ray could not be started or reached, by the first sentence of what it says."""
    said = (" ".join(str(error).split()) or type(error).__name__).partition(". ")[0]
    if place.address:
        return f"--address {place.address}: cannot reach Ray: {said}; is the cluster up?"
    logs = temporary_folder() / "ray" / "session_latest" / "logs"
    return f"Ray did not start on this machine: {said}; its logs are in {logs}; try again, or use --in-process"


def _begun_in(run_dir: Path) -> Path:
    """The folder that Ray is started in: its workers look for modules there before they look anywhere else.

    That is the folder of this process's own packages; where they are installed among others', the run's, which has no module.
    Never where the user stands: a ``sweep.py`` of his own would be run for ours.
    """
    import sweep

    house = Path(sweep.__path__[0]).resolve().parent
    installed = {Path(folder).resolve() for folder in (*site.getsitepackages(), site.getusersitepackages())}
    return run_dir if house in installed else house


def _packages() -> list[str]:
    """The packages that jobs are made of, which Ray carries to every node: what runs there is this process's code."""
    import sweep
    import trainables

    return [str(Path(package.__path__[0]).resolve()) for package in (sweep, trainables)]
