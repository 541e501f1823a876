"""Confirming until sure: bounds of all on two seeds, attacks on what is reported, then the cheapest replicates of what is open."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from agenda_by_hand import PREPARED, TINY, agenda_of, finish, plan_in, report

from sweep import records
from sweep.driver.agenda import Agenda
from sweep.driver.confirmation import asked_of, given_figures
from sweep.driver.mend import Rows, job_of
from sweep.jobs import Job
from sweep.plan.plan import NARROWED, Plan
from sweep.reading.arm_against_arm import Standing, standings
from sweep.reading.best import best, closest
from sweep.reading.ending import Ending
from sweep.reading.pick import in_short, pick_text, picks
from sweep.reading.shortfalls import shortfalls
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.texts import render
from sweep.reading.trial import Trial
from sweep.reading.words import seeds_behind
from sweep.records.folder import write_json
from sweep.records.names import name_of, replicate_of
from sweep.search.confirm import name_trials
from sweep.search.reopening import reopen
from sweep.search.undecided import TWICE, Undecided, open_bounds, open_order, too_wide
from sweep.space import Constraint, Objective
from sweep.statistics.estimates import Estimate

BUDGET = 5.0


def _plan(folder: Path, **changes: Any) -> Plan[Any]:
    (folder / "run").mkdir()
    write_json(folder / "run" / "prepared.json", PREPARED)
    return plan_in(folder, **changes)


def _run(
    agenda: Agenda, fid: dict[str, float], noise: float = 0.5, robust: dict[str, float] | None = None
) -> list[Job]:
    """Everything to its end: trials of these arms at this fid_delta, and seeds with this standard deviation."""
    jobs = []
    while job := agenda.next_job():
        jobs.append(job)
        rng = np.random.default_rng([job.number, job.spec.replicate, len(job.arm)])
        value = fid.get(job.arm, 0.0) + (noise * rng.normal() if job.spec.replicate else 0.0)
        robustness = (robust or {}).get(job.arm, 0.9) + (0.002 * rng.normal() if job.spec.replicate else 0.0)
        finish(agenda, job, robustness=robustness, fid_delta=value)
    return jobs


def _seeds(jobs: list[Job]) -> Counter[str]:
    return Counter(j.spec.trial_id for j in jobs if j.phase == "confirm" and not j.arm.startswith("control"))


def _whole(jobs: list[Job]) -> dict[str, list[int]]:
    """By trial the fresh seeds of its whole replicates."""
    seeds: dict[str, list[int]] = {}
    for job in jobs:
        if job.phase == "confirm" and job.arm != "control" and job.asked_for is None:
            seeds.setdefault(job.spec.trial_id, []).append(job.spec.replicate)
    return seeds


def test_where_all_is_decided_bounds_have_two_seeds_and_what_is_reported_is_attacked(tmp_path: Path) -> None:
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3))
    jobs = _run(agenda, {"dimum": 1.0, "label_swap": 1.0}, 0.05, robust={"dimum": 0.9, "label_swap": 0.8})
    sweep = read_sweep(agenda.run_dir)
    bounded = [j for j in jobs if j.asked_for is not None]
    assert (
        agenda.finished and {j.spec.replicate for j in bounded} == {3, 4} and not any(j.spec.attacks for j in bounded)
    )
    assert Counter(j.spec.trial_id for j in bounded) == dict.fromkeys(_seeds(jobs), 2)
    reported = {m.trial_id for arm in sweep.arms.values() for m in arm.confirmed_members if m.feasible}
    whole, bests = _whole(jobs), {str(m.trial_id) for arm in ("dimum", "label_swap") if (m := best(sweep, arm))}
    assert whole.keys() == reported and all(whole[trial] == [1, 2] for trial in bests)
    assert sum(seeds == [1, 2] for seeds in whole.values()) == TWICE and set(map(tuple, whole.values())) == {
        (1,),
        (1, 2),
    }
    controls = Counter(j.spec.trial_id for j in jobs if j.phase == "confirm" and j.arm == "control")
    assert set(controls.values()) == {3}
    assert sweep.confirmation["open"] == [] and "0.95" in sweep.confirmation["ended_by"]
    assert open_bounds(sweep, 0.95) == open_order(sweep) == too_wide(sweep) == []


def test_a_trial_that_was_named_is_attacked_though_no_one_would_report_it(tmp_path: Path) -> None:
    plan = _plan(tmp_path, confirm_seeds=3, confirm_members=1, confirm_neighbours=0)
    agenda = agenda_of(plan)
    jobs = _run(agenda, {"dimum": 1.0, "label_swap": 1.0}, 0.05, robust={"dimum": 0.9, "label_swap": 0.8})
    (other, *_) = (
        m.trial_id for m in read_sweep(agenda.run_dir).arms["dimum"].members if m.trial_id not in _seeds(jobs)
    )
    name_trials(agenda.run_dir, [other])
    again = _run(agenda_of(plan), {"dimum": 9.0}, 0.05)
    assert _whole(again) == {other: [1, 2]} and {j.spec.replicate for j in again if j.asked_for} == {3, 4}
    assert read_sweep(agenda.run_dir).member(other).feasible is False


@pytest.mark.parametrize("noise", [2.0, 4.0])
def test_what_nothing_needs_narrows_the_best_of_each_arm_to_a_third_of_its_bound(tmp_path: Path, noise: float) -> None:
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3))
    jobs = _run(agenda, {"dimum": -2.0, "label_swap": -2.0}, noise, robust={"dimum": 0.9, "label_swap": 0.8})
    sweep = read_sweep(agenda.run_dir)
    leaders = {str(leader.trial_id) for arm in ("dimum", "label_swap") if (leader := best(sweep, arm)) is not None}
    further = [j for j in jobs if j.spec.replicate > 4 and j.arm != "control"]
    assert {j.spec.trial_id for j in further} <= leaders and open_bounds(sweep, 0.95) == open_order(sweep) == []
    assert further and all(not j.spec.attacks and j.asked_for == {"fid_delta"} for j in further)
    parts = [agenda.specs.reduced(j.spec, agenda.space.arm(j.arm), j.asked_for or ())[1] for j in further]
    assert sum(parts) <= len(_seeds(jobs)) + 1e-9, "no more than a third seed for all"
    for trial in leaders:
        told = (sweep.member(trial).confirmed or {})["fid_delta"]
        assert told.lower is not None and told.upper is not None
        narrow = (told.upper - told.lower) / 2 <= BUDGET / 3
        assert (
            narrow or _seeds(jobs)[trial] == NARROWED * 3 or any(trial in text for text in sweep.confirmation["open"])
        )
    if noise == 2.0:
        assert sweep.confirmation["open"] == [] and "nothing is left to narrow" in sweep.confirmation["ended_by"]


def test_an_open_bound_is_decided_by_replicates_without_attacks_within_what_equal_seeds_cost(tmp_path: Path) -> None:
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3))
    jobs = _run(agenda, {"dimum": 3.6, "label_swap": 1.0}, noise=1.5, robust={"dimum": 0.9, "label_swap": 0.8})
    further = [j for j in jobs if j.spec.replicate > 4 and j.arm != "control"]
    assert further and all(not j.spec.attacks and j.asked_for for j in further)
    assert max(_seeds(jobs).values()) <= NARROWED * 3
    parts = [agenda.specs.reduced(j.spec, agenda.space.arm(j.arm), j.asked_for or ())[1] for j in further]
    assert 0 < max(parts) < 0.5 and sum(parts) <= len(_seeds(jobs)) + 1e-9
    rows = [r for r in records.rows(agenda.run_dir, "replicates") if r["replicate"] > 2 and r["arm"] != "control"]
    assert {r["state"] for r in rows} == {records.COMPLETE} and {r["robustness"] for r in rows} == {None}
    figures = [given_figures(agenda.space, r) for r in rows]
    assert all(given and given <= {"fid_delta", "unlearning_accuracy"} for given in figures)
    sweep, whole = read_sweep(agenda.run_dir), _whole(jobs)
    trial = max(whole, key=_seeds(jobs).__getitem__)
    confirmed = sweep.member(trial).confirmed
    assert confirmed is not None and confirmed["fid_delta"].n == _seeds(jobs)[trial] > 2
    assert confirmed["robustness"].n == len(whole[trial]) <= 2
    told = f"{len(whole[trial])} to {_seeds(jobs)[trial]} fresh seeds"
    assert seeds_behind(sweep, [sweep.member(trial)]) == told, "fewer of robustness"


def test_arms_whose_order_is_open_run_whole_replicates_on_the_same_seeds(tmp_path: Path) -> None:
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3, confirm_members=1, confirm_neighbours=0))

    def robustness(job: Job) -> float:
        return (
            0.9 + 0.05 * np.random.default_rng([job.spec.replicate, len(job.arm)]).normal()
            if job.spec.replicate
            else 0.9
        )

    jobs = []
    while job := agenda.next_job():
        jobs.append(job)
        finish(agenda, job, robustness=robustness(job))
    further = [j for j in jobs if j.spec.replicate > 4 and j.arm != "control"]
    assert further and all(j.spec.attacks and j.asked_for is None for j in further)
    assert Counter(j.spec.replicate for j in further) == {5: 2}
    left = read_sweep(agenda.run_dir).confirmation
    assert "replicates" in left["ended_by"] and any("better robustness" in text for text in left["open"])


@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_run_that_is_gone_on_with_runs_nothing_twice(tmp_path: Path, killed_after: int) -> None:
    plan = _plan(tmp_path, confirm_seeds=3)
    fid, noise = {"dimum": 3.6, "label_swap": 1.0}, 1.5
    first, begun = agenda_of(plan), []
    while job := first.next_job():
        rng = np.random.default_rng([job.number, job.spec.replicate, len(job.arm)])
        value = fid.get(job.arm, 0.0) + (noise * rng.normal() if job.spec.replicate else 0.0)
        begun.append(job.name)
        further = [n for n in begun if replicate_of(n)[1] > 2 and not n.startswith("control")]
        if len(further) > killed_after:
            break
        finish(first, job, fid_delta=value, robustness=0.9 if job.arm == "dimum" else 0.8)
    again = agenda_of(plan)
    names = [j.name for j in _run(again, fid, noise, robust={"dimum": 0.9, "label_swap": 0.8})]
    assert not set(names) & set(begun[:-1]) and again.finished
    assert json.loads((again.run_dir / "confirmation.json").read_text())["ended_by"]


def test_equal_seeds_for_all_are_a_flag_away(tmp_path: Path) -> None:
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3, confirm_sure=0.0))
    jobs = _run(agenda, {"dimum": 3.6, "label_swap": 1.0}, noise=1.5)
    assert set(_seeds(jobs).values()) == {3} and not (agenda.run_dir / "confirmation.json").exists()


def test_of_trials_that_may_break_a_bound_none_is_reported_beside_one_that_does_not(tmp_path: Path) -> None:
    """dimum-0001 is the more robust, and its fid_delta is about the budget: its seeds cannot settle whether it keeps it."""
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3, baseline_trials=0))
    while job := agenda.next_job():
        up = -1 if (job.spec.replicate + job.number // 2) % 2 else 1
        value = (4.8 if job.number == 1 else 1.0) + (0.4 * up if job.spec.replicate else 0.0)
        finish(agenda, job, robustness=0.95 if job.number == 1 else 0.9, fid_delta=value)
    sweep = read_sweep(agenda.run_dir)
    arm, doubtful = sweep.arms["dimum"], sweep.member("dimum-0001")
    assert doubtful.feasible and doubtful.chance is not None and doubtful.chance < 0.95
    assert arm.front and all(m.chance is not None and m.chance >= 0.95 for m in arm.front)
    assert best(sweep, "dimum") in arm.front and "may break a constraint" in (arm.reason or "")
    assert any("dimum-0001" in text for text in sweep.confirmation["open"])
    assert "left open: whether dimum-0001 keeps its bound on fid_delta" in " ".join(render(sweep, "text").split())


def test_a_further_replicate_that_failed_runs_again_where_its_trial_is_named(tmp_path: Path) -> None:
    plan = _plan(tmp_path, confirm_seeds=3)
    agenda, failed = agenda_of(plan), ""
    while job := agenda.next_job():
        up = -1 if job.spec.replicate % 2 else 1
        value = (4.8 if job.arm == "dimum" else 1.0) + (0.4 * up if job.spec.replicate else 0.0)
        if job.asked_for is None:
            finish(agenda, job, fid_delta=value)
        elif not failed:
            failed = job.name
            agenda.fail(job.name, "OSError: disk full")
        else:
            agenda.take(
                job.name, report(records.COMPLETE, fid_delta=value, unlearning_accuracy=1.0, seed=job.spec.seed)
            )
    trial = replicate_of(failed)[0]
    assert any(failed in line for line in reopen(agenda.run_dir, agenda.space, [trial]))
    again = agenda_of(plan)
    job = again.next_job()
    assert job is not None and job.name == failed and job.asked_for and not job.spec.attacks
    finish(again, job, fid_delta=4.8)
    while job := again.next_job():
        assert job.name != failed
        finish(again, job, fid_delta=4.8)
    states = {name_of(r): r["state"] for r in records.rows(again.run_dir, "replicates")}
    assert again.finished and set(states.values()) == {records.COMPLETE}


def test_an_arm_that_surely_keeps_its_bounds_wins_over_a_better_one_that_may_not(tmp_path: Path) -> None:
    """The swap's best is the more robust, at the budget: it has had all its seeds, and is told behind the winner."""
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3, confirm_members=1, confirm_neighbours=0))
    while job := agenda.next_job():
        up = -1 if job.spec.replicate % 2 else 1
        value = (1.0 if job.arm == "dimum" else 4.8) + (0.4 * up if job.spec.replicate else 0.0)
        finish(agenda, job, robustness=0.9 if job.arm == "dimum" else 0.99, fid_delta=value)
    sweep = read_sweep(agenda.run_dir)
    ending = Ending(sweep)
    assert ending.winner is not None and ending.winner.arm == "dimum"
    assert "label_swap" in ending.doubt() and "the best that is sure is dimum" in ending.doubt()
    assert sweep.confirmation["ended_by"] == "its seeds: what is open has had as many as a trial may have"


