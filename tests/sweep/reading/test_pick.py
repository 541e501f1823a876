"""What a reader should pick: each arm's best, how sure it is, and a surer one where it is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_run import write_run

from sweep.page.contents import _answers
from sweep.reading.arm_against_arm import standings
from sweep.reading.ending import Ending
from sweep.reading.pick import in_short, pick_text, picks
from sweep.reading.sweep import Sweep, read_sweep
from sweep.reading.words import at_least, interval

SURE, BOUNDS = 0.9, ("fid_delta", "unlearning_accuracy")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    run = tmp_path_factory.mktemp("picked") / "run"
    write_run(run)
    asked = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps(asked | {"confirm_sure": SURE}))
    return read_sweep(run)


def with_chances(sweep: Sweep, chances: Mapping[str, tuple[float, float]]) -> Sweep:
    """The sweep with other probabilities of its confirmed trials, by constraint."""
    arms = {}
    for name, arm in sweep.arms.items():
        confirmed = tuple(
            replace(t, within=dict(zip(BOUNDS, chances[t.trial_id], strict=True))) if t.trial_id in chances else t
            for t in arm.confirmed_members
        )
        arms[name] = replace(arm, confirmed_members=confirmed)
    return replace(sweep, arms=arms)


def test_the_best_of_every_arm_is_told_with_its_settings_and_how_sure_it_is(sweep: Sweep) -> None:
    found = picks(sweep)
    assert [pick.arm for pick in found] == ["dimum", "label_swap"] and all(pick.sure for pick in found)
    assert all(pick.surer is None for pick in found)
    for pick in found:
        said = pick_text(sweep, pick)
        assert pick.best is not None and said.startswith(f"{pick.best.trial_id}, on 3 fresh seeds: robustness ")
        assert pick.chance is not None and f"keeps every bound with probability {at_least(pick.chance)}" in said
        assert "lr=" in said and "not sure" not in said
    short = in_short(sweep, found)
    assert short.startswith("dimum-0001 (dimum): the best by robustness, and sure of its bounds; ")
    (second,) = (s for s in standings(sweep) if s.ahead is not None)
    assert second.member is not None and second.ahead is not None
    told = f"ahead of {second.member.trial_id} ({second.arm}): by {interval(second.ahead)} on 3 shared seeds"
    assert short.endswith(told) and ("not shown" in short) == (second.ahead.lower <= 0 <= second.ahead.upper)


def test_a_probability_is_told_as_no_more_than_it_is() -> None:
    assert [at_least(p) for p in (0.66, 0.9949, 0.9999, 1.0)] == [
        f"{p} or more" for p in ("0.660", "0.994", "0.999", "0.999")
    ]


def test_chances_of_several_bounds_add_up_to_the_least_that_they_allow(sweep: Sweep) -> None:
    doubtful = with_chances(sweep, {"dimum-0001": (0.7, 0.96)})
    trial = next(t for t in doubtful.arms["dimum"].confirmed_members if t.trial_id == "dimum-0001")
    assert trial.chance == pytest.approx(0.66)
    assert replace(trial, within={"fid_delta": 0.7}).chance is None, "not known of each"
    assert replace(trial, within=dict.fromkeys(BOUNDS, 0.3)).chance == 0.0


def test_where_the_best_is_not_sure_a_surer_one_is_named(sweep: Sweep) -> None:
    feasible = [t.trial_id for t in sweep.arms["dimum"].confirmed_members if t.feasible]
    assert "dimum-0001" in feasible and len(feasible) >= 2
    other = next(t for t in feasible if t != "dimum-0001")
    rest = dict.fromkeys(feasible, (0.6, 0.99))
    doubtful = with_chances(sweep, rest | {"dimum-0001": (0.7, 0.96), other: (0.8, 0.99)})
    found = picks(doubtful)
    first = found[0] if found[0].arm == "dimum" else found[1]
    assert first.best is not None and first.best.trial_id == "dimum-0001" and first.unsure and not first.sure
    assert first.surer is not None and first.surer.trial_id == other
    said = pick_text(doubtful, first)
    assert (
        "probability 0.660 or more, which is not sure (fid_delta" in said
        and f"Surer: {other} (0.790 or more), robustness" in said
    )
    short = in_short(doubtful, found)
    assert short.startswith("dimum-0001 (dimum) is best by robustness, but keeps every bound with probability 0.660")
    assert "the best that is sure is label_swap-0000 (label_swap), robustness" in short
    assert f"\nbut     {short}\n" in Ending(doubtful).text() and Ending(sweep).doubt() == ""
    told = _answers(doubtful)
    assert told[:2] == [("In short", short), ("Arm", f"dimum: {said}")]
    assert told[2][1].startswith("label_swap (baseline): label_swap-0000, on 3 fresh seeds")


def test_one_that_is_sure_is_picked_before_a_better_one_of_its_arm_that_is_not(sweep: Sweep) -> None:
    feasible = [t.trial_id for t in sweep.arms["dimum"].confirmed_members if t.feasible]
    other = next(t for t in feasible if t != "dimum-0001")
    mixed = with_chances(sweep, dict.fromkeys(feasible, (0.6, 0.99)) | {other: (0.995, 0.999)})
    assert (best := picks(mixed)[0].best) is not None and best.trial_id == other
    short = in_short(mixed, picks(mixed))
    assert short.startswith(
        f"{other} (dimum): the best by robustness, and sure of its bounds; ahead of label_swap-0000 "
    )


def test_one_fresh_seed_leaves_the_bounds_open_to_the_terminal_and_the_page_alike(sweep: Sweep) -> None:
    arm = sweep.arms["dimum"]
    once = tuple(replace(trial, within={}) for trial in arm.confirmed_members)
    alone = replace(sweep, arms=sweep.arms | {"dimum": replace(arm, confirmed_members=once)})
    found, ending = picks(alone), Ending(alone)
    assert ending.winner is not None and ending.winner.trial_id == "label_swap-0000"
    assert found[0].unsure and not found[0].sure and found[0].chance is None and found[1].sure
    short = in_short(alone, found)
    assert short.startswith("dimum-0001 (dimum) is best by robustness, but one fresh seed leaves its bounds open; ")
    assert "the best that is sure is label_swap-0000 (label_swap)" in short and f"\nbut     {short}\n" in ending.text()
    said = pick_text(alone, found[0])
    assert said.endswith("One fresh seed leaves its bounds open") and "surer" not in said.lower()


def test_a_run_that_does_not_ask_how_sure_says_the_probability_and_judges_nobody(sweep: Sweep) -> None:
    unasked = replace(sweep, plan=sweep.plan | {"confirm_sure": 0.0})
    doubtful = with_chances(unasked, {"dimum-0001": (0.7, 0.96)})
    first, *_ = found = picks(doubtful)
    assert first.best is not None and first.best.trial_id == "dimum-0001" and first.surer is None
    assert not first.sure and not first.unsure and "not sure" not in pick_text(doubtful, first)
    assert in_short(doubtful, found).startswith(
        "dimum-0001 (dimum): the best by robustness; it keeps every bound with probability 0.660 or more; ahead of "
    )
    assert Ending(doubtful).doubt() == "" and Ending(doubtful).winner == first.best


def test_where_nothing_is_sure_it_is_said(sweep: Sweep) -> None:
    every = [t.trial_id for arm in sweep.arms.values() for t in arm.confirmed_members]
    doubtful = with_chances(sweep, dict.fromkeys(every, (0.8, 0.9)))
    found = picks(doubtful)
    assert all(pick.chance == pytest.approx(0.7) and pick.chance < SURE and pick.surer is None for pick in found)
    assert "no other is sure either: more seeds would tell (--confirm-seeds)" in in_short(doubtful, found)
    assert "No trial of this arm that was confirmed is surer" in pick_text(doubtful, found[0])


def test_what_no_fresh_seed_has_confirmed_is_said_to_be_of_one(sweep: Sweep, tmp_path: Path) -> None:
    arms = {name: replace(arm, confirmed_members=()) for name, arm in sweep.arms.items()}
    searched = replace(sweep, arms=arms)
    found = picks(searched)
    if found[0].best is not None and found[0].best.confirmed is None:
        assert "on one seed; no fresh seed has confirmed it" in in_short(searched, found)
        assert "on the search's one seed, not confirmed" in pick_text(searched, found[0])
    none = replace(sweep, arms={n: replace(a, confirmed_members=(), search_best=None) for n, a in sweep.arms.items()})
    assert in_short(none, picks(none)).startswith("Nothing is feasible")
    assert pick_text(none, picks(none)[0]).startswith("nothing was scored")
