"""A search ends by its trials, its time, its core-hours or what is still to be expected of it, and says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agenda_by_hand import PREPARED, agenda_of, finish, plan_in, report, stage

from sweep import records
from sweep.driver.agenda import Agenda
from sweep.errors import UsageError
from sweep.plan.checks import validate
from sweep.plan.folders import create_run_dir
from sweep.reading.sweep import read_sweep
from sweep.records.folder import write_json
from sweep.search.limits import PATIENCE, Spent, StopRule


def test_nothing_asked_ends_nothing() -> None:
    assert StopRule().ended_by(Spent(1e9, 1e9), {"dimum": lambda: 0.0}) is None


def test_time_and_core_hours_end_a_search_when_they_are_used_up() -> None:
    rule = StopRule(max_hours=1.0, max_core_hours=2.0)
    assert rule.ended_by(Spent(3599, 7199), {}) is None
    assert rule.ended_by(Spent(3601, 0), {}) == "time: 1.00 of 1 hours"
    assert rule.ended_by(Spent(0, 7200), {}) == "core-hours: 2.00 of 2"


def test_a_small_expected_gain_ends_it_once_it_stays_small_in_every_arm() -> None:
    gains = {"a": 0.001, "b": 0.001}
    asked: dict[str, Any] = {name: (lambda name=name: gains[name]) for name in gains}
    rule = StopRule(min_gain=0.01)
    told = [rule.ended_by(Spent(0, 0), asked) for _ in range(PATIENCE)]
    assert told[:-1] == [None] * (PATIENCE - 1) and "a 0.10%" in told[-1]
    gains["b"] = 0.5
    assert rule.ended_by(Spent(0, 0), asked) is None
    gains["b"] = 0.001
    assert rule.ended_by(Spent(0, 0), asked) is None, "patience begins anew"
    asked["b"] = lambda: None
    assert all(rule.ended_by(Spent(0, 0), asked) is None for _ in range(9)), "who cannot say goes on"


def drained(agenda: Agenda, core_s: float = 10.0) -> list[str]:
    """Run everything, each trial with one stage of so many core-seconds; the names in order."""
    names = []
    while job := agenda.next_job():
        names.append(job.name)
        made = stage("unlearn", job.name) | {"core_s": core_s}
        agenda.take(job.name, report() | {"stage": made})
        finish(agenda, job)
    return names


def test_core_hours_end_the_search_and_the_confirm_phase_follows(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, trials=12, baseline_trials=0, fix=(("method", "dimum"),), max_core_hours=60 / 3600)
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    agenda = agenda_of(plan)
    names = drained(agenda)
    searched = [n for n in names if n.startswith("dimum") and n.endswith("r0")]
    assert len(searched) == 6, "six trials are 60 core-seconds; controls come after them"
    assert any(n.endswith("r1") for n in names) and agenda.finished
    assert read_sweep(agenda.run_dir).ended_by == agenda.ended_by == "core-hours: 0.02 of 0.0166667"
    again = agenda_of(plan)
    assert again.next_job() is None and again.ended_by == agenda.ended_by, "a resumed run does not take it up again"


def test_an_unfinished_trial_of_an_ended_search_is_finished(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, trials=12, baseline_trials=0, fix=(("method", "dimum"),), max_core_hours=30 / 3600)
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    agenda = agenda_of(plan)
    first = [agenda.next_job() for _ in range(4)]
    for job in first[:3]:
        assert job is not None
        agenda.take(job.name, report() | {"stage": stage("unlearn", job.name) | {"core_s": 10.0}})
        finish(agenda, job)
    control = agenda.next_job()
    assert control is not None and control.spec.trial_id == "control-base" and "core-hours" in agenda.ended_by
    again = agenda_of(plan)  # the driver died while the last one ran
    job = again.next_job()
    assert job is not None and first[3] is not None and job.name == first[3].name
    states = [r["state"] for r in records.rows(again.run_dir, "trials") if r["trial_id"] == job.spec.trial_id]
    assert states == ["RUNNING"]


def test_all_trials_end_it_otherwise_and_a_gain_needs_a_sampler_that_expects(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, trials=3, baseline_trials=0, fix=(("method", "dimum"),))
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    agenda = agenda_of(plan)
    drained(agenda)
    assert agenda.ended_by == "trials: all 3"
    with pytest.raises(UsageError, match="use --sampler nehvi"):
        validate(plan_in(tmp_path, min_gain=0.1, sampler="tpe"))


def test_our_own_samplers_expectation_ends_a_search_that_has_found_everything(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, trials=60, baseline_trials=0, fix=(("method", "dimum"),), sampler="nehvi", min_gain=0.05)
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    agenda = agenda_of(plan)
    count = 0
    while (job := agenda.next_job()) and job.phase == "search":
        count += job.arm == "dimum"
        finish(agenda, job, robustness=0.9, fid_delta=1.0)  # every setting is as good as any other
    assert count < 30 and agenda.ended_by.startswith("expected gain")