def _confirmed_but(tmp_path: Path, lost: Callable[[Job], bool], fid: Callable[[Job], float], **changes: Any) -> Sweep:
    """A run whose swap is better on the search's seed; replicates that are `lost` fail."""
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=2, confirm_members=1, confirm_neighbours=0, **changes))
    while job := agenda.next_job():
        if job.spec.replicate and lost(job):
            agenda.fail(job.name, "out of memory")
        else:
            finish(agenda, job, robustness=0.9 if job.arm == "dimum" else 0.99, fid_delta=fid(job))
    return read_sweep(agenda.run_dir)


def test_one_lucky_seed_wins_over_no_confirmed_trial(tmp_path: Path) -> None:
    sweep = _confirmed_but(tmp_path, lambda job: job.arm == "label_swap", lambda job: 1.0 + 0.1 * job.spec.replicate)
    winner = Ending(sweep).winner
    assert not sweep.arms["label_swap"].confirmed and winner is not None and winner.arm == "dimum"
    assert [s.arm for s in standings(sweep)] == ["dimum", "label_swap"]


def _searched_and_bounded(tmp_path: Path, lost: Callable[[Job], bool] = lambda job: False, stop: bool = False) -> Sweep:
    """A run whose swap is better on the search's seed; all keep their bounds on fresh seeds. `lost` whole replicates fail.

    With `stop` it ends before any whole replicate, as it is read while it runs.
    """
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3))
    while job := agenda.next_job():
        whole = job.spec.replicate > 0 and job.arm != "control" and job.asked_for is None
        if whole and stop:
            break
        if whole and lost(job):
            agenda.fail(job.name, "out of memory")
            continue
        value = 1.0 + 0.2 * job.number + (0.01 * job.spec.replicate)
        robustness = (0.8 if job.arm == "dimum" else 0.95) + 0.01 * job.number
        finish(agenda, job, robustness=robustness, fid_delta=value)
    agenda.close()
    return read_sweep(agenda.run_dir)


