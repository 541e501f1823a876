"""An arm's search by every sampler: what is asked, what the journal tells other tools, and a restart in the middle."""

from __future__ import annotations

import dataclasses
import math
import queue
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sweep.records import COMPLETE, FAIL, PRUNED
from sweep.relearning.knowledge import Knowledge
from sweep.samplers import Observation, Sampler
from sweep.samplers.catalogue import SAMPLERS, make
from sweep.search.arm import ArmSearch, Past
from sweep.search.journal import JOURNAL, Journal, open_journal
from sweep.search.observations import observation, possible, question_of
from sweep.space import SearchSpace, Settings, find
from sweep.space.question import excesses
from sweep.statistics.estimates import hypervolume

INSTALLED = [name for name in SAMPLERS if name != "ax" or find_spec("ax")]  # Ax is an extra

TINY = str(Path(__file__).parents[2] / "questions" / "tiny.py")


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return find.load(TINY).bounded({"fid_budget": 5.0})


def arm_search(
    folder: Path,
    space: SearchSpace,
    sampler: str = "tpe",
    seed: int = 0,
    trials: int = 12,
    past: Sequence[Past] = (),
    ahead: bool = False,
) -> ArmSearch:
    folder.mkdir(exist_ok=True)
    arm = space.arms[0]
    asked = make(sampler, question_of(arm, space, trials), seed)
    return ArmSearch(arm, asked, Journal(arm, space, open_journal(folder)), trials, past, ahead)


def figures(settings: Settings) -> dict[str, float]:
    """A made-up but smooth answer: robust where many steps at a high rate are taken, and that costs FID."""
    effort = math.log10(settings["learning_rate"] / 1e-4) + settings["steps"] / 8
    return {"robustness": 1 - math.exp(-effort), "fid_delta": 4 * effort, "unlearning_accuracy": min(1.0, effort)}


def outcome(space: SearchSpace, number: int, settings: Settings) -> Observation:
    found = figures(settings)
    over = excesses(space, found)
    state = COMPLETE if max(over.values()) <= 0 else PRUNED
    return Observation(number, settings, state, found if state == COMPLETE else {}, over)


@pytest.mark.parametrize("sampler", INSTALLED)
def test_every_sampler_asks_within_the_space_under_constraints_with_gated_and_failed_trials(
    sampler: str, space: SearchSpace, tmp_path: Path
) -> None:
    search = arm_search(tmp_path, space, sampler)
    open_trials = [search.ask() for _ in range(2)]  # two workers: asked before the first is told
    for i in range(12):
        number, settings = open_trials.pop(0)
        assert space.arms[0].check(settings) == settings
        told = Observation(number, settings, FAIL) if i == 4 else outcome(space, number, settings)
        search.tell(told, "boom" if i == 4 else None)
        open_trials.append(search.ask())
    search.close()
    states = [t.state for t in search.study.get_trials()]
    assert TrialState.RUNNING not in states and TrialState.WAITING not in states
    assert states.count(TrialState.FAIL) == 3  # the one that failed and the two that were open when we stopped


def test_a_stopped_trial_is_told_its_constraints_and_no_objective(space: SearchSpace, tmp_path: Path) -> None:
    search = arm_search(tmp_path, space)
    number, settings = search.ask()
    over = excesses(space, {"fid_delta": 10.0, "unlearning_accuracy": 0.9})
    search.tell(Observation(number, settings, PRUNED, {"fid_delta": 10.0}, over), "past the budget")
    trial = search.study.get_trials()[0]
    assert trial.state == TrialState.PRUNED
    assert trial.values is None
    excess = [1.0, pytest.approx((0.05 - 0.9) / 0.05)]
    assert trial.constraints == dict(zip(("fid_delta", "unlearning_accuracy", "0", "1"), excess * 2, strict=True))


def test_the_journal_on_disk_holds_the_constraints_that_other_tools_read(space: SearchSpace, tmp_path: Path) -> None:
    search = arm_search(tmp_path, space)
    number, settings = search.ask()
    found = figures(settings)
    search.tell(Observation(number, settings, COMPLETE, found, excesses(space.bounded({"fid_budget": 500.0}), found)))
    storage = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL)))
    read = optuna.load_study(study_name="tiny/dimum", storage=storage).get_trials()[number]
    assert read.params == settings
    assert read.values == [found["robustness"], found["fid_delta"]]
    assert set(read.constraints) == {"fid_delta", "unlearning_accuracy", "0", "1"}, (
        "by name, and as a list for the dashboard"
    )


def test_infeasible_trials_never_make_optunas_front(space: SearchSpace, tmp_path: Path) -> None:
    search = arm_search(tmp_path, space)
    for fid_delta in (1.0, 50.0):
        number, settings = search.ask()
        found = {"robustness": fid_delta / 50, "fid_delta": fid_delta, "unlearning_accuracy": 1.0}
        search.tell(Observation(number, settings, COMPLETE, found, excesses(space, found)))
    assert [t.number for t in search.study.best_trials] == [0]


