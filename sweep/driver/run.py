"""Run a plan: prepare → search → confirm → read → compact, on Ray or in this process.

`drive` is the part of it that asks what the jobs are of nobody but an agenda: a relearning track is driven by it too.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sweep import records
from sweep.driver.agenda import Agenda
from sweep.driver.keeping import Keeping
from sweep.driver.mend import Repair, mend_rows, set_tables_aside
from sweep.driver.outputs import Outputs
from sweep.driver.ray_health import RayDied, RayHealth
from sweep.errors import UsageError
from sweep.jobs import Ended, Jobs
from sweep.plan.place import Place
from sweep.plan.plan import Plan
from sweep.records.folder import compact, only_driver, write_json
from sweep.relearning import prepare as preparing
from sweep.relearning.prepare import Execute, Task
from sweep.relearning.specs import Specs
from sweep.space import SearchSpace
from sweep.terminal.lines import Progress
from trainables.experiment import Experiment
from trainables.store import Artifact, CorruptArtifact, Store, StoreUnusable

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)
_KILL_AFTER_S = "20"  # a process that is asked to stop and does not is killed; Tune alone waits for ever
# A trial whose process dies more often than this has failed; one that dies less is started again. A lost node takes the
# processes of all its trials, and for a minute Ray may start them there again.
_MAX_LOST = 4


class Views(Protocol):
    """What hears of every job that ended and is recorded."""

    def take(self, ended: Ended, agenda: Any) -> None: ...
    def finish(self) -> None: ...


Opened = TypeVar("Opened", bound=Views)
Open = Callable[[Execute], tuple[Jobs, Opened]]
"""Prepares what all jobs share, with what runs its tasks; gives the jobs and the views of them."""


def run(plan: Plan, space: SearchSpace, progress: Progress) -> Outputs:
    """Run the plan in its run folder, going on from whatever is recorded there; returns the finished outputs."""
    experiment = preparing.experiment_of(plan)
    return drive(
        Path(plan.run_dir),
        plan.place,
        lambda execute: _open(plan, space, experiment, execute, progress),
        [experiment],
        progress,
    )


def drive(
    run_dir: Path,
    place: Place,
    open_: Open[Opened],
    experiments: Sequence[Experiment],
    progress: Progress,
    trainable: Any = None,
) -> Opened:
    """Do all jobs, on Ray or here, with the run's status beside them; a second driver of the run is refused.

    On Ray another `trainable` may take the place of `trainables.trial`'s: see `tune_jobs`.
    """
    with only_driver(run_dir), _told_in_one_line(run_dir):
        _status(run_dir, "running", "prepare")
        try:
            if place.in_process:
                views = _drive_here(place, open_, experiments, progress)
            else:
                views = _drive_on_ray(run_dir, place, open_, experiments, progress, trainable)
        except BaseException as error:
            with contextlib.suppress(OSError):  # the disk that it cannot be written to is what `error` is about
                _status(run_dir, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed", repr(error))
            raise
        _status(run_dir, "finished", "")  # before the page, which says so
        views.finish()
        compact(run_dir)
    return views


@contextlib.contextmanager
def _told_in_one_line(run_dir: Path) -> Iterator[None]:
    """Storage that fails is the user's to mend: a UsageError that says what failed, and how to go on."""
    try:
        yield
    except (StoreUnusable, CorruptArtifact, RayDied) as error:
        reason: object = error
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        reason = f"{error.filename or run_dir}: {os.strerror(error.errno)}"
    else:
        return
    raise UsageError(f"{reason}; mend that, then go on with --resume {run_dir}")


class Damage:
    """Says of every artifact that is set aside as damaged, by whichever process."""

    def __init__(self, experiments: Sequence[Experiment], progress: Progress) -> None:
        self.store, self.progress = Store(experiments[0].store), progress
        self.told = set(self.store.damaged())

    def tell(self) -> None:
        new = [n for n in self.store.damaged() if n not in self.told]
        self.told |= set(new)
        for key in dict.fromkeys(name.partition(".")[0] for name in new):
            self.progress.line(f"artifact {key[:12]} was damaged: set aside in {self.store.name}/damaged, made again")