def test_between_bounds_and_whole_replicates_the_front_is_the_searchs_and_nothing_is_called_confirmed(
    tmp_path: Path,
) -> None:
    sweep = _searched_and_bounded(tmp_path, stop=True)
    for arm in sweep.arms.values():
        assert arm.confirmed_members and not arm.confirmed and arm.front == arm.search_front != ()
        assert all(m.feasible and m.confirmed and not m.fully_confirmed for m in arm.confirmed_members)
        assert "dominated by another" not in (arm.reason or "")
    winner, ending = Ending(sweep).winner, Ending(sweep)
    assert (
        winner is not None and winner.arm == "label_swap" and winner.value("robustness") == winner.search["robustness"]
    )
    assert "search only, one seed: not confirmed" in ending.winner_text() and "--replicate" not in ending.text()
    assert "search front" in ending.text() and ending.doubt() == ""
    assert "on one seed; fresh seeds have shown its bounds alone" in in_short(sweep, picks(sweep))
    assert "on the search's one seed, not confirmed: robustness 0.9" in pick_text(sweep, picks(sweep)[0])


def test_what_fresh_seeds_show_to_break_a_bound_is_no_front_though_nothing_is_attacked_yet(tmp_path: Path) -> None:
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3, baseline_trials=0, confirm_members=4))
    while job := agenda.next_job():
        if job.spec.replicate and job.arm != "control" and job.asked_for is None:
            break
        broken = job.spec.replicate > 0 and job.number == 3  # the search's best
        value = (9.0 if broken else 1.0 + job.number) + 0.01 * job.spec.replicate
        finish(agenda, job, robustness=0.5 + 0.1 * job.number, fid_delta=value)
    agenda.close()
    sweep = read_sweep(agenda.run_dir)
    assert [m.trial_id for m in sweep.arms["dimum"].search_front] == [f"dimum-000{i}" for i in range(4)]
    assert [m.trial_id for m in sweep.arms["dimum"].front] == [f"dimum-000{i}" for i in range(3)]
    winner = Ending(sweep).winner
    assert winner is not None and winner.trial_id == "dimum-0002"