@pytest.mark.parametrize(
    "sampler", [s for s in INSTALLED if s != "gp"]
)  # it is asked like the others of Optuna's, but slowly
def test_a_restart_changes_nothing_of_what_is_asked(sampler: str, space: SearchSpace, tmp_path: Path) -> None:
    def tell(search: ArmSearch, number: int, settings: Settings) -> Past:
        told = outcome(space, number, settings)
        search.tell(told)
        return Past(number, settings, told)

    straight, asked = arm_search(tmp_path, space, sampler), []
    for _ in range(9):
        number, settings = straight.ask()
        asked.append((number, settings))
        tell(straight, number, settings)

    first = arm_search(tmp_path, space, sampler)
    past = [tell(first, *first.ask()) for _ in range(4)]
    number, settings = first.ask()
    past.append(Past(number, settings, None))  # the driver dies before this one ends
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


@pytest.mark.parametrize("sampler", ["nehvi", "tpe", "qmc"])
def test_whatever_the_order_of_telling_the_study_holds_every_trial_once(
    sampler: str, space: SearchSpace, tmp_path: Path
) -> None:
    """Told in any order, late, twice, with figures that are none, with crashes between: what the truth says, and nothing else."""
    rng = np.random.default_rng(7)
    for run in range(4):
        search, folder = arm_search(tmp_path / f"{run}-0", space, sampler, run, 16), 0
        running: dict[int, Settings] = {}
        truth: dict[int, tuple[Observation, Settings]] = {}
        while len(truth) < 14:
            deed = rng.choice(["ask", "ask", "tell", "tell", "twice", "nonsense", "crash"])
            some = int(rng.choice(list(running))) if running else None
            if deed == "ask" and len(running) < 5 and len(running) + len(truth) < 16:
                number, settings = search.ask()
                assert number not in running and number not in truth
                running[number] = settings
            elif deed == "tell" and some is not None:
                told = outcome(space.bounded({"fid_budget": float(rng.choice([0.0, 500.0]))}), some, running[some])
                search.tell(told)
                truth[some] = told, running.pop(some)
            elif deed == "twice" and truth:
                search.tell(truth[int(rng.choice(list(truth)))][0])
            elif deed == "nonsense" and some is not None:
                good = outcome(space.bounded({"fid_budget": 500.0}), some, running[some])
                with pytest.raises(ValueError, match="robustness"):
                    search.tell(dataclasses.replace(good, figures=good.figures | {"robustness": math.nan}))
                with pytest.raises(ValueError, match="not running"):
                    search.tell(dataclasses.replace(good, number=99))
            elif deed == "crash":
                past = [Past(n, s, o) for n, (o, s) in truth.items()] + [Past(n, s, None) for n, s in running.items()]
                rng.shuffle(past)  # type: ignore[arg-type]
                folder += 1
                search = arm_search(tmp_path / f"{run}-{folder}", space, sampler, run, 16, past)
                assert dict(search.ask() for _ in running) == running
        search.close()
        trials = {t.number: t for t in search.study.get_trials()}
        assert set(trials) == {*truth, *running} and search.observed == {n: o for n, (o, _) in truth.items()}
        for number, (told, settings) in truth.items():
            trial = trials[number]
            assert (trial.state.name, trial.params) == (told.state, settings)
            complete = told.state == COMPLETE
            assert trial.values == ([told.figures[o.metric] for o in space.objectives] if complete else None)
            assert {m: trial.constraints[m] for m in told.excesses} == told.excesses
        assert all(trials[number].state == TrialState.FAIL for number in running)  # open when we stopped


def test_start_points_come_first_and_once(space: SearchSpace, tmp_path: Path) -> None:
    search = arm_search(tmp_path, space)
    asked = [search.ask()[1] for _ in range(4)]
    assert asked[:2] == list(space.arms[0].start_points) and asked[2] not in asked[:2]
    past = [Past(i, s, None) for i, s in enumerate(asked[:1])]
    again = arm_search(tmp_path, space, past=past)
    assert [again.ask()[1] for _ in range(2)] == asked[:2]


def test_the_same_seed_asks_the_same_and_another_does_not(space: SearchSpace, tmp_path: Path) -> None:
    def asked(seed: int) -> list[Settings]:
        search = arm_search(tmp_path, space, "random", seed)
        return [search.ask()[1] for _ in range(6)][2:]

    first = asked(0)
    assert first == asked(0) and len({str(s) for s in first}) == 4
    assert not {str(s) for s in first} & {str(s) for s in asked(1)}


