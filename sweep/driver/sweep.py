"""Drive a sweep from its plan to its page: prepare → search → confirm → views → compact, on Ray or in this process.

`drive` is the part of it that asks of its jobs no more than `sweep.jobs` says: a track is driven by it too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from sweep import procedures, records
from sweep.driver.agenda import Agenda
from sweep.driver.mend import Repair, mend_rows, set_tables_aside
from sweep.driver.ray_health import RayDied
from sweep.driver.same_cause import FailingAlike, SameCause
from sweep.driver.views import Telling, views_of
from sweep.errors import UsageError
from sweep.jobs import Ended, Jobs, Planned, View
from sweep.plan.plan import Plan
from sweep.procedures import Execute, Preparing, Setup, Specs, Tasks, Tell
from sweep.reading.ending import Ending
from sweep.reading.sweep import read_sweep
from sweep.records.folder import compact, only_driver, write_json
from sweep.space import SearchSpace
from sweep.terminal.lines import Progress
from trainables.members import MemberError, MemberFault
from trainables.store import CorruptArtifact, Store, StoreUnusable
from trainables.training.failure import SickProcess

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)

Open = Callable[[Execute], tuple[Jobs, Sequence[View]]]
"""Prepares what all jobs share, with what does its tasks; gives the jobs and who hears of them."""


@dataclass(frozen=True)
class Shared:
    """Where what all jobs share is kept, and how far the tasks that make it are, in one line."""

    artifacts: str
    progress: Callable[[Sequence[str]], str]


class Workers(Protocol):
    """Where tasks and jobs run, while it is entered: `sweep.driver.here.Here` or `sweep.driver.on_ray.OnRay`."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def execute(self, tasks: Tasks) -> dict[str, Any]: ...
    def drive(self, jobs: Jobs, take: Callable[[Ended], None]) -> None: ...


def run(plan: Plan[Setup], space: SearchSpace, progress: Progress) -> None:
    """Run the plan in its run folder, going on from whatever is recorded there."""
    preparing = procedures.named(space.procedure).preparing(plan)
    preparing.begin()
    shared = Shared(plan.artifacts, preparing.progress)
    drive(plan, lambda execute: _open(plan, space, preparing, execute, progress), shared, progress)
    progress.line("done")


def show(run_dir: Path, progress: Progress) -> int:
    """Tell the front, the winner and what to type next; 1 where a failure leaves the question without an answer, else 0."""
    ending = Ending(read_sweep(run_dir))
    progress.result(ending)
    if ending.failure:
        print(f"error: {ending.failure}", file=sys.stderr)
        return 1
    return 0


def drive(plan: Planned, open_: Open, shared: Shared, progress: Progress, trainable: Any = None) -> None:
    """Do all jobs, on Ray or here, with the run's status beside them; a second driver of the run is refused.

    On Ray another `trainable` may take the place of `trainables.trial`'s.
    """
    run_dir = Path(plan.run_dir)
    with only_driver(run_dir), _told_in_one_line(run_dir):
        before = records.read_json(run_dir / "status.json") if (run_dir / "status.json").exists() else None
        _status(run_dir, "running")
        try:
            telling = _drive(plan, _workers(plan, shared, progress, trainable), open_, shared, progress)
        except BaseException as error:
            with contextlib.suppress(OSError):  # the disk that it cannot be written to is what `error` is about
                if isinstance(error, UsageError) and before is not None:
                    write_json(run_dir / "status.json", before)  # refused: the run is as it was
                    raise
                state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
                _status(run_dir, state, cause=repr(error))
            raise
        _status(run_dir, "finished")  # before the page, which says so
        telling.finish()
        compact(run_dir)


def _workers(plan: Planned, shared: Shared, progress: Progress, trainable: Any) -> Workers:
    """The place's; neither imports what the other needs."""
    if plan.place.in_process:
        from sweep.driver.here import Here

        return Here(shared.progress, progress)
    from sweep.driver.on_ray import OnRay

    return OnRay(plan, shared.progress, progress, trainable, shared.artifacts)