def test_an_arm_whose_whole_replicates_all_failed_does_not_win_by_the_searchs_seed(tmp_path: Path) -> None:
    sweep = _searched_and_bounded(tmp_path, lambda job: job.arm == "label_swap")
    ending = Ending(sweep)
    assert ending.winner is not None and ending.winner.arm == "dimum" and ending.winner.fully_confirmed
    assert [s.arm for s in standings(sweep)] == ["dimum", "label_swap"] and ending.failure is None
    swap = sweep.arms["label_swap"]
    assert not swap.confirmed and swap.confirmed_members and swap.front == swap.search_front
    (told,) = (s for s in shortfalls(sweep) if "label_swap" in s.what)
    assert "whole replicates failed, so their bounds alone are confirmed" in told.what and not told.fatal
    assert in_short(sweep, picks(sweep)).startswith(ending.winner.trial_id)


def test_where_every_whole_replicate_failed_nothing_is_confirmed_and_the_run_has_no_answer(tmp_path: Path) -> None:
    sweep = _searched_and_bounded(tmp_path, lambda job: True)
    ending = Ending(sweep)
    assert ending.winner is not None and "not confirmed" in ending.winner_text()
    assert "whole replicates failed, so nothing is confirmed; the first: out of memory" in (ending.failure or "")


