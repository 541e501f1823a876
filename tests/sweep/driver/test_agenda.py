"""The order of a sweep, what it records and when, and how it goes on after a crash. Real Optuna, Arrow and store; no Ray."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import optuna
import pytest
from agenda_by_hand import PREPARED, TINY, agenda_of, drain, finish, plan_in, report, stage
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sweep import records
from sweep.driver.mend import Rows
from sweep.driver.tune import AgendaSearcher, ToldAfterwards
from sweep.errors import UsageError
from sweep.jobs import Ended
from sweep.plan.folders import create_run_dir
from sweep.plan.plan import Plan
from sweep.reading.best import best
from sweep.reading.sweep import read_sweep
from sweep.records.folder import write_json
from sweep.records.names import name_of
from sweep.relearning.experiments import experiment_of
from sweep.search.confirm import name_trials
from sweep.search.observations import observation
from trainables.store import StoreUnusable


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    plan = plan_in(tmp_path)
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    return plan


def test_the_arms_come_side_by_side_then_controls_on_all_seeds_then_trials_seed_by_seed(plan: Plan) -> None:
    agenda = agenda_of(plan)
    names = drain(agenda)
    search, controls, confirm = names[:6], names[8:12], names[12:]
    assert names[6:8] == ["control-base-r0", "control-retrain-r0"]
    assert sorted(search) == sorted(
        [f"dimum-{i:04d}-r0" for i in range(4)] + [f"label_swap-{i:04d}-r0" for i in range(2)]
    )
    assert {n[:5] for n in search[:3]} == {"dimum", "label"}, "arms take turns"
    assert controls == [f"control-{which}-r{seed}" for seed in (1, 2) for which in ("base", "retrain")]
    assert [n[-2:] for n in confirm] == ["r1"] * (len(confirm) // 2) + ["r2"] * (len(confirm) // 2)
    assert {n[:-3] for n in confirm} >= {"dimum-0003", "label_swap-0001"}
    assert agenda.finished and agenda.next_job() is None


def test_trials_are_confirmed_after_the_last_search_trial_and_controls_while_it_ends(plan: Plan) -> None:
    agenda = agenda_of(plan)
    search = [agenda.next_job() for _ in range(8)]
    ahead = list(iter(agenda.next_job, None))
    assert {job.phase for job in search} == {"search"} and agenda.phase == "search" and not agenda.finished
    assert [job.name for job in ahead] == ["control-base-r1", "control-base-r2"], "θ₀'s score is made once a seed"
    for job in ahead:
        agenda.take(job.name, report() | {"stage": stage("score", f"score of {job.name}")})
    ahead += iter(agenda.next_job, None)
    assert [job.name for job in ahead[2:]] == ["control-retrain-r1", "control-retrain-r2"]
    assert {job.phase for job in ahead} == {"confirm"}
    for job in (*search[:-1], *ahead[:2]):
        finish(agenda, job)
    assert agenda.next_job() is None, "a trial of the search is still running"
    finish(agenda, search[-1])
    rest = list(iter(agenda.next_job, None))
    assert rest and {job.phase for job in rest} == {"confirm"} and "control" not in {job.arm for job in rest}
    for job in (*ahead[2:], *rest):
        finish(agenda, job)
    names = [name_of(r) for r in records.rows(Path(plan.run_dir), "replicates") if r["arm"] == "control"]
    assert sorted(names) == sorted({job.name for job in (*search, *ahead) if job.arm == "control"}), "each once"


def test_in_the_confirm_phase_trials_overtake_a_control_that_waits_and_it_begins_once_the_leading_one_failed(
    plan: Plan,
) -> None:
    agenda = agenda_of(plan)
    while agenda.phase == "search":
        job = agenda.next_job()
        if job.phase == "search":  # one worker: none idles while the search ends
            finish(agenda, job)
    begun = [job, *iter(agenda.next_job, None)]
    assert [j.name for j in begun[:2]] == ["control-base-r1", "control-base-r2"]
    trials = [j.name for j in begun[2:]]
    assert trials and not any(name.startswith("control") for name in trials) and not agenda.finished
    agenda.fail("control-base-r1", "its process was lost 3 times: killed")
    assert agenda.next_job().name == "control-retrain-r1"
    assert agenda.next_job() is None, "that of the other seed waits"
    agenda.take("control-base-r2", report() | {"stage": stage("score", "k")})
    del agenda  # the driver is gone, and what the score's stage was is on record
    again = agenda_of(plan)
    begun = list(iter(again.next_job, None))
    assert "control-retrain-r2" in [j.name for j in begun] and "control-base-r1" not in [j.name for j in begun]


def test_what_all_trials_of_a_searched_attack_begin_with_is_made_by_one_of_them(tmp_path: Path) -> None:
    """The model that is attacked is unlearned once, in the search and on each confirm seed: others wait for its stage, or run."""
    question = str(Path(TINY).with_name("tiny_attack.py"))
    plan = plan_in(tmp_path, space=question, trials=3, baseline_trials=0, confirm_members=3)
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    agenda = agenda_of(plan)
    figures = {"attacked_relearning_accuracy": 0.5, "attacked_fid_delta": 1.0}
    first = agenda.next_job()
    beside = list(iter(agenda.next_job, None))
    assert first.name == "dimra-0000-r0" and beside and {job.arm for job in beside} == {"control"}
    assert agenda.phase == "search"
    agenda.take(first.name, report() | {"stage": stage("unlearn", "k")})
    others = list(iter(agenda.next_job, None))
    assert [job.name for job in others] == ["dimra-0001-r0", "dimra-0002-r0"], "now they find it, side by side"
    for job in beside:
        finish(agenda, job)
    for job in (first, *others):
        agenda.take(job.name, report(records.COMPLETE, **figures, seed=job.spec.seed))
    begun = [job for job in iter(agenda.next_job, None) if job.arm != "control"]
    assert agenda.phase == "confirm" and [job.name[-3:] for job in begun] == ["-r1", "-r2"], "one of each seed"
    agenda.fail(begun[0].name, "out of memory")
    (again,) = iter(agenda.next_job, None)
    assert again.name.endswith("-r1"), "what one could not make the next one makes"


def test_controls_that_an_earlier_driver_ran_ahead_are_not_run_again(plan: Plan) -> None:
    earlier = agenda_of(plan)
    search = [earlier.next_job() for _ in range(8)]
    ahead = earlier.next_job()
    finish(earlier, ahead)
    for job in search[:-1]:
        finish(earlier, job)
    earlier.close()
    names = drain(agenda_of(plan))
    assert ahead.name not in names and names[0] == search[-1].name
    assert {"control-retrain-r1", "control-base-r2", "control-retrain-r2"} <= set(names)


def test_replicates_of_one_confirm_seed_share_it_and_no_seed_is_the_searchs(plan: Plan) -> None:
    agenda, seeds = agenda_of(plan), {}
    while job := agenda.next_job():
        seeds.setdefault(job.spec.replicate, set()).add(job.spec.seed)
        finish(agenda, job)
    assert seeds == {0: {0}, 1: {1}, 2: {2}}


def test_only_search_trials_pass_a_gate_and_the_confirm_suite_is_the_longer_one(plan: Plan) -> None:
    agenda = agenda_of(plan)
    while job := agenda.next_job():
        gated = job.phase == "search" and job.arm != "control"
        assert bool(job.spec.gate) == gated
        assert len(job.spec.attacks) == (1 if job.phase == "search" else 2)
        finish(agenda, job)


def test_what_optuna_is_told_is_on_disk_first(plan: Plan) -> None:
    agenda = agenda_of(plan)
    job = next(j for j in iter(agenda.next_job, None) if j.arm == "dimum")
    study, seen = agenda.arms["dimum"].study, []
    tell = study.tell

    def look_then_tell(*args: Any, **kwargs: Any) -> Any:
        seen.extend(
            r["state"] for r in records.rows(Path(plan.run_dir), "trials") if r["trial_id"] == job.spec.trial_id
        )
        return tell(*args, **kwargs)

    study.tell = look_then_tell  # type: ignore[method-assign]
    finish(agenda, job)
    assert seen == [records.COMPLETE]


def test_an_asked_trial_is_on_disk_before_it_runs(plan: Plan) -> None:
    agenda = agenda_of(plan)
    job = next(j for j in iter(agenda.next_job, None) if j.arm == "dimum")
    (row,) = records.rows(Path(plan.run_dir), "trials", job.spec.trial_id)
    assert row["state"] == records.RUNNING
    assert row["param_learning_rate"] == job.spec.settings["learning_rate"]


def test_a_figure_that_is_not_finite_is_a_failure_with_its_cause(plan: Plan) -> None:
    agenda = agenda_of(plan)
    job = next(j for j in iter(agenda.next_job, None) if j.arm == "dimum")
    ended = finish(agenda, job, robustness=float("nan"))
    assert ended.row["state"] == records.FAIL and "not finite" in ended.row["cause"]
    assert agenda.arms["dimum"].study.get_trials()[job.number].state == TrialState.FAIL


def test_a_stopped_trials_figure_that_is_not_finite_is_a_failure_and_the_run_can_be_gone_on_with(plan: Plan) -> None:
    agenda = agenda_of(plan)
    job = next(j for j in iter(agenda.next_job, None) if j.arm == "dimum")
    ended = agenda.take(job.name, report(records.PRUNED, "gate", fid_delta=float("nan"), unlearning_accuracy=1.0))
    assert ended is not None and ended.row["state"] == records.FAIL and "fid_delta is nan" in ended.row["cause"]
    assert ended.row["stopped_by"] is None
    agenda.writer.trial(ended.row | {"state": records.PRUNED, "cause": "gate"})  # as earlier drivers recorded it
    again = agenda_of(plan)
    assert again.arms["dimum"].study.get_trials()[job.number].state == TrialState.FAIL and "1 finished" in again.resumed


def test_a_search_whose_end_is_not_recorded_has_ended_once_trials_are_being_confirmed(plan: Plan) -> None:
    agenda = agenda_of(plan)
    while agenda.phase == "search":
        job = agenda.next_job()
        finish(agenda, job, robustness=0.5 + 0.1 * job.number, fid_delta=1.0 + job.number)
    while job.arm == "control":
        job = agenda.next_job()
        finish(agenda, job)
    (Path(plan.run_dir) / records.SEARCH).unlink()
    (Path(plan.run_dir) / "plan.json").write_text(json.dumps(plan.to_json() | {"trials": 9}))
    again = agenda_of(plan)
    assert "search.json is gone" in again.ended_by and again.next_job().phase == "confirm"


def test_a_figure_that_the_question_asks_for_and_nothing_gave_is_a_failure_that_names_it_and_wins_nothing(
    plan: Plan,
) -> None:
    agenda = agenda_of(plan)
    job = next(j for j in iter(agenda.next_job, None) if j.arm == "dimum")
    figures = {"robustness": 0.9, "unlearning_accuracy": 1.0}
    ended = agenda.take(job.name, report(records.COMPLETE, **figures, seed=job.spec.seed))
    assert ended is not None and ended.row["state"] == records.FAIL
    assert ended.row["cause"].startswith("fid_delta is missing")
    assert read_sweep(plan.run_dir).arms["dimum"].search_best is None


def test_a_lost_process_is_recorded_with_what_ray_said(plan: Plan) -> None:
    agenda = agenda_of(plan)
    job = next(j for j in iter(agenda.next_job, None) if j.arm == "dimum")
    agenda.fail(job.name, "its process was lost 3 times: killed")
    (row,) = records.rows(Path(plan.run_dir), "trials", job.spec.trial_id)
    assert (row["state"], row["cause"]) == (records.FAIL, "its process was lost 3 times: killed")
    assert row["robustness"] is None


def test_a_job_that_tune_gives_up_is_suggested_again_until_its_process_was_lost_too_often(plan: Plan) -> None:
    agenda, ended = agenda_of(plan), list[Ended]()
    searcher = AgendaSearcher(agenda, ended.append, lambda: None, most_losses=3)
    first = searcher.suggest("a")
    searcher.lost("a", 2, "its node died")
    assert searcher.suggest("b") == first, "the same job, as another trial of Tune's"
    searcher.lost("b", 0, "its node died")  # Tune doesn't count what was lost before it started
    assert searcher.suggest("c") == first and not ended
    searcher.lost("c", 1, "its node died")
    assert [e.row["cause"] for e in ended] == ["its process was lost 4 times: its node died"]
    assert searcher.suggest("d") != first
    searcher.lost("a", 1, "its node died")
    assert len(ended) == 1, "what has ended has ended"


def test_a_job_that_gets_on_between_its_losses_is_never_given_up(plan: Plan) -> None:
    """As on nodes that are reclaimed every hour, for three days."""
    searcher = AgendaSearcher(agenda_of(plan), (ended := list[Ended]()).append, lambda: None, most_losses=2)
    first = searcher.suggest("0")
    for lost in range(1, 9):
        trial_id = str(lost - 1)
        made = report() | {
            "stage": stage(f"s{lost}", f"k{lost}", found=lost % 2 == 0),
            "halt": None,
        }  # some by the one that died
        searcher.take(trial_id, {"reports": json.dumps([made])}, failures=5)
        searcher.lost(trial_id, 6, "its node died")
        assert not ended and searcher.suggest(str(lost)) == first
    found = report() | {"stage": stage("s1", "k1", found=True), "halt": None}
    searcher.take("8", {"reports": json.dumps([found])})
    searcher.lost("8", 2, "its node died")
    assert [e.row["cause"] for e in ended] == ["its process was lost 3 times: its node died"], (
        "what was reported before is no progress"
    )


def test_a_job_says_whether_it_is_to_report_each_stage_and_only_a_search_that_stops_trials_wants_it(
    plan: Plan, tmp_path: Path
) -> None:
    stopping = plan_in(tmp_path / "stopping", stopping=True)
    create_run_dir(stopping)
    write_json(Path(stopping.run_dir) / "prepared.json", PREPARED)
    for of, wanted in ((plan, set()), (stopping, {"dimum", "label_swap"})):
        agenda = agenda_of(of)
        searcher = AgendaSearcher(agenda, lambda ended: None, lambda: None, most_losses=1)
        asked = set()
        for trial_id in map(str, range(8)):
            config = searcher.suggest(trial_id)
            assert isinstance(config, dict)
            if config["every_stage"]:
                asked.add(agenda.running[searcher.job_of[trial_id]].arm)
        assert asked == wanted
        agenda.close()


def test_what_a_step_of_several_stages_reported_is_recorded_once_and_before_the_sampler_hears_of_it(plan: Plan) -> None:
    agenda = agenda_of(plan)
    searcher = AgendaSearcher(agenda, (heard := list[Ended]()).append, lambda: None, most_losses=1)
    searcher.suggest("a")
    (job,) = agenda.running.values()
    written, write = [], agenda.writer._write

    def noted(table: str, name: str, rows: Any) -> None:
        written.append(table)
        write(table, name, rows)

    agenda.writer._write = noted  # type: ignore[method-assign]
    figures = {"robustness": 0.9, "fid_delta": 1.0, "unlearning_accuracy": 1.0, "seed": job.spec.seed}
    reports = [report() | {"stage": stage(f"s{i}", f"k{i}")} for i in range(14)]
    reports.append(report(records.COMPLETE, **figures) | {"stage": stage("s14", "k14")})
    searcher.take("a", {"reports": json.dumps([r | {"halt": None} for r in reports])})
    assert written == ["stages", "curves", "replicates", "trials"] and [e.job.name for e in heard] == [job.name]
    assert len(records.rows(Path(plan.run_dir), "stages", job.name)) == 15


def test_what_ended_before_a_store_was_found_unusable_is_recorded(plan: Plan) -> None:
    agenda = agenda_of(plan)
    searcher = AgendaSearcher(agenda, lambda ended: None, lambda: None, most_losses=1)
    searcher.suggest("a")
    (name,) = agenda.running
    made, halt = report() | {"stage": stage("unlearn", "k"), "halt": None}, report() | {"halt": "no space left"}
    with pytest.raises(StoreUnusable, match="no space left"):
        searcher.take("a", {"reports": json.dumps([made, halt])})
    assert [row["stage"] for row in records.rows(Path(plan.run_dir), "stages", name)] == ["unlearn"]


HALT = {"reports": json.dumps([report() | {"halt": "cannot read k: Stale file handle (on node-3)"}])}


def test_a_store_that_one_node_cannot_use_and_the_driver_can_costs_a_job_that_node_and_not_the_run(plan: Plan) -> None:
    agenda = agenda_of(plan)
    searcher = AgendaSearcher(
        agenda, (ended := list[Ended]()).append, lambda: None, most_losses=4, check_store=lambda: None
    )
    first = searcher.suggest("a")
    assert searcher.take("a", HALT), "its process has another trial next"
    searcher.on_trial_complete("a", HALT)  # Tune repeats it
    searcher.lost("a", 1, "its node died")
    assert searcher.suggest("b") == first and searcher.losses.total() == 1 and not ended
    made = {"reports": json.dumps([report() | {"stage": stage("unlearn", "k"), "halt": None}])}
    assert not searcher.take("b", made)
    for again in "cd":
        assert searcher.take(chr(ord(again) - 1), HALT) and searcher.suggest(again) == first
    assert searcher.error is None


def test_several_jobs_in_a_row_that_cannot_use_the_store_end_the_run_whatever_the_driver_can(plan: Plan) -> None:
    searcher = AgendaSearcher(
        agenda_of(plan), lambda ended: None, lambda: None, most_losses=2, check_store=lambda: None, workers=3
    )
    for trial_id in "abc":
        searcher.suggest(trial_id)
    assert searcher.take("a", HALT) and searcher.take("b", HALT)
    with pytest.raises(StoreUnusable, match=r"Stale file handle \(on node-3\); so said 3 in a row"):
        searcher.take("c", HALT)


def test_views_hear_of_what_ended_once_the_next_trial_was_handed_out(plan: Plan) -> None:
    heard: list[str] = []
    ended: list[Any] = ["first"]
    searcher = AgendaSearcher(agenda_of(plan), ended.append, lambda: None, most_losses=1)
    told = ToldAfterwards(ended, searcher, heard.append)
    told.on_step_begin(0, [])
    ended.append("second")  # while Tune's step is on its way
    told.on_step_end(0, [])
    assert heard == ["first"]
    told.tell_the_rest()
    assert heard == ["first", "second"] and not ended
    assert pickle.loads(pickle.dumps(told)).__dict__ == {}, (
        "Tune writes its callbacks down, and a view can hold anything"
    )


def test_a_view_that_ends_the_run_is_what_the_run_is_told_to_have_ended_by(plan: Plan) -> None:
    def take(ended: Any) -> None:
        raise StoreUnusable("its disk is gone")

    searcher = AgendaSearcher(agenda_of(plan), lambda ended: None, lambda: None, most_losses=1)
    with pytest.raises(StoreUnusable):
        ToldAfterwards([Any], searcher, take).tell_the_rest()
    assert isinstance(searcher.error, StoreUnusable)


def test_a_resumed_search_reads_the_curves_of_all_its_trials_at_once(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    agenda = agenda_of(plan)
    for job in [agenda.next_job() for _ in range(4)]:
        point = {"attack": "a", "attack_step": 1, "metric": "relearning_accuracy", "value": 0.1 * job.number}
        agenda.take(job.name, report() | {"curves": [point | {"counts": True}]})
        finish(agenda, job)
    agenda.close()
    looked: list[str | None] = []
    rows = records.rows

    def noted(run_dir: Path, table: str, name: str | None = None) -> list[dict[str, Any]]:
        if table == "curves":
            looked.append(name)
        return rows(run_dir, table, *([name] if name else []))

    monkeypatch.setattr(records, "rows", noted)
    told: dict[str, list[float]] = {}
    monkeypatch.setattr(
        "sweep.driver.agenda.observation",
        lambda space, number, settings, state, row, curves, *rest: (
            told.update({row["trial_id"]: [c["value"] for c in curves]})
            or observation(space, number, settings, state, row, curves, *rest)
        ),
    )
    agenda_of(plan)
    assert looked == [None]
    assert told and all(values == [pytest.approx(0.1 * int(name[-4:]))] for name, values in told.items())


def test_after_a_crash_finished_trials_stay_and_unfinished_ones_go_on_under_their_own_numbers(plan: Plan) -> None:
    agenda = agenda_of(plan)
    started = [agenda.next_job() for _ in range(6)]
    done, unfinished = started[:4], started[4:]
    for job in done:
        finish(agenda, job, robustness=0.7)
    first = unfinished[0]
    agenda.take(first.name, report() | {"stage": stage("unlearn", "k1")})
    del agenda  # the driver is gone; nothing was closed

    again = agenda_of(plan)
    assert "4 finished trials kept, 2 unfinished ones go on" in again.resumed
    resumed = [again.next_job() for _ in range(2)]
    assert {j.name: j.spec for j in resumed} == {j.name: j.spec for j in unfinished}
    made = {j.name: [s["stage"] for s in j.stages] for j in resumed}
    assert made[first.name] == ["unlearn"], "the stage the earlier driver saw made is still on record"
    told = [t for arm in again.arms.values() for t in arm.study.get_trials() if t.state == TrialState.COMPLETE]
    assert [t.values[0] for t in told] == [0.7] * 4
    for job in resumed:
        finish(again, job)
    names = drain(again)
    assert not {j.name for j in started} & set(names), "nothing that ran runs again"
    assert len([n for n in names if n.endswith("r0")]) == 2


def test_a_trial_that_gave_no_curve_lacks_none_and_one_whose_curves_are_lost_does(plan: Plan) -> None:
    agenda, run = agenda_of(plan), Path(plan.run_dir)
    jobs = {}
    while len(jobs) < 2:
        job = agenda.next_job()
        if job.arm == "control":
            finish(agenda, job)
        else:
            jobs[job.name] = job
    glanced, scored = jobs
    point = {"attack": "none", "attack_step": 0, "metric": "unlearning_accuracy", "value": 0.1, "samples": 32}
    agenda.take(glanced, report() | {"stage": stage("unlearn", "k1")})
    agenda.take(glanced, report(records.PRUNED, "its unlearning accuracy") | {"stage": stage("glance", "k2")})
    agenda.take(scored, report() | {"stage": stage("unlearn", "k3")})
    agenda.take(scored, report(records.PRUNED, "its FID") | {"stage": stage("score", "k4"), "curves": [point]})
    assert not {glanced, scored} & set(Rows.of(run).incomplete())
    (run / "records" / "curves" / f"{scored}.parquet").unlink()
    assert {glanced, scored} & set(Rows.of(run).incomplete()) == {scored}
    (run / "records" / "stages" / f"{glanced}.parquet").unlink()
    assert {glanced, scored} <= set(Rows.of(run).incomplete())


def test_of_trials_that_tie_in_the_first_objective_the_winner_is_one_of_the_confirmed_front(plan: Plan) -> None:
    agenda = agenda_of(plan)
    while job := agenda.next_job():
        finish(agenda, job, robustness=1.0, fid_delta=1.0 + job.number)
    sweep = read_sweep(plan.run_dir)
    arm, winner = sweep.arms["dimum"], best(sweep, "dimum")
    assert len(arm.confirmed_members) > 1, "there is one to be confused with"
    assert winner is not None and winner.on_front and winner.trial_id == "dimum-0000"
    assert arm.search_best is not None and arm.search_best.trial_id == "dimum-0000"


def test_where_one_trial_is_confirmed_of_those_that_tie_it_is_one_of_the_front(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, confirm_members=1, confirm_neighbours=0)
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    agenda = agenda_of(plan)
    while job := agenda.next_job():
        finish(agenda, job, robustness=1.0, fid_delta=1.0 + job.number)
    assert [m.trial_id for m in read_sweep(plan.run_dir).arms["dimum"].confirmed_members] == ["dimum-0000"]


def test_a_resumed_confirm_phase_runs_only_what_is_missing(plan: Plan) -> None:
    agenda = agenda_of(plan)
    while agenda.phase == "search":
        job = agenda.next_job()
        finish(agenda, job, robustness=0.5 + 0.1 * job.number, fid_delta=1.0 + job.number)
    assert job.phase == "confirm", "the first job of the confirm phase ended the loop and is finished too"
    left = [j.name for j in agenda._waiting]
    finish(agenda, agenda.next_job())
    assert drain(agenda_of(plan)) == left[1:] != []


def test_a_trial_that_is_gone_on_with_was_asked_for_when_it_was_first(plan: Plan) -> None:
    earlier = agenda_of(plan)
    name = earlier.next_job().spec.trial_id
    (before,) = records.rows(Path(plan.run_dir), "trials", name)
    earlier.close()
    assert agenda_of(plan).next_job().spec.trial_id == name
    (again,) = records.rows(Path(plan.run_dir), "trials", name)
    assert again["state"] == records.RUNNING and again["asked_at"] == before["asked_at"]


def test_an_arm_without_a_feasible_member_sends_its_closest_trial_to_the_confirm_phase(plan: Plan) -> None:
    agenda = agenda_of(plan)
    confirmed = []
    while job := agenda.next_job():
        if job.phase == "confirm":
            confirmed.append(job.spec.trial_id)
        far = job.arm == "label_swap"
        finish(agenda, job, fid_delta=100.0 - job.number if far else 1.0)
    assert "label_swap-0001" in confirmed and "label_swap-0000" not in confirmed


def test_a_trial_that_noise_may_have_kept_off_the_front_is_confirmed_beside_the_members(plan: Plan) -> None:
    """Of those past the budget: 1 is dominated by a feasible trial, 2 and 3 are not, and 2 is the nearer."""
    agenda = agenda_of(plan)
    budget = PREPARED["fid_budget"]
    found = {0: (0.8, 0.5), 1: (0.7, 1.1), 2: (0.9, 1.2), 3: (0.95, 2.0)}
    names = []
    while job := agenda.next_job():
        names.append(job.name)
        robustness, share = found[job.number] if job.arm == "dimum" else (0.9, 0.5)
        finish(agenda, job, robustness=robustness, fid_delta=share * budget)
    assert {n[:-3] for n in names if n.endswith("r1") and n.startswith("dimum")} == {"dimum-0000", "dimum-0002"}


def test_a_trial_that_is_named_is_confirmed_too_in_a_run_that_was_over(plan: Plan) -> None:
    drain(agenda_of(plan))
    run_dir = Path(plan.run_dir)
    before = {r["trial_id"] for r in records.rows(run_dir, "replicates") if r["replicate"] >= 1}
    assert "dimum-0001" not in before and agenda_of(plan).next_job() is None
    with pytest.raises(UsageError, match=r"--confirm dimum-01: no such trial"):
        name_trials(run_dir, ["dimum-01"])
    name_trials(run_dir, ["dimum-0001"])
    assert drain(agenda_of(plan)) == ["dimum-0001-r1", "dimum-0001-r2"]
    assert read_sweep(run_dir).member("dimum-0001").confirmed["robustness"].n == 2
    assert agenda_of(plan).next_job() is None


def test_a_trial_that_the_gate_excluded_is_nobodys_neighbour(plan: Plan) -> None:
    agenda = agenda_of(plan)
    names = []
    while job := agenda.next_job():
        names.append(job.name)
        if job.arm == "dimum" and job.number == 2:
            agenda.take(job.name, report(records.PRUNED, "gate", fid_delta=9.0, unlearning_accuracy=1.0))
        else:
            finish(agenda, job)
    assert "dimum-0002-r0" in names and "dimum-0002-r1" not in names


def test_arms_of_a_stratified_choice_get_as_many_trials_each_and_a_study_each(tmp_path: Path) -> None:
    question = Path(TINY).read_text()
    start = question.index("    arms=(")
    arms = 'stratified(Choice("method", {m: FINE_TUNING for m in ("dimum", "label_swap", "salun")}))'
    (tmp_path / "strata.py").write_text(
        "from sweep.space import stratified\n"
        + question[:start]
        + f"    arms={arms},\n"
        + question[question.index("    objectives=") :]
    )
    plan = plan_in(tmp_path, space=str(tmp_path / "strata.py"), trials=6, baseline_trials=3, confirm_members=1)
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    names = drain(agenda_of(plan))
    searched = [n.rpartition("-")[0] for n in names if n.endswith("r0") and not n.startswith("control")]
    assert sorted(searched) == [f"{a}-{i:04d}" for a in ("dimum", "label_swap", "salun") for i in range(2)]
    assert {name[:-5] for name in searched[:3]} == {"dimum", "label_swap", "salun"}, "side by side"
    settings = {
        r["trial_id"]: r["param_learning_rate"] for r in records.rows(Path(plan.run_dir), "trials") if r["number"] == 0
    }
    assert len({v for k, v in settings.items() if "control" not in k}) == 3, "each arm's sampler draws for itself"


def test_a_setting_that_is_true_or_false_is_recorded_and_found_again(tmp_path: Path) -> None:
    question = (
        Path(TINY)
        .read_text()
        .replace('Choice("replacement", ("one_image", "noise"))', 'Choice("replacement", (True, False))')
    )
    question = question.replace('"replacement": "noise"', '"replacement": True').replace(
        '"replacement": "one_image"', '"replacement": False'
    )
    (tmp_path / "yes_or_no.py").write_text(question)
    plan = plan_in(tmp_path, space=str(tmp_path / "yes_or_no.py"))
    create_run_dir(plan)
    write_json(Path(plan.run_dir) / "prepared.json", PREPARED)
    agenda = agenda_of(plan)
    job = next(j for j in iter(agenda.next_job, None) if j.arm == "dimum")
    assert job.spec.settings["replacement"] is True
    finish(agenda, job)
    (past,) = [t for t in agenda_of(plan).arms["dimum"].study.get_trials() if t.state == TrialState.COMPLETE]
    assert past.params["replacement"] is True


def test_shadow_models_are_trained_only_where_the_plan_says_so(tmp_path: Path) -> None:
    for asked in (0, 3):
        plan = plan_in(tmp_path, shadow_models=asked)
        assert experiment_of(plan.setup, plan.artifacts, plan.place).shadow_models == asked


def test_what_was_confirmed_is_in_the_journal_once_and_stays_there(plan: Plan) -> None:
    """At the end of a run, after a resume that has nothing to do, and where a repair makes the journal from the records."""
    agenda = agenda_of(plan)
    drain(agenda)
    agenda.close()
    assert not any("confirmed_seeds" in attributes for attributes in attributes_of(plan).values())
    agenda.write_confirmed()
    told = attributes_of(plan)
    confirmed = {name: attributes for name, attributes in told.items() if "confirmed_seeds" in attributes}
    sweep = read_sweep(plan.run_dir)
    assert set(confirmed) == {m.trial_id for arm in sweep.arms.values() for m in arm.confirmed_members} != set()
    for trial_id, attributes in confirmed.items():
        found = sweep.member(trial_id).confirmed
        assert found is not None and attributes["confirmed_robustness"] == found["robustness"].mean
        assert attributes["confirmed_fid_delta_interval"] == [found["fid_delta"].lower, found["fid_delta"].upper]
        assert (attributes["confirmed_seeds"], attributes["confirmed_feasible"]) == (2, True)
    size = (Path(plan.run_dir) / "optuna.journal").stat().st_size
    again = agenda_of(plan)
    again.close()
    assert attributes_of(plan) == told, "as a resume and a repair make it"
    again.write_confirmed()
    assert attributes_of(plan) == told
    assert (Path(plan.run_dir) / "optuna.journal").stat().st_size == pytest.approx(size, rel=0.01), (
        "nothing is there twice"
    )


def attributes_of(plan: Plan) -> dict[str, dict[str, Any]]:
    """The attributes of every trial in the journal, as any tool of Optuna reads them."""
    storage = JournalStorage(JournalFileBackend(str(Path(plan.run_dir) / "optuna.journal")))
    return {
        f"{arm}-{trial.number:04d}": trial.user_attrs
        for arm in ("dimum", "label_swap")
        for trial in optuna.load_study(study_name=f"tiny/{arm}", storage=storage).get_trials()
    }
