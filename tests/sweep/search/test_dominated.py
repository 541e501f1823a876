"""A trial under attack is stopped where the present front surely dominates it, recorded with its cause, and told as a bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agenda_by_hand import agenda_of, finish, plan_in, report, stage

from sweep import records
from sweep.driver.agenda import Agenda
from sweep.jobs import Job
from sweep.plan.folders import create_run_dir
from sweep.reading.sweep import read_sweep
from sweep.records import COMPLETE, DOMINATION, PRUNED
from sweep.records.folder import write_json
from sweep.samplers import Observation
from sweep.search.dominated import Possible, dominated, present_front
from sweep.space import Objective

BOTH = (Objective("robustness", "maximise"), Objective("fid_delta", "minimise"))
PREPARED = {"fid_budget": 5.0, "fid_delta_sd": 0.5}


def member(number: int, robustness: float, fid_delta: float, sem: float = 0.0, over: float = -0.1) -> Observation:
    figures = {"robustness": robustness, "fid_delta": fid_delta}
    return Observation(number, {}, COMPLETE, figures, {"fid_delta": over}, sems={"fid_delta": sem})


def rung(step: int, value: float, attack: str = "dimra-retain") -> dict[str, Any]:
    row = {
        "attack": attack,
        "counts": True,
        "auxiliary": "retain",
        "attack_step": step,
        "metric": "relearning_accuracy",
    }
    return row | {"value": value, "lower": None, "upper": None, "samples": 128, "artifact": "a"}


def test_what_is_better_in_any_objective_goes_on_and_what_is_better_in_none_stops() -> None:
    front = [member(0, 0.9, 2.0), member(1, 0.95, 4.0)]
    for robustness, fid_delta, stops in ((0.8, 3.0, True), (0.92, 3.0, False), (0.92, 4.5, True), (0.5, 1.0, False)):
        trial = Possible({"robustness": robustness, "fid_delta": fid_delta}, {}, frozenset({"robustness"}))
        assert (dominated(BOTH, trial, front) is not None) == stops, (robustness, fid_delta)
    assert dominated(BOTH, Possible({"fid_delta": 9.0}, {}), front) is None, "no bound, no stop"
    assert dominated(BOTH, Possible({"robustness": 0.1, "fid_delta": 9.0}, {}), []) is None


def test_noise_keeps_a_trial_running_until_the_difference_exceeds_it() -> None:
    def stops(fid_delta: float, sem: float) -> bool:
        trial = Possible({"robustness": 0.5, "fid_delta": fid_delta}, {"fid_delta": sem}, frozenset({"robustness"}))
        return dominated(BOTH, trial, [member(0, 0.9, 2.0, sem)]) is not None

    assert stops(2.1, 0.0) and not stops(2.1, 1.0) and stops(5.0, 1.0)


def test_a_figure_that_is_no_number_stops_nothing() -> None:
    trial = Possible({"robustness": float("nan"), "fid_delta": 9.0}, {"robustness": 0.1, "fid_delta": 0.1})
    assert dominated(BOTH, trial, [member(0, 0.9, 2.0, 0.1)]) is None


def test_infeasible_and_stopped_trials_dominate_nothing() -> None:
    stopped = Observation(3, {}, PRUNED, {"fid_delta": 0.1}, {"fid_delta": -0.9}, {"robustness": 1.0})
    kept = [member(0, 0.9, 2.0), member(1, 0.99, 0.5, over=0.1), member(2, 0.8, 3.0), stopped]
    assert [o.number for o in present_front(BOTH, kept)] == [0]


@pytest.fixture
def agenda(tmp_path: Path) -> Agenda:
    plan = plan_in(tmp_path, trials=4, baseline_trials=0, fix=(("method", "dimum"),), stopping=True)
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    return agenda_of(plan)


def begun(agenda: Agenda) -> Job:
    """The next trial of the arm, the controls done."""
    while (job := agenda.next_job()) and job.arm == "control":
        finish(agenda, job)
    assert job is not None
    return job


def reports_of(job: Job, fid_delta: float, steps: dict[int, float]) -> list[dict[str, Any]]:
    """The reports of the score and of these rungs."""
    figures = {"fid_delta": fid_delta, "unlearning_accuracy": 1 - steps[0], "seed": job.spec.seed}
    score = {"stage": stage("score", f"{job.name}s"), "curves": [rung(0, steps[0], "none")]}
    rungs = [
        {"stage": stage(f"dimra-retain@{step}", f"{job.name}{step}"), "curves": [rung(step, value)]}
        for step, value in list(steps.items())[1:]
    ]
    return [report(**figures) | made for made in (score, *rungs)]


def attacked(agenda: Agenda, job: Job, fid_delta: float, steps: dict[int, float]) -> Any:
    """Take the reports of the score and of these rungs, one by one until the trial is over; what became of it."""
    ended = (agenda.take(job.name, made) for made in reports_of(job, fid_delta, steps))
    return next((what for what in ended if what is not None), None)


def test_a_dominated_trial_ends_between_two_rungs_with_its_cause_and_its_constraints(agenda: Agenda) -> None:
    first = begun(agenda)
    finish(agenda, first, robustness=0.95, fid_delta=0.0)
    second = begun(agenda)
    ended = attacked(agenda, second, 4.0, {0: 0.0, 1: 0.8, 3: 0.9})
    assert ended is not None and ended.row["state"] == PRUNED and "dominated by trial 0" in ended.row["cause"]
    assert ended.row["stopped_by"] == DOMINATION
    assert ended.row.get("robustness") is None and ended.row["fid_delta"] == 4.0 and ended.row["feasible"]
    told = agenda.arms["dimum"].observed[1]
    assert told.bounds["robustness"] == pytest.approx(0.6) and "robustness" not in told.figures
    front = read_sweep(agenda.run_dir)
    assert [m.trial_id for m in front.arms["dimum"].search_front] == ["dimum-0000"]
    again = agenda_of(agenda.plan)  # a restart knows the same
    assert again.arms["dimum"].observed[1] == told


def test_rungs_that_come_together_are_judged_one_by_one_and_what_lies_behind_the_cut_is_not_recorded(
    agenda: Agenda,
) -> None:
    first = begun(agenda)
    finish(agenda, first, robustness=0.95, fid_delta=0.0)
    second = begun(agenda)
    assert second.every_stage and not any(job.every_stage for job in agenda.confirmation.control_jobs(0))
    score, cut, behind = reports_of(second, 4.0, {0: 0.0, 1: 0.8, 3: 0.9})
    ended = agenda.take(second.name, score, cut, behind)
    alone = agenda.take(begun(agenda).name, *reports_of(second, 4.0, {0: 0.0, 1: 0.8})[:1])
    assert alone is None, "by its score alone it may still be better"
    assert ended is not None and ended.row["stopped_by"] == DOMINATION
    recorded = records.rows(agenda.run_dir, "stages", second.name)
    assert [row["stage"] for row in recorded] == ["score", "dimra-retain@1"]
    assert {row["attack_step"] for row in records.rows(agenda.run_dir, "curves", second.name)} == {0, 1}


def test_a_trial_that_may_still_win_is_attacked_to_the_end(agenda: Agenda) -> None:
    finish(agenda, begun(agenda), robustness=0.95, fid_delta=3.0)
    second = begun(agenda)
    assert attacked(agenda, second, 0.5, {0: 0.0, 1: 0.8}) is None
    rows = records.rows(agenda.run_dir, "replicates", second.name)
    assert [r["state"] for r in rows] == ["RUNNING"]


def test_whole_trials_are_attacked_to_the_end_whatever_dominates_them(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, trials=4, baseline_trials=0, fix=(("method", "dimum"),))
    create_run_dir(plan)
    agenda = agenda_of(plan)
    finish(agenda, begun(agenda), robustness=0.95, fid_delta=0.0)
    assert attacked(agenda, begun(agenda), 4.0, {0: 0.0, 1: 0.8}) is None