def test_an_arm_whose_confirmed_trials_all_break_a_bound_shows_the_closest_of_them_everywhere(tmp_path: Path) -> None:
    sweep = _confirmed_but(tmp_path, lambda job: False, lambda job: 6.0 if job.spec.replicate else 1.0)
    for standing, arm in zip(standings(sweep), ("label_swap", "dimum"), strict=True):
        assert standing.member is not None and standing.member == closest(sweep, arm) and not standing.member.feasible
    assert Ending(sweep).winner is None and "no confirmed trial is feasible" in Ending(sweep).winner_text()
    assert all("no confirmed trial of this arm keeps them all" in pick_text(sweep, pick) for pick in picks(sweep))


def test_the_closest_of_several_confirmed_trials_that_break_a_bound_breaks_it_least(tmp_path: Path) -> None:
    """It is neither the first nor the last of them."""
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=2, confirm_members=4, confirm_neighbours=0))
    while job := agenda.next_job():
        confirmed = [8.0, 9.0, 6.0, 7.0][job.number] if job.number is not None else 0.0
        value = confirmed + 0.1 * job.spec.replicate if job.spec.replicate else 1.0 + job.number
        finish(agenda, job, robustness=0.5 + 0.1 * job.number, fid_delta=value)
    sweep = read_sweep(agenda.run_dir)
    members = sweep.arms["dimum"].confirmed_members
    assert {m.trial_id for m in members} == {f"dimum-{i:04d}" for i in range(4)}
    assert not any(m.feasible for m in members)
    (standing,) = (s for s in standings(sweep) if s.arm == "dimum")
    assert standing.member is not None and standing.member.trial_id == "dimum-0002" == closest(sweep, "dimum").trial_id


