"""Optuna is told what happened and nothing else, by every sampler, and is left with no trial RUNNING."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sweep import catalogue
from sweep.plan import SAMPLERS
from sweep.records import COMPLETE, FAIL, PRUNED, RUNNING
from sweep.search import JOURNAL, ArmSearch, Past, excesses, open_journal
from sweep.space import SearchSpace

TINY = str(Path(__file__).parents[1] / "questions" / "tiny.py")


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return catalogue.load(TINY)


def arm_search(
    folder: Path, space: SearchSpace, sampler: str = "tpe", seed: int = 0, trials: int = 12, past: Sequence[Past] = ()
) -> ArmSearch:
    return ArmSearch(space.arms[0], space, open_journal(folder), sampler, seed, trials, past)


def figures(settings: dict) -> dict[str, float]:
    """A made-up but smooth answer: robust where many steps at a high rate are taken, and that costs FID."""
    effort = math.log10(settings["learning_rate"] / 1e-4) + settings["steps"] / 8
    return {"robustness": 1 - math.exp(-effort), "fid_delta": 4 * effort, "unlearning_accuracy": min(1.0, effort)}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_asks_within_the_space_under_constraints_with_gated_and_failed_trials(
    sampler: str, space: SearchSpace, tmp_path: Path
) -> None:
    search = arm_search(tmp_path, space, sampler)
    open_trials = [search.ask() for _ in range(2)]  # two workers: asked before the first is told
    for i in range(12):
        number, settings = open_trials.pop(0)
        assert space.arms[0].check(settings) == settings
        found = figures(settings)
        over = excesses(space, found, fid_budget=5.0)
        state = FAIL if i == 4 else PRUNED if max(over.values()) > 0 else COMPLETE
        search.tell(number, state, found, over if state != FAIL else {}, "boom" if state == FAIL else None)
        open_trials.append(search.ask())
    search.close()
    states = [t.state for t in search.study.get_trials()]
    assert TrialState.RUNNING not in states and TrialState.WAITING not in states
    assert states.count(TrialState.FAIL) == 3  # the one that failed and the two that were open when we stopped


def test_a_gated_trial_is_told_its_constraints_and_no_objective(space: SearchSpace, tmp_path: Path) -> None:
    search = arm_search(tmp_path, space)
    number, _ = search.ask()
    over = excesses(space, {"fid_delta": 10.0, "unlearning_accuracy": 0.9}, fid_budget=5.0)
    search.tell(number, PRUNED, {"fid_delta": 10.0}, over, "past the budget")
    trial = search.study.get_trials()[0]
    assert trial.state == TrialState.PRUNED
    assert trial.values is None
    assert trial.constraints == {"fid_delta": 1.0, "unlearning_accuracy": pytest.approx((0.05 - 0.9) / 0.05)}


def test_the_journal_on_disk_holds_the_constraints_that_other_tools_read(space: SearchSpace, tmp_path: Path) -> None:
    search = arm_search(tmp_path, space)
    number, settings = search.ask()
    found = figures(settings)
    search.tell(number, COMPLETE, found, excesses(space, found, 500.0), None)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL)))
    read = optuna.load_study(study_name="tiny/dimum", storage=storage).get_trials()[number]
    assert read.values == [found["robustness"], found["fid_delta"]]
    assert set(read.constraints) == {"fid_delta", "unlearning_accuracy"}


def test_infeasible_trials_never_make_optunas_front(space: SearchSpace, tmp_path: Path) -> None:
    search = arm_search(tmp_path, space)
    for fid_delta in (1.0, 50.0):
        number, _ = search.ask()
        found = {"robustness": fid_delta / 50, "fid_delta": fid_delta, "unlearning_accuracy": 1.0}
        search.tell(number, COMPLETE, found, excesses(space, found, 5.0), None)
    assert [t.number for t in search.study.best_trials] == [0]


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe"])
def test_a_restart_changes_nothing_of_what_is_asked(sampler: str, space: SearchSpace, tmp_path: Path) -> None:
    def tell(search: ArmSearch, number: int, settings: dict) -> Past:
        found = figures(settings)
        over = excesses(space, found, fid_budget=5.0)
        state = COMPLETE if max(over.values()) <= 0 else PRUNED
        search.tell(number, state, found, over, None)
        return Past(number, state, settings, found, over, None)

    straight, asked = arm_search(tmp_path, space, sampler), []
    for _ in range(9):
        number, settings = straight.ask()
        asked.append((number, settings))
        tell(straight, number, settings)

    first = arm_search(tmp_path, space, sampler)
    past = [tell(first, *first.ask()) for _ in range(4)]
    number, settings = first.ask()
    past.append(Past(number, RUNNING, settings, {}, {}, None))  # the driver dies before this one ends
    again = arm_search(tmp_path, space, sampler, past=past)
    assert [t.params for t in again.study.get_trials()[:4]] == [s for _, s in asked[:4]]
    resumed = []
    for _ in range(5):
        number, settings = again.ask()
        resumed.append((number, settings))
        tell(again, number, settings)
    assert resumed == asked[4:]
    told = [(t.state, t.values, t.constraints) for t in straight.study.get_trials()]
    assert [(t.state, t.values, t.constraints) for t in again.study.get_trials()] == told


def test_start_points_come_first_and_once(space: SearchSpace, tmp_path: Path) -> None:
    search = arm_search(tmp_path, space)
    asked = [search.ask()[1] for _ in range(4)]
    assert asked[:2] == list(space.arms[0].start_points) and asked[2] not in asked[:2]
    past = [Past(i, RUNNING, s, {}, {}, None) for i, s in enumerate(asked[:1])]
    again = arm_search(tmp_path, space, past=past)
    assert [again.ask()[1] for _ in range(2)] == asked[:2]


def test_the_same_seed_asks_the_same_and_another_does_not(space: SearchSpace, tmp_path: Path) -> None:
    def asked(seed: int) -> list[dict]:
        search = arm_search(tmp_path, space, "random", seed)
        return [search.ask()[1] for _ in range(6)][2:]

    first = asked(0)
    assert first == asked(0) and len({str(s) for s in first}) == 4
    assert not {str(s) for s in first} & {str(s) for s in asked(1)}


def test_tpe_under_a_budget_finds_better_feasible_trials_than_chance(space: SearchSpace, tmp_path: Path) -> None:
    def best(sampler: str, seed: int) -> float:
        search = arm_search(tmp_path, space, sampler, seed, 40)
        best = 0.0
        for _ in range(40):
            number, settings = search.ask()
            found = figures(settings)
            over = excesses(space, found, fid_budget=3.0)
            search.tell(number, COMPLETE if max(over.values()) <= 0 else PRUNED, found, over, None)
            best = max(best, found["robustness"] if max(over.values()) <= 0 else 0.0)
        return best

    seeds = range(4)
    assert np.mean([best("tpe", s) for s in seeds]) > np.mean([best("random", s) for s in seeds])
