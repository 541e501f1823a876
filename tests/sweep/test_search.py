"""Optuna is told what happened and nothing else, by every sampler, and is left with no trial RUNNING."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sweep import catalogue
from sweep.plan import SAMPLERS
from sweep.records import COMPLETE, FAIL, PRUNED
from sweep.search import JOURNAL, ArmSearch, excesses, make_sampler, open_journal
from sweep.space import SearchSpace

TINY = str(Path(__file__).parents[1] / "questions" / "tiny.py")


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return catalogue.load(TINY)


def arm_search(folder: Path, space: SearchSpace, sampler: str = "tpe", trials: int = 12) -> ArmSearch:
    return ArmSearch(space.arms[0], space, open_journal(folder), make_sampler(sampler, 0, trials))


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
    search.tell(number, COMPLETE, found, excesses(space, found, 5.0), None)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL)))
    (read,) = optuna.load_study(study_name="tiny/dimum", storage=storage).get_trials()
    assert read.values == [found["robustness"], found["fid_delta"]]
    assert set(read.constraints) == {"fid_delta", "unlearning_accuracy"}


def test_infeasible_trials_never_make_optunas_front(space: SearchSpace, tmp_path: Path) -> None:
    search = arm_search(tmp_path, space)
    for fid_delta in (1.0, 50.0):
        number, _ = search.ask()
        found = {"robustness": fid_delta / 50, "fid_delta": fid_delta, "unlearning_accuracy": 1.0}
        search.tell(number, COMPLETE, found, excesses(space, found, 5.0), None)
    assert [t.number for t in search.study.best_trials] == [0]


def test_a_replayed_trial_keeps_its_settings_to_the_last_bit(space: SearchSpace, tmp_path: Path) -> None:
    first = arm_search(tmp_path, space)
    asked = [first.ask() for _ in range(3)]
    again = arm_search(tmp_path, space)
    assert [again.ask(settings) for _, settings in asked] == asked


def test_the_same_seed_asks_the_same_and_another_does_not(space: SearchSpace, tmp_path: Path) -> None:
    def asked(seed: int) -> list[dict]:
        search = ArmSearch(space.arms[0], space, open_journal(tmp_path), make_sampler("random", seed, 12))
        return [search.ask()[1] for _ in range(4)]

    assert asked(0) == asked(0) != asked(1)


def test_tpe_under_a_budget_finds_better_feasible_trials_than_chance(space: SearchSpace, tmp_path: Path) -> None:
    def best(sampler: str, seed: int) -> float:
        search = ArmSearch(space.arms[0], space, open_journal(tmp_path), make_sampler(sampler, seed, 40))
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