def test_a_trial_on_one_seed_is_not_surer_than_one_on_two(tmp_path: Path) -> None:
    def lost(job: Job) -> bool:
        return job.arm == "dimum" and job.spec.replicate == 2 and job.number == 3

    agenda = agenda_of(_plan(tmp_path, confirm_seeds=2, confirm_members=3))
    while job := agenda.next_job():
        if lost(job):
            agenda.fail(job.name, "out of memory")
            continue
        value = 1.0 + 0.5 * job.number + (0.01 * job.spec.replicate if job.spec.replicate else 0.0)
        finish(agenda, job, robustness=0.5 + 0.1 * job.number, fid_delta=value)
    sweep = read_sweep(agenda.run_dir)
    by_id = {m.trial_id: m for m in sweep.arms["dimum"].confirmed_members}
    alone = by_id.pop("dimum-0003")
    assert alone.feasible and alone.chance is None and not alone.on_front, "one seed leaves open that it breaks a bound"
    assert by_id and all(m.chance is not None and m.on_front for m in by_id.values())


def test_trials_that_are_to_be_told_apart_wait_for_one_that_has_a_seed_of_its_own_under_way(tmp_path: Path) -> None:
    """The swap's bound is open, and so is the order of the arms' best: no whole replicate is run that is paired with none."""
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3, confirm_members=2, confirm_neighbours=0))
    further: list[Job] = []
    while job := agenda.next_job():
        rng = np.random.default_rng([job.spec.replicate, job.number, len(job.arm)])
        value = (1.0 if job.arm == "dimum" else 4.0) + (1.5 * rng.normal() if job.spec.replicate else 0.0)
        even = job.spec.replicate % 2 == 0  # a seed that is good for one arm is bad for the other
        up = 1 if even == (job.arm == "dimum") else -1
        robustness = 0.9 + (0.03 * up if job.spec.replicate else 0.0)
        further += [job] if job.spec.replicate > 4 and job.arm != "control" else []
        finish(agenda, job, robustness=robustness, fid_delta=value)
    assert any(job.asked_for for job in further), "a bound was open"
    whole = Counter(job.spec.replicate for job in further if job.asked_for is None)
    assert set(whole.values()) == {2}, "every whole replicate has one on the same seed beside it, and there are some"


def test_a_reduced_replicate_that_failed_costs_what_it_would_have(tmp_path: Path) -> None:
    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3))
    failed: list[Job] = []
    while job := agenda.next_job():
        if job.asked_for is not None and job.spec.replicate > 4 and not failed:
            failed.append(job)
            members = {m.trial_id: m for arm in read_sweep(agenda.run_dir).arms.values() for m in arm.confirmed_members}
            agenda.fail(job.name, "out of memory")
            rows = [r for r in read_sweep(agenda.run_dir).confirm_rows if r["trial_id"] in members]
            part = agenda.specs.reduced(job.spec, agenda.space.arm(job.arm), job.asked_for)[1]
            assert (
                agenda.confirmation._replicates_left(members, rows) == pytest.approx(len(members) - part) and part < 1
            )
            continue
        up = -1 if job.spec.replicate % 2 else 1
        value = (4.6 if job.arm == "dimum" else 1.0) + (0.4 * up if job.spec.replicate else 0.0)
        finish(agenda, job, robustness=0.9 if job.arm == "dimum" else 0.8, fid_delta=value)
    assert failed


def test_seeds_of_bounds_alone_do_not_use_up_those_that_tell_which_arm_is_ahead(tmp_path: Path) -> None:
    """Each arm's best has whole replicates until it has had twice `confirm_seeds` of them, and there are means for more."""
    agenda = agenda_of(
        _plan(tmp_path, trials=8, baseline_trials=8, confirm_seeds=3, confirm_members=8, confirm_neighbours=0)
    )
    jobs: list[Job] = []
    while job := agenda.next_job():
        jobs.append(job)
        rng = np.random.default_rng([job.spec.replicate, job.number, len(job.arm)])
        noise = 0.08 * rng.normal() if job.spec.replicate else 0.0
        robustness = 0.9 - 0.02 * job.number + noise
        finish(agenda, job, robustness=robustness, fid_delta=3.0 - 0.2 * job.number + 0.001 * job.spec.replicate)
    sweep, whole = read_sweep(agenda.run_dir), _whole(jobs)
    (question,) = open_order(sweep)
    assert {len(whole[trial]) for trial in question.trials} == {6}, "none of the two of its bounds alone is among them"
    assert sweep.confirmation["ended_by"] == "its seeds: what is open has had as many as a trial may have"


def _unattacked(folder: Path) -> str:
    """The tiny question as a file of its own, none of whose figures is of a model under attack."""
    question = folder / "unattacked.py"
    question.write_text(Path(TINY).read_text().replace('"robustness", "max', '"unlearning_accuracy", "max'))
    return str(question)


