"""Rebuild what can be rebuilt of a run: ``python -m sweep.repair RUN [--dry-run]``.

The truth of a run is its plan, its records and its artifacts. A damaged file is named and moved to ``RUN/damaged/``; rows that
it held are read again from the artifacts that they were about; and everything that is a view of the records is written anew:
the Optuna journal, TensorBoard, the plot, the page, the compacted tables. What only another run of its stages can bring back
is said, and ``--resume`` does it. Done twice it changes nothing more.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep import plan as planning
from sweep import records
from sweep.compact import compact, only_driver
from sweep.damage import damaged_files, leftovers, set_aside
from sweep.errors import Parser, UsageError
from sweep.plan import Plan, write_json
from sweep.records import COMPLETE, FAIL, PRUNED, RUNNING

Tell = Callable[[str], None]
Row = dict[str, Any]


@dataclass
class Rows:
    """What the tables hold: trials by id, replicates by name, and the names that have curves and stages."""

    trials: dict[str, Row]
    replicates: dict[str, Row]
    curves: set[str]
    stages: dict[str, list[Row]]

    @classmethod
    def of(cls, run: Path) -> Rows:
        stages: dict[str, list[Row]] = {}
        for row in records.rows(run, "stages"):
            stages.setdefault(_name(row), []).append(row)
        return cls(
            {r["trial_id"]: r for r in records.rows(run, "trials")},
            {_name(r): r for r in records.rows(run, "replicates")},
            {_name(r) for r in records.rows(run, "curves")},
            stages,
        )

    def incomplete(self) -> list[str]:
        """Replicates of which some table has rows and another lacks them, though they ended."""
        every = sorted({*(f"{t}-r0" for t in self.trials), *self.replicates, *self.curves, *self.stages})
        return [name for name in every if self._lacks(name)]

    def _lacks(self, name: str) -> bool:
        own = self.replicates.get(name)
        if _is_search(name):
            trial = self.trials.get(name.removesuffix("-r0"))
            if trial is None:
                return True
            if trial["state"] == RUNNING:
                return False  # --resume goes on with it
            if own is None or own["state"] != trial["state"]:
                return True
        elif own is None:
            return True
        scored = own is not None and own["state"] in (COMPLETE, PRUNED)
        return scored and (name not in self.curves or name not in self.stages)


@dataclass
class Repair:
    """What a repair did, or would do."""

    damaged: list[str] = field(default_factory=list)
    rebuilt: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # to --resume


def repair(run: Path, tell: Tell) -> Repair:
    """Repair the run, which the caller holds. UsageError where its plan cannot be read: nothing can be told without it."""
    from trainables.store import Store

    done = Repair()
    plan, space = _plan_of(run)
    for damaged in damaged_files(run):
        where = set_aside(run, damaged)
        done.damaged.append(f"{damaged.file}: damaged ({damaged.why}); moved to {where}")
        tell(done.damaged[-1])
    for file in leftovers(run):
        file.unlink()
    _settle_status(run)
    prepared = _prepared(run, plan, space, tell)
    store = Store(plan.artifacts)
    for key in _keys(run, prepared):
        if store.examine(key) == "damaged":
            store.whole(key)
            done.damaged.append(f"artifact {key[:12]}: damaged; moved to {plan.artifacts}/damaged")
            tell(done.damaged[-1])
    _mend_rows(run, plan, space, prepared, done, tell)
    _write_views(run, plan, space, prepared, tell)
    return done


def foresee(run: Path, tell: Tell) -> Repair:
    """What `repair` would find and do; changes nothing."""
    from trainables.store import Store

    done = Repair()
    plan, _ = _plan_of(run)
    for damaged in damaged_files(run):
        done.damaged.append(f"{damaged.file}: damaged ({damaged.why}); would be moved to {run.name}/damaged")
    store = Store(plan.artifacts)
    path = run / "prepared.json"
    known = not any(d.startswith("prepared.json") for d in done.damaged) and path.exists()
    for key in _keys(run, records.read_json(path) if known else {}):
        if store.examine(key) == "damaged":
            done.damaged.append(f"artifact {key[:12]}: damaged; would be moved to {plan.artifacts}/damaged")
    done.rebuilt = [f"{name}: would be read again from its artifacts" for name in Rows.of(run).incomplete()]
    for line in (*done.damaged, *done.rebuilt):
        tell(line)
    return done


def _plan_of(run: Path) -> tuple[Plan, Any]:
    folder = records.run_folder(run)
    if (folder / "track.json").exists():
        raise UsageError(f"{run}: is a track; go on with python -m sweep.track --resume {run}")
    plan = Plan.from_json(records.read_json(folder / "plan.json"), str(folder / "plan.json"))
    plan = planning.moved(plan, str(folder.resolve()), None, "", True)
    return plan, plan.question()


def _settle_status(run: Path) -> None:
    """No driver runs it, for this process holds the run: one that was killed has left it ``running``."""
    path, stamp = run / "status.json", records.now().isoformat()
    status = records.read_json(path) if path.exists() else {"started_at": stamp, "finished_at": None}
    if status.get("state") in (None, "running"):
        write_json(path, status | {"state": "interrupted", "phase": "repaired"})


def _prepared(run: Path, plan: Plan, space: Any, tell: Tell) -> Row:
    """What prepared.json holds: where it is gone, prepared again, which finds what is in the store."""
    from sweep import prepare
    from sweep.progress import Progress

    path = run / "prepared.json"
    if path.exists():
        return records.read_json(path)
    prepared = prepare.prepare_all(plan, space, prepare.experiment_of(plan), prepare.here, Progress(sys.stdout))
    write_json(path, prepared)
    tell("prepared.json: rebuilt")
    return prepared


def _keys(run: Path, prepared: Mapping[str, Any]) -> list[str]:
    """Every artifact that the run's records name."""
    keys = dict.fromkeys(row["key"] for row in records.rows(run, "stages") if row["key"])
    return [*dict.fromkeys((*prepared.get("keys", {}).values(), *keys))]