def _drive(plan: Planned, workers: Workers, open_: Open, shared: Shared, progress: Progress) -> Telling:
    """Prepare, then do every job; returns the views, which have heard of each."""
    damage, failures = Damage(Store(shared.artifacts), progress.line), SameCause(plan.place.workers)
    with workers:
        jobs, views = open_(workers.execute)
        telling = Telling(views, progress.line, progress.verbose)

        def take(ended: Ended) -> None:
            telling.take(ended)
            damage.tell_new()
            failures.take(ended)

        try:
            damage.tell_new()
            workers.drive(jobs, take)
        finally:
            jobs.close()
    return telling


@contextlib.contextmanager
def _told_in_one_line(run_dir: Path) -> Iterator[None]:
    """Storage that fails is the user's to mend, as a member's fault is: a UsageError that says what failed, and how to go on."""
    try:
        yield
    except MemberFault as error:  # the run keeps its own copy of the file
        raise UsageError(f"{error}; mend it and start a new run, which finds what this one has trained") from error
    except (StoreUnusable, CorruptArtifact, RayDied, SickProcess, FailingAlike, MemberError) as error:
        reason: object = error
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        reason = f"{error.filename or run_dir}: {os.strerror(error.errno)}"
    else:
        return
    raise UsageError(f"{reason}; mend that, then go on with --resume {shlex.quote(str(run_dir))}")


class Damage:
    """Says of every artifact that is set aside as damaged, by whichever process."""

    def __init__(self, store: Store, tell: Tell) -> None:
        self.store, self.tell = store, tell
        self.reported = set(store.damaged())

    def tell_new(self) -> None:
        """Say so of those that nothing was said of yet."""
        new = [n for n in self.store.damaged() if n not in self.reported]
        self.reported |= set(new)
        for key in dict.fromkeys(name.partition(".")[0] for name in new):
            self.tell(f"artifact {key[:12]} was damaged: set aside in {self.store.name}/damaged, made again")


def _open(
    plan: Plan[Setup], space: SearchSpace, preparing: Preparing, execute: Execute, progress: Progress
) -> tuple[Agenda, list[View]]:
    """Prepare, then the agenda and its views, both going on from the run's records."""
    run_dir = Path(plan.run_dir)
    prepared = preparing.prepare(space, execute, progress.line)
    if (run_dir / "prepared.json").exists():
        bounds = [constraint.word for constraint in space.constraints if constraint.word]
        prepared = _same_preparation(run_dir / "prepared.json", prepared, bounds)
    write_json(run_dir / "prepared.json", prepared)
    space = space.bounded(prepared)
    specs = preparing.specs(space, prepared)
    _mend(run_dir, space, specs, progress.line)
    agenda = Agenda(plan, space, specs, prepared)
    if agenda.resumed:
        progress.line(f"resume: {agenda.resumed}")
        progress.go_on(records.rows(run_dir, "trials"), space.objectives)
    trials = ", ".join(f"{plan.budget_of(space, a.name)} of {a.name}" for a in space.arms)
    progress.begin(agenda)
    progress.line(f"search: {trials} by {plan.sampler}, {plan.place.workers} at a time")
    return agenda, views_of(plan, agenda, progress)


def _mend(run_dir: Path, space: SearchSpace, specs: Specs, tell: Tell) -> None:
    """What a damaged file held of trials that had ended is in the tables again, or the trials are made again."""
    done = Repair()
    set_tables_aside(run_dir, done, tell)
    mend_rows(run_dir, space, specs, done, tell)


def _same_preparation(path: Path, prepared: dict[str, Any], bounds: Iterable[str]) -> dict[str, Any]:
    """The preparation an earlier driver recorded, if this one is the same; else figures of two kinds would mix."""
    before = records.read_json(path)
    recorded = {name: key for name, key in before["keys"].items() if name in prepared["keys"]}  # some prepared more
    for fact in ("keys", *bounds):
        if (recorded if fact == "keys" else before[fact]) != prepared[fact]:
            raise UsageError(f"{path}: {fact} differ from this run's: code or libraries have changed; start a new run")
    return before | {"shared": prepared["shared"]}  # which a run of an earlier version does not name


def _status(run_dir: Path, state: str, cause: str | None = None) -> None:
    """Write the run's state, when it began and ended, and the error that stopped it."""
    path = run_dir / "status.json"
    before = records.read_json(path) if path.exists() else {}
    stamp = records.now().isoformat()
    status = {"state": state, "cause": cause, "started_at": before.get("started_at", stamp), "finished_at": None}
    write_json(path, status | ({"finished_at": stamp} if state == "finished" else {}))