def test_a_replicate_without_attacks_costs_its_part_where_none_of_the_figures_is_of_an_attacked_model(
    tmp_path: Path,
) -> None:
    agenda = agenda_of(_plan(tmp_path, space=_unattacked(tmp_path), confirm_seeds=3))
    further: list[float] = []
    while job := agenda.next_job():
        up = -1 if job.spec.replicate % 2 else 1
        value = (4.6 if job.arm == "dimum" else 1.0) + (0.4 * up if job.spec.replicate else 0.0)
        if job.asked_for is not None and job.spec.replicate > 4:
            part = agenda.specs.reduced(job.spec, agenda.space.arm(job.arm), job.asked_for)[1]
            assert part < 1 and not job.spec.attacks
            further.append(part)
        figures = {"fid_delta": value, "unlearning_accuracy": 1.0}  # the cheapest form gives all that is asked
        agenda.take(job.name, report(records.COMPLETE, **figures, seed=job.spec.seed))
    sweep = read_sweep(agenda.run_dir)
    members = {m.trial_id: m for arm in sweep.arms.values() for m in arm.confirmed_members}
    rows = [r for r in sweep.confirm_rows if r["trial_id"] in members]
    left = agenda.confirmation._replicates_left(members, rows)
    assert further and left == pytest.approx(len(members) - sum(further))


@pytest.mark.parametrize("attacked", [True, False])
def test_what_a_replicate_was_asked_to_do_is_made_again_of_the_records(attacked: bool, tmp_path: Path) -> None:
    """As a damaged file of the curves asks for: with attacks that it never ran it would not be found in the store."""
    space = TINY if attacked else _unattacked(tmp_path)
    agenda, jobs = agenda_of(_plan(tmp_path, space=space, confirm_seeds=3)), []
    while job := agenda.next_job():
        jobs += [job] if job.spec.replicate else []
        up = -1 if job.spec.replicate % 2 else 1
        figures = {"fid_delta": (4.6 if job.arm == "dimum" else 1.0) + (0.4 * up if job.spec.replicate else 0.0)}
        figures |= {"unlearning_accuracy": 1.0} | ({"robustness": 0.9} if job.spec.attacks else {})
        agenda.take(job.name, report(records.COMPLETE, **figures, seed=job.spec.seed))
    known, asked = Rows.of(agenda.run_dir), asked_of(agenda.run_dir)
    kinds = {(job.asked_for is None, job.spec.replicate > 4) for job in jobs if job.arm != "control"}
    assert kinds >= {(True, False), (False, False), (False, True)}
    for lost in (False, True):
        for job in jobs:
            if lost:
                known.replicates.pop(job.name)
            again = job_of(job.name, known, agenda.space, agenda.specs, asked)
            assert again is not None and (again.spec, again.asked_for) == (job.spec, job.asked_for), job.name


def test_an_arm_without_a_feasible_trial_confirms_one_whose_every_bound_was_scored(tmp_path: Path) -> None:
    """One that was stopped at the glance breaks the bound that it was stopped by a little less than others break theirs."""
    agenda, confirmed = agenda_of(_plan(tmp_path, baseline_trials=0)), set()
    while job := agenda.next_job():
        if job.spec.replicate:
            confirmed |= {job.spec.trial_id} if job.arm != "control" else set()
            finish(agenda, job, fid_delta=11.0)
        elif job.arm != "control" and job.number == 0:
            agenda.take(job.name, report(records.PRUNED, "its unlearning accuracy", unlearning_accuracy=0.01))
        else:
            finish(agenda, job, fid_delta=10.0 + job.number)
    assert confirmed == {"dimum-0001"}


