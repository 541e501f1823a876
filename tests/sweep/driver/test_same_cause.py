"""Trials that fail one after the other with one cause end the run, in a line that says how to go on with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agenda_by_hand import PREPARED, agenda_of, finish, plan_in

from sweep import records
from sweep.driver import sweep
from sweep.driver.sweep import Shared, drive
from sweep.errors import UsageError
from sweep.jobs import Ended, Jobs
from sweep.plan.folders import create_run_dir
from sweep.plan.plan import Plan
from sweep.records.folder import write_json
from sweep.terminal.lines import Progress

SICK = "its process was lost 5 times: CUDA error: unspecified launch failure at 0x7f%02d (on node-%d)"


class Failing:
    """Where jobs fail with the causes that they are given, one after the other; None: the job completes."""

    def __init__(self, cause_of: Callable[[int], str | None]) -> None:
        self.cause_of = cause_of

    def __enter__(self) -> Failing:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""

    def execute(self, tasks: Any) -> dict[str, Any]:
        return {}

    def drive(self, jobs: Any, take: Callable[[Ended], None]) -> None:
        for number in range(10_000):
            job = jobs.next_job()
            if job is None:
                return
            cause = self.cause_of(number)
            take(jobs.fail(job.name, cause) if cause else finish(jobs, job))


def driven(folder: Path, monkeypatch: pytest.MonkeyPatch, cause_of: Callable[[int], str | None], **asked: Any) -> Plan:
    plan = plan_in(folder, trials=40, baseline_trials=0, confirm_members=0, confirm_neighbours=0, **asked)
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    monkeypatch.setattr(sweep, "_workers", lambda *_: Failing(cause_of))

    def opened(execute: Any) -> tuple[Jobs, list[Any]]:
        return agenda_of(plan), []

    drive(plan, opened, Shared(plan.artifacts, lambda _: ""), Progress())
    return plan


@pytest.mark.parametrize("workers, most", [(2, 20), (9, 27)])
def test_twenty_failures_in_a_row_of_one_cause_or_three_a_worker_end_the_run_in_one_line(
    workers: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as told:
        driven(tmp_path, monkeypatch, lambda n: SICK % (n, n % 3), workers=workers)
    assert str(told.value).startswith(
        f"{most} trials in a row failed with one cause, the last with: its process was lost"
    )
    assert "(on node-" in str(told.value) and "--resume" in str(told.value) and "\n" not in str(told.value)
    rows = records.rows(tmp_path / "run", "trials")
    assert sum(r["state"] == records.FAIL for r in rows) == most, "all the others can still be asked for"


def test_failures_of_other_causes_or_with_a_trial_between_that_ended_well_end_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    causes = ("Diverged: the loss is nan", SICK % (1, 1))
    driven(tmp_path / "mixed", monkeypatch, lambda n: causes[n % 2])
    driven(tmp_path / "between", monkeypatch, lambda n: None if n % 19 == 18 else causes[0])


def test_trials_that_diverge_alike_are_what_a_search_learns_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause = "trainables.diffusion.Diverged: the loss is not finite at step %d of 400 | File fine_tuning.py, line 190"
    plan = driven(tmp_path, monkeypatch, lambda number: cause % number if number < 38 else None)
    states = [row["state"] for row in records.rows(Path(plan.run_dir), "trials") if row["arm"] != "control"]
    assert states.count(records.FAIL) > 20
