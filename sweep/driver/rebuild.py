"""Rebuild what can be rebuilt of a run: damaged files go aside, lost rows come from the artifacts, views from the records."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep import procedures, records
from sweep.driver.confirmation import asked_of
from sweep.driver.here import here
from sweep.driver.mend import Repair, Row, Rows, is_search, job_of, mend_rows, set_one_aside
from sweep.errors import UsageError, called
from sweep.plan.plan import Plan
from sweep.procedures import Preparing, Setup, Specs, Tell
from sweep.records import RUNNING
from sweep.records.damage import damaged_files, leftovers
from sweep.records.folder import compact, write_json
from sweep.space import SearchSpace


def repair(run: Path, tell: Tell) -> Repair:
    """Repair the run, which the caller holds. UsageError where its plan cannot be read: nothing can be told without it."""
    from trainables.store import Store

    done = Repair()
    plan, space = plan_of(run)
    preparing = procedures.named(space.procedure).preparing(plan)
    for damaged in damaged_files(run):
        set_one_aside(run, damaged, done, tell)
    for file in leftovers(run):
        file.unlink()
    _settle_status(run)
    prepared = _prepared(run, preparing, space, tell)
    store = Store(plan.artifacts)
    for key in _keys(run, prepared):
        if store.examine(key) == "damaged":
            store.whole(key)
            done.damaged.append(f"artifact {key[:12]}: damaged; moved to {plan.artifacts}/damaged")
            tell(done.damaged[-1])
    space = space.bounded(prepared)
    other = preparing.code_differs(prepared)
    done.other_code = bool(other)
    if (
        other
    ):  # its artifacts have other keys than ours: none would be found, and what had ended would count as unfinished
        done.left.append(
            f"rows that damaged files held can be read again by the code that made the run ({other}), not by this"
        )
        tell(done.left[-1])
    else:
        mend_rows(run, space, preparing.specs(space, prepared), done, tell)
    _write_views(run, plan, space, preparing.specs(space, prepared), prepared, tell)
    return done


def foresee(run: Path, artifacts: str, tell: Tell) -> Repair:
    """What `repair` would find and do of a run whose store lies there; changes nothing."""
    from trainables.store import Store

    done = Repair()
    for damaged in damaged_files(run):
        done.damaged.append(f"{damaged.file}: damaged ({damaged.why}); would be moved to {run.name}/damaged")
    store = Store(artifacts)
    path = run / "prepared.json"
    known = not any(d.startswith("prepared.json") for d in done.damaged) and path.exists()
    for key in _keys(run, records.read_json(path) if known else {}):
        if store.examine(key) == "damaged":
            done.damaged.append(f"artifact {key[:12]}: damaged; would be moved to {artifacts}/damaged")
    done.rebuilt = [f"{name}: would be read again from its artifacts" for name in Rows.of(run).incomplete()]
    for line in (*done.damaged, *done.rebuilt):
        tell(line)
    return done


def plan_of(run: Path) -> tuple[Plan[Setup], SearchSpace]:
    """The plan of a run and its question, as this process goes on with it. UsageError where it is none, or a track."""
    folder = records.run_folder(run)
    if (folder / "track.json").exists():
        raise UsageError(f"{run}: is a track; go on with {called('sweep.track')} --resume {run}")
    plan = Plan.from_json(records.read_json(folder / "plan.json"), str(folder / "plan.json"))
    plan = plan.but(run_dir=str(folder.resolve()), in_process=True)
    return plan, plan.question()


def made_by_other_code(run: Path, plan: Plan[Setup], space: SearchSpace) -> bool:
    """Whether other code or libraries prepared the run; False where its prepared.json is damaged or not there."""
    path = run / "prepared.json"
    damaged = any(one.file == Path(path.name) for one in damaged_files(run))
    if damaged or not path.is_file():
        return False
    return bool(procedures.named(space.procedure).preparing(plan).code_differs(records.read_json(path)))


def _settle_status(run: Path) -> None:
    """No driver runs it, for this process holds the run: one that was killed has left it ``running``."""
    path, stamp = run / "status.json", records.now().isoformat()
    status = records.read_json(path) if path.exists() else {"started_at": stamp, "finished_at": None}
    if status.get("state") in (None, "running"):
        write_json(path, status | {"state": "interrupted"})


def _prepared(run: Path, preparing: Preparing, space: SearchSpace, tell: Tell) -> Row:
    """What prepared.json holds: where it is gone, prepared again, which finds what is in the store."""
    path = run / "prepared.json"
    if path.exists():
        return records.read_json(path)
    prepared = preparing.prepare(space, here, tell)
    write_json(path, prepared)
    tell("prepared.json: rebuilt")
    return prepared


def _keys(run: Path, prepared: Mapping[str, Any]) -> list[str]:
    """Every artifact that the run's records name."""
    keys = dict.fromkeys(row["key"] for row in records.rows(run, "stages") if row["key"])
    return [*dict.fromkeys((*prepared.get("keys", {}).values(), *keys))]


def _write_views(run: Path, plan: Plan[Setup], space: SearchSpace, specs: Specs, prepared: Row, tell: Tell) -> None:
    """The journal, TensorBoard, the plot and the page, from the records alone; one file a table where the run is finished."""
    from sweep.driver.agenda import Agenda
    from sweep.driver.views import Telling, written_views

    agenda = Agenda(plan, space, specs, prepared)
    agenda.close()
    tell("optuna.journal: rebuilt")
    shutil.rmtree(run / "tensorboard", ignore_errors=True)
    telling = Telling(written_views(plan, space, tell), tell)
    for ended in _ended(run, space, specs):
        telling.take(ended)
    telling.finish()
    if not telling.failed:
        tell("tensorboard, front.png, report.html: rebuilt")
    if records.read_json(run / "status.json")["state"] == "finished":
        compact(run)


def _ended(run: Path, space: SearchSpace, specs: Specs) -> Iterator[Any]:
    """Every replicate that ended, trials first, as it was when it ended."""
    from sweep.jobs import Ended

    known, asked = Rows.of(run), asked_of(run)
    for name, row in sorted(known.replicates.items(), key=lambda item: (item[1]["replicate"], item[0])):
        if row["state"] == RUNNING or (job := job_of(name, known, space, specs, asked)) is None:
            continue
        job.curves, job.figures = records.rows(run, "curves", name), {k: v for k, v in row.items() if v is not None}
        yield Ended(job, known.trials.get(row["trial_id"], row) if is_search(name) else row)