def test_what_an_open_question_cannot_be_paid_with_narrows_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three whole replicates would be needed, and there are two."""

    def dear(sweep: Sweep) -> list[Undecided]:
        first, second = (m.trial_id for arm in sweep.arms.values() for m in arm.confirmed_members)
        return [Undecided((first, second, first), frozenset({"robustness"}), "which is ahead")]

    agenda = agenda_of(_plan(tmp_path, confirm_seeds=3, confirm_members=1, confirm_neighbours=0))
    monkeypatch.setattr("sweep.driver.confirmation.open_order", dear)
    jobs = _run(agenda, {"dimum": -2.0, "label_swap": -2.0}, 3.0, robust={"dimum": 0.9, "label_swap": 0.8})
    assert len(_seeds(jobs)) == 2
    further = [j for j in jobs if j.spec.replicate > 4 and j.arm != "control"]
    assert further and all(j.asked_for == {"fid_delta"} for j in further)
    left = read_sweep(agenda.run_dir).confirmation
    assert left["open"][0] == "which is ahead" and "replicates" in left["ended_by"]


@pytest.mark.parametrize(
    ("within", "open_ones"),
    [
        ((0.97, 0.97), {"size", "cost"}),
        ((0.94, 0.98), {"size"}),
        ((0.94, 0.974), {"size", "cost"}),
        ((0.52, 0.52), {"size", "cost"}),  # with .04 both are kept, at the least: that is not to be hopeless
    ],
)
def test_a_bound_is_open_where_it_takes_more_than_its_part_of_the_doubt_that_is_left_to_all(
    within: tuple[float, float], open_ones: set[str]
) -> None:
    """Of .05 for two bounds each has .025: two that are kept with .97 each are not both kept with .95."""
    bounds = (Constraint("size", at_most=9.0), Constraint("cost", at_most=9.0))
    trial = SimpleNamespace(
        trial_id="a-0000",
        feasible=True,
        chance=within[0] + within[1] - 1,
        within={bound.name: chance for bound, chance in zip(bounds, within, strict=True)},
        confirmed={bound.metric: Estimate(1.0, 0.5, 1.5, 2) for bound in bounds},
    )
    arm = SimpleNamespace(confirmed_members=[trial])
    objectives = (Objective("size", "minimise"), Objective("cost", "minimise"))
    sweep = SimpleNamespace(arms={"a": arm}, constraints=bounds, objectives=objectives)
    (one,) = open_bounds(cast(Sweep, sweep), 0.95)
    assert one.trials == ("a-0000",) and one.figures == open_ones
    assert all(metric in one.text for metric in open_ones)


@pytest.mark.parametrize(
    ("first", "second", "ahead", "count"),
    [
        (True, True, Estimate(0.1, -0.1, 0.3, 3), 1),
        (True, False, Estimate(0.1, -0.1, 0.3, 3), 0),
        (False, True, Estimate(0.1, -0.1, 0.3, 3), 0),
        (True, True, Estimate(0.2, 0.1, 0.3, 3), 0),
        (False, False, Estimate(0.2, 0.1, 0.3, 3), 0),
    ],
)
def test_which_arm_is_ahead_is_open_between_two_that_keep_their_bounds_alone(
    first: bool, second: bool, ahead: Estimate, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [SimpleNamespace(trial_id=f"{arm}-0000", feasible=kept) for arm, kept in (("a", first), ("b", second))]
    found = tuple(
        Standing(arm, False, cast(Trial, member), ahead, None) for arm, member in zip("ab", members, strict=True)
    )
    monkeypatch.setattr("sweep.search.undecided.standings", lambda sweep: found)
    arms = dict.fromkeys("ab", SimpleNamespace(confirmed_members=[]))
    columns = SimpleNamespace(is_share=lambda metric: True)
    sweep = SimpleNamespace(arms=arms, constraints=(), objectives=(Objective("share", "maximise"),), columns=columns)
    open_ones = open_order(cast(Sweep, sweep))
    assert [one.trials for one in open_ones] == [("a-0000", "b-0000")] * count
    assert all("which of a-0000 and b-0000 has the better share" in one.text for one in open_ones)


def test_of_two_bounds_on_a_figure_the_closer_says_how_narrow_it_is_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = SimpleNamespace(trial_id="a-0000", feasible=True, confirmed={"size": Estimate(5.0, 3.0, 7.0, 3)})
    standing = Standing("a", False, cast(Trial, trial), None, None)
    monkeypatch.setattr("sweep.search.undecided.standings", lambda sweep: (standing,))
    near, far = Constraint("size", at_least=1.0), Constraint("size", at_most=9.0)
    for constraints, count in (((near, far), 1), ((far, near), 1), ((far,), 0), ((), 0)):
        wide = too_wide(cast(Sweep, SimpleNamespace(constraints=constraints)))
        assert len(wide) == count, constraints
    assert (
        too_wide(cast(Sweep, SimpleNamespace(constraints=(near,))))[0].text == "how large a-0000's size is, to ± 0.333"
    )
