"""An agenda driven by hand: its plan, what a trial would report, and trials that end at once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sweep import records
from sweep.driver.agenda import Agenda
from sweep.jobs import Ended, Job
from sweep.plan.plan import Plan
from sweep.records.folder import write_json
from sweep.relearning.specs import Specs
from trainables.relearning.experiment import Experiment

TINY = str(Path(__file__).parents[1] / "questions" / "tiny.py")
PREPARED = {"fid_budget": 5.0, "fid_delta_sd": 0.5}


def plan_in(folder: Path, **changes: Any) -> Plan:
    facts = {"space": TINY, "trials": 4, "baseline_trials": 2, "confirm_seeds": 2, "confirm_members": 2} | changes
    return Plan.of(run_dir=str(folder / "run"), artifacts=str(folder / "store"), **facts)


def agenda_of(plan: Plan) -> Agenda:
    space = plan.question().bounded(PREPARED)
    write_json(Path(plan.run_dir) / "plan.json", plan.to_json())  # a driver's first file
    specs = Specs(plan, space, Experiment(store=plan.artifacts), PREPARED["fid_delta_sd"])
    return Agenda(plan, space, specs, PREPARED)


def stage(name: str, key: str, found: bool = False) -> dict[str, Any]:
    now = time.time()
    times = {f"{t}_s": 1.0 for t in ("wall", "core", "training", "sampling", "scoring")}
    return {
        "stage": name,
        "kind": name.partition("@")[0],
        "key": key,
        "found": found,
        "pid": 1,
        "node": "n",
        "started_at": now,
        "finished_at": now,
    } | times


def report(state: str | None = None, cause: str | None = None, **figures: Any) -> dict[str, Any]:
    return {"stage": None, "curves": [], "figures": figures, "state": state, "cause": cause}


def finish(agenda: Agenda, job: Job, robustness: float = 0.9, fid_delta: float = 1.0, accuracy: float = 1.0) -> Ended:
    """End a job; one that runs for the sake of some figures gives no others."""
    every = {"robustness": robustness, "fid_delta": fid_delta, "unlearning_accuracy": accuracy}
    figures = {name: value for name, value in every.items() if job.asked_for is None or name in job.asked_for}
    ended = agenda.take(job.name, report(records.COMPLETE, **figures, seed=job.spec.seed))
    assert ended is not None
    return ended


def drain(agenda: Agenda) -> list[str]:
    """Run everything to its end, one at a time; the names in order."""
    names = []
    while job := agenda.next_job():
        names.append(job.name)
        finish(agenda, job, robustness=0.5 + 0.1 * job.number, fid_delta=1.0 + job.number)
    return names