def _mend_rows(run: Path, plan: Plan, space: Any, prepared: Row, done: Repair, tell: Tell) -> None:
    """Write again what the tables lack of replicates that ended."""
    from sweep.jobs import replicate_row, trial_row
    from sweep.prepare import experiment_of
    from sweep.replay import replay
    from sweep.specs import Specs

    known = Rows.of(run)
    names = known.incomplete()
    if not names:
        return
    specs = Specs(plan, space, experiment_of(plan), prepared["fid_budget"], prepared["fid_delta_sd"])
    writer = records.Writer(run, records.schemas(space))
    columns, bench = frozenset(writer.schemas["replicates"].names), None
    for name in names:
        job = _job(name, known, specs)
        if job is None:
            done.left.append(f"{name}: its parameters are lost; --resume asks for the trial again")
            continue
        own, trial = known.replicates.get(name, {}), known.trials.get(job.spec.trial_id) if _is_search(name) else None
        job.stages = known.stages.get(name, [])
        state, cause, bench = replay(job, bench)
        told = trial or own
        if told.get("state") == FAIL or (told.get("state") == PRUNED and job.figures):
            state, cause = told["state"], told["cause"]
        if state is None:
            done.left.append(f"{name}: not all of its artifacts are there; --resume makes it again")
            if trial is not None and trial["state"] != RUNNING:  # else it would count as ended, without its rows
                writer.trial(trial | {"state": RUNNING, "cause": None, "told_at": None})
            continue
        row = replicate_row(job, state, cause, columns)
        writer.replicate(row, job.curves, job.stages)
        if _is_search(name) and trial is None:
            at = {"asked_at": row["started_at"], "told_at": row["finished_at"]}
            writer.trial(trial_row(job, space, specs.fid_budget, state, cause) | at)
        done.rebuilt.append(f"{name}: read again from its artifacts")
        tell(done.rebuilt[-1])
    for line in done.left:
        tell(line)