def test_our_own_model_finds_a_better_feasible_front_than_chance(space: SearchSpace, tmp_path: Path) -> None:
    """Effort costs FID, and what is wasted costs it too: only one in ten settings is within the budget and not wasteful."""

    def volume(sampler: str, seed: int) -> float:
        search = arm_search(tmp_path, space, sampler, seed, 24)
        found = []
        for _ in range(24):
            number, settings = search.ask()
            effort = settings["steps"] / 8
            wasted = abs(math.log10(settings["learning_rate"] / 1e-3))
            figures = {
                "robustness": 1 - math.exp(-effort),
                "fid_delta": 2 * effort + 6 * wasted,
                "unlearning_accuracy": 1.0,
            }
            over = excesses(space, figures)
            search.tell(Observation(number, settings, COMPLETE, figures, over))
            found.append([figures["robustness"], figures["fid_delta"]])
        return hypervolume(np.array(found), (0.0, 5.0), ("maximise", "minimise"))

    seeds = range(3)
    assert np.mean([volume("nehvi", s) for s in seeds]) > np.mean([volume("random", s) for s in seeds])


class Slow:
    """A sampler that chooses once it `may`, and says what it chose and in which thread; otherwise the one it wraps."""

    def __init__(self, wrapped: Sampler) -> None:
        self.wrapped, self.threads = wrapped, list[str]()
        self.may, self.chosen = threading.Semaphore(0), queue.Queue[int]()

    def ask(self, number: int) -> Settings:
        assert self.may.acquire(timeout=60), "it is waited for before the trial runs"
        self.threads.append(threading.current_thread().name)
        settings = self.wrapped.ask(number)
        self.chosen.put(number)
        return settings

    def running(self, number: int, settings: Settings) -> None:
        self.wrapped.running(number, settings)

    def tell(self, observation: Observation) -> None:
        self.wrapped.tell(observation)


def test_a_trial_chosen_ahead_is_there_when_a_worker_asks(space: SearchSpace, tmp_path: Path) -> None:
    arm, storage = space.arms[0], open_journal(tmp_path)
    slow = Slow(make("tpe", question_of(arm, space, 6), 0))
    search = ArmSearch(arm, slow, Journal(arm, space, storage), 6, ahead=True)
    for expected in range(6):
        number, settings = search.ask()
        assert number == expected
        search.look_ahead()
        slow.may.release()  # the trial runs
        if 1 <= number < 5:
            assert slow.chosen.get(timeout=60) == number + 1, "the next is chosen while the trial runs"
        else:
            assert slow.may.acquire(blocking=False), "there is nothing to choose"
        search.tell(outcome(space, number, settings))
    search.close()
    assert len(slow.threads) == 4 and "MainThread" not in slow.threads, "two start points are nobody's to choose"
    assert len({str(t.params) for t in search.study.get_trials()}) == 6


class Failing(Slow):
    def ask(self, number: int) -> Settings:
        raise ArithmeticError("the model has no inverse")


def test_an_arm_whose_sampler_fails_is_closed_all_the_same(space: SearchSpace, tmp_path: Path) -> None:
    arm = space.arms[0]
    failing = Failing(make("tpe", question_of(arm, space, 6), 0))
    search = ArmSearch(arm, failing, Journal(arm, space, open_journal(tmp_path)), 6, ahead=True)
    for _ in range(2):
        search.ask()
    search.look_ahead()
    search.close()
    assert {t.state for t in search.study.get_trials()} == {TrialState.FAIL}, "none is left running"
    with pytest.raises(RuntimeError, match="shutdown"):
        search._thread.submit(print)


def curve(attack: str, step: int, value: float, counts: bool = True) -> dict:
    return {"metric": "relearning_accuracy", "attack": attack, "attack_step": step, "value": value, "counts": counts}


def test_what_is_told_of_a_trial_stopped_under_attack_is_a_bound_and_no_robustness(space: SearchSpace) -> None:
    """Rungs 0, 1, 3: AURC weighs them 1/4, 1/2, 1/4. At .2 and .4 the certain AURC is .25, whatever the last rung shows."""
    assert space.rungs == (0, 1, 3)
    curves = [curve("none", 0, 0.2), curve("retain", 1, 0.4), curve("public", 1, 0.1), curve("all", 1, 1.0, False)]
    knowledge = Knowledge(space.rungs, 0.5, 100)
    found = {"fid_delta": 1.0, "unlearning_accuracy": 0.8}
    told = observation(space, 3, {}, PRUNED, found, curves, knowledge)
    assert told.figures == {"fid_delta": 1.0} and told.bounds == {"robustness": pytest.approx(0.75)}
    error = (0.8 * 0.2 / 100) ** 0.5
    assert told.sems["fid_delta"] == 0.5, "of an objective in its own units"
    assert told.sems["unlearning_accuracy"] == pytest.approx(error / 0.05, rel=0.02), (
        "of a mere constraint in its bound's"
    )
    still = possible(space, found, curves, knowledge)
    assert still.values == {"fid_delta": 1.0, "robustness": pytest.approx(0.75)} and still.bounded == {"robustness"}
    whole = found | {"robustness": 0.7}
    done = observation(space, 3, {}, COMPLETE, whole, curves, knowledge)
    assert done.bounds == {} and done.figures["robustness"] == 0.7