def _drive_here(place: Place, open_: Open[Opened], experiments: Sequence[Experiment], progress: Progress) -> Opened:
    import torch

    from trainables.pipeline import Pipeline
    from trainables.trial import failure_report

    torch.set_num_threads(1)  # as in a worker, for speed on shared cores and for the same figures

    damage = Damage(experiments, progress)
    jobs, views = open_(preparing.here)
    bench = None
    try:
        while job := jobs.next_job():
            ended: Ended | None = None
            pipeline: Pipeline | None = None
            while ended is None:
                try:
                    pipeline = pipeline or Pipeline(job.spec, bench)
                    bench = pipeline.bench
                    report = pipeline.step()
                except (StoreUnusable, UsageError):
                    raise
                except Exception:  # as in trainables.trial: what a stage raises is the trial's recorded cause
                    report = failure_report()
                ended = jobs.take(job.name, report.to_json())  # what this raises is the run's, not the trial's
                progress.heartbeat(jobs)
            views.take(ended, jobs)
            damage.tell()
    finally:
        jobs.close()
    return views


def _drive_on_ray(
    run_dir: Path,
    place: Place,
    open_: Open[Opened],
    experiments: Sequence[Experiment],
    progress: Progress,
    trainable: Any,
) -> Opened:
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # our records are the only result store
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C ends the sweep, not just Tune's loop
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")
    if not place.address:  # Ray's own way to keep off the network: else each of its processes listens on every address
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    # All of them at once, so that an autoscaler sees how many nodes they need; else Tune lets one trial wait at a time.
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", str(place.workers))
    os.environ.setdefault("TUNE_FORCE_TRIAL_CLEANUP_S", _KILL_AFTER_S)
    import ray

    from trainables.trial import UnlearningTrial

    progress.line(f"Ray: {'connecting to ' + place.address if place.address else 'starting on this machine'}")
    _start_ray(ray, place, progress.verbose)
    damage = Damage(experiments, progress)
    try:
        execute = _ray_executor(ray, place, experiments, progress)
        jobs, views = open_(execute)

        def take(ended: Ended) -> None:
            views.take(ended, jobs)
            damage.tell()

        damage.tell()
        tune_jobs(jobs, take, run_dir, place, progress, trainable or UnlearningTrial)
    finally:
        ray.shutdown()
    return views


def tune_jobs(
    jobs: Jobs, take: Callable[[Ended], None], run_dir: Path, place: Place, progress: Progress, trainable: Any
) -> None:
    """Have Ray Tune run all jobs by a Trainable that makes `trainables.pipeline` reports; `take` hears of each that ended."""
    from ray import tune

    from sweep.driver.tune import AgendaScheduler, AgendaSearcher, LostTrials, ToldOnce

    searcher = AgendaSearcher(jobs, take, lambda: progress.heartbeat(jobs), _MAX_LOST, place.trial_timeout)
    scheduler = AgendaScheduler(searcher)
    resources = {"cpu": 1.0} | ({"gpu": place.gpus_per_trial} if place.gpus_per_trial else {}) | _gpu_type(place)
    log, told_once = logging.getLogger("ray.tune.execution.tune_controller"), ToldOnce(searcher)
    log.addFilter(told_once)
    try:
        tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,
                max_concurrent_trials=place.workers,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str((run_dir / "ray").resolve()),
                failure_config=tune.FailureConfig(max_failures=_MAX_LOST + 1),
                callbacks=[LostTrials(searcher, scheduler)],
                verbose=int(progress.verbose),
            ),
        ).fit()
    except Exception:
        if searcher.error is None:
            raise
    finally:
        log.removeFilter(told_once)
        jobs.close()
    if searcher.error is not None:
        raise searcher.error  # Tune's own has it as text
    if not jobs.finished:
        raise RuntimeError(f"Ray Tune ended before the run did; continue it with --resume {run_dir}")


def _open(
    plan: Plan, space: SearchSpace, experiment: Experiment, execute: Execute, progress: Progress
) -> tuple[Agenda, Outputs]:
    """Prepare, then the agenda and the outputs, both going on from the run's records."""
    run_dir = Path(plan.run_dir)
    prepared = preparing.prepare_all(plan, space, experiment, execute, progress)
    if (run_dir / "prepared.json").exists():
        prepared = _same_preparation(run_dir / "prepared.json", prepared)
    write_json(run_dir / "prepared.json", prepared)
    space = space.bounded(prepared)
    _status(run_dir, "running", "search")
    _mend(plan, space, experiment, prepared, progress)
    agenda = Agenda(plan, space, experiment, prepared)
    if agenda.resumed:
        progress.line(f"resume: {agenda.resumed}")
        progress.go_on(records.rows(run_dir, "trials"), space.objectives)
    trials = ", ".join(f"{plan.budget_of(space, a.name)} of {a.name}" for a in space.arms)
    progress.begin(agenda)
    progress.line(f"search: {trials} by {plan.sampler}, {plan.place.workers} at a time")
    return agenda, Outputs(plan, space, progress, Keeping(agenda) if plan.keep == "front" else None)