def _job(name: str, known: Rows, specs: Any) -> Any:
    """The job that the replicate of this name was, or None where nobody knows its parameters."""
    from sweep.jobs import Job, settings_of
    from sweep.replay import parameters_of
    from sweep.space import CONTROL
    from trainables.store import Store

    trial_id, _, replicate = name.rpartition("-r")
    arm_name, _, number = trial_id.rpartition("-")
    phase, asked = "search" if replicate == "0" else "confirm", records.now()
    if arm_name == CONTROL:
        return Job(specs.of_control(number, int(replicate)), CONTROL, 0, phase, asked)
    arm = specs.space.arm(arm_name)
    if trial_id in known.trials:
        settings: Any = settings_of(arm, known.trials[trial_id])
    else:
        rows = [known.replicates.get(name), *(r for n, r in known.replicates.items() if n.startswith(f"{trial_id}-r"))]
        found = [parameters_of(Store(specs.plan.artifacts), r) for r in rows if r] if not arm.attack else []
        settings = next((arm.check(f) for f in found if f is not None), None)
    if settings is None:
        return None
    spec = specs.of(trial_id, int(replicate), arm, settings, gate=replicate == "0")
    return Job(spec, arm_name, int(number), phase, asked, settings)


def _write_views(run: Path, plan: Plan, space: Any, prepared: Row, tell: Tell) -> None:
    """The journal, TensorBoard, the plot and the page, from the records alone; one file a table where the run is finished."""
    from sweep.agenda import Agenda
    from sweep.outputs import Outputs
    from sweep.prepare import experiment_of
    from sweep.progress import Progress

    agenda = Agenda(plan, space, experiment_of(plan), prepared)
    agenda.close()
    tell("optuna.journal: rebuilt")
    shutil.rmtree(run / "tensorboard", ignore_errors=True)
    outputs = Outputs(plan, space, Progress(sys.stdout))
    for ended in _ended(run, agenda.specs):
        outputs.take_again(ended)
    outputs.finish()
    tell("tensorboard, front.png, report.html: rebuilt")
    if records.read_json(run / "status.json")["state"] == "finished":
        compact(run)


def _ended(run: Path, specs: Any) -> Iterator[Any]:
    """Every replicate that ended, trials first, as it was when it ended."""
    from sweep.jobs import Ended

    known = Rows.of(run)
    for name, row in sorted(known.replicates.items(), key=lambda item: (item[1]["replicate"], item[0])):
        if row["state"] == RUNNING or (job := _job(name, known, specs)) is None:
            continue
        job.curves, job.figures = records.rows(run, "curves", name), {k: v for k, v in row.items() if v is not None}
        yield Ended(job, known.trials.get(row["trial_id"], row) if _is_search(name) else row)


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['trial_id']}-r{row['replicate']}"


def _is_search(name: str) -> bool:
    return name.endswith("-r0")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code: 0, 1 where something is left to --resume, 2 for a mistake of the user's."""
    parser = Parser("python -m sweep.repair", description="Rebuild what can be rebuilt of a run.")
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("--dry-run", action="store_true", help="say what is damaged and would be done; change nothing")
    args = parser.parse_args(argv)
    run = Path(args.run)
    try:
        _plan_of(run)  # before a lock is written where there is no run
        if args.dry_run:
            done = foresee(run, print)
        else:
            with only_driver(run):
                done = repair(run, print)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    nothing = not (done.damaged or done.rebuilt or done.left)
    print(
        f"{run}: " + ("nothing is damaged" if nothing else f"{len(done.damaged)} damaged, {len(done.rebuilt)} rebuilt")
    )
    if done.left:
        print(f"{len(done.left)} left: python -m sweep.launch --resume {run}")
    return 1 if done.left else 0


if __name__ == "__main__":
    sys.exit(main())