def _mend(plan: Plan, space: SearchSpace, experiment: Experiment, prepared: dict[str, Any], progress: Progress) -> None:
    """What a damaged file held of trials that had ended is in the tables again, or the trials are made again."""
    run_dir = Path(plan.run_dir)
    set_tables_aside(run_dir, done := Repair(), progress.line)
    specs = Specs(plan, space, experiment, prepared["fid_delta_sd"])
    mend_rows(run_dir, space, specs, done, progress.line)


def _same_preparation(path: Path, prepared: dict[str, Any]) -> dict[str, Any]:
    """The preparation an earlier driver recorded, if this one is the same; else figures of two kinds would mix."""
    before = records.read_json(path)
    for fact in ("keys", "fid_budget"):
        if before[fact] != prepared[fact]:
            raise UsageError(f"{path}: {fact} differ from this run's: code or libraries have changed; start a new run")
    return before | {"shared": prepared["shared"]}  # which a run of an earlier version does not name


def _start_ray(ray: Any, place: Place, verbose: bool) -> None:
    said = {"log_to_driver": verbose, "logging_level": logging.INFO if verbose else logging.ERROR}
    try:
        if place.address:
            ray.init(address=place.address, runtime_env={"py_modules": _packages()}, **said)
        else:
            ray.init(num_cpus=max(place.workers, 1), include_dashboard=False, **said)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"--address {place.address or 'local'}: cannot reach Ray: {str(error).splitlines()[0]}"
        ) from error
    have = ray.cluster_resources().get("GPU", 0)
    if place.gpus_per_trial > have and not place.address:
        raise UsageError(f"--gpus-per-trial {place.gpus_per_trial:g}: Ray sees {have:g} GPU(s)")


def _packages() -> list[str]:
    """The packages that jobs are made of, which Ray carries to every node: what runs there is this process's code."""
    import sweep
    import trainables

    return [str(Path(package.__path__[0]).resolve()) for package in (sweep, trainables)]


def _gpu_type(place: Place) -> dict[str, float]:
    """The resource by which Ray marks nodes with GPUs of a type: a sliver of it, for it is a mark and not an amount."""
    return {f"accelerator_type:{place.gpu_type}": 0.001} if place.gpu_type else {}


def _ray_executor(ray: Any, place: Place, experiments: Sequence[Experiment], progress: Progress) -> Execute:
    """Runs tasks on Ray, saying every few seconds how far the long ones are."""
    from sweep.relearning.watch import base_progress

    def call(task: Task, arguments: tuple[Any, ...]) -> Artifact:
        import torch

        from trainables import gpu_memory

        torch.set_num_threads(1)
        gpu_memory.keep_to(share)
        return task(*arguments)

    share = place.gpus_per_trial
    # Spread over the nodes: what is prepared at the same time is as heavy as a trial each.
    remote = ray.remote(num_cpus=1, num_gpus=share, resources=_gpu_type(place), scheduling_strategy="SPREAD")(call)

    def execute(tasks: dict[str, tuple[Task, tuple[Any, ...]]]) -> dict[str, Artifact]:
        waiting = {remote.remote(*task): name for name, task in tasks.items()}
        made: dict[str, Artifact] = {}
        health = RayHealth()
        while waiting:
            health.check()
            ready, _ = ray.wait(list(waiting), timeout=2.0)
            for reference in ready:
                try:
                    made[waiting.pop(reference)] = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause if isinstance(error.cause, StoreUnusable | CorruptArtifact) else error from None
            if waiting and progress.quiet_for() > 10:
                progress.line(f"prepare: {base_progress(experiments, list(waiting.values()))}")
        return made

    return execute


def _status(run_dir: Path, state: str, phase: str) -> None:
    path = run_dir / "status.json"
    before = records.read_json(path) if path.exists() else {}
    stamp = records.now().isoformat()
    status = {"state": state, "phase": phase, "started_at": before.get("started_at", stamp), "finished_at": None}
    write_json(path, status | ({"finished_at": stamp} if state == "finished" else {}))
