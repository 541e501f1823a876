"""One model over arms: what arms share teaches each of them, what they do not share leaves each as it would be alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from sweep.errors import UsageError
from sweep.samplers import Observation, Question
from sweep.samplers.catalogue import make, tasks
from sweep.samplers.encoding import Array
from sweep.samplers.nehvi import FEWEST, Nehvi
from sweep.samplers.tasks import Task, Tasks, early
from sweep.space import Arm, Choice, Constraint, Float, Int, Objective, Parameter, SearchSpace, Settings

RATE = Float("rate", 1e-4, 1e-2, log=True)
SCHEDULE = Choice("schedule", ("flat", "cosine"))
ARMS: dict[str, tuple[Parameter, ...]] = {
    "swap": (Choice("target", ("near", "far")), RATE, Int("steps", 10, 100), SCHEDULE),
    "ascend": (Float("clip", 0.0, 1.0), Float("rate", 1e-3, 1e-1, log=True), Int("steps", 10, 200), SCHEDULE),
}
SHARED = ("rate", "steps", "schedule")
OBJECTIVES = (Objective("accuracy", "maximise"), Objective("cost", "minimise"))
SWAP: Settings = {"target": "near", "rate": 3e-3, "steps": 50, "schedule": "flat"}
ASCEND: Settings = {"clip": 0.7, "rate": 3e-3, "steps": 50, "schedule": "flat"}
NUMBERS: dict[str, tuple[Parameter, ...]] = {
    "a": tuple(Float(name, 0, 1) for name in "xyz"),
    "b": tuple(Float(name, 0, 1) for name in "xyz"),
}


def embedded(of: Tasks, arm: str, settings: Settings) -> Array:
    encoding = of.encoding(arm)
    return encoding.embed(encoding.point(settings)[None])[0][0]


def apart(of: Tasks, a: tuple[str, Settings], b: tuple[str, Settings]) -> dict[int, float]:
    """Squared distances by group, those that are not 0."""
    gaps = (embedded(of, *a) - embedded(of, *b)) ** 2
    columns = of.encoding("swap").embed(np.zeros((1, 4)))[1]
    by_group = {int(g): float(gaps[columns == g].sum()) for g in set(columns)}
    return {g: gap for g, gap in by_group.items() if gap > 1e-12}


def test_equal_values_of_what_is_shared_are_one_place_whatever_the_arms_ranges() -> None:
    of = Tasks(ARMS, SHARED)
    gaps = apart(of, ("swap", SWAP), ("ascend", ASCEND))
    groups = of.encoding("swap").groups
    assert groups == 3 + 2 + 2, "three shared parameters, an arm's own each, a direction each"
    assert sorted(gaps) == [3, 4, 5, 6], "neither rate nor steps nor schedule"
    assert [gaps[g] for g in (4, 5, 6)] == pytest.approx([0.2**2, 0.5, 0.5]), "clip is .7 there and at its middle here"
    assert gaps[3] == pytest.approx(0.25), "of two options one there, and halfway between them here"
    other = apart(of, ("swap", SWAP), ("ascend", ASCEND | {"rate": 3e-2, "schedule": "cosine"}))
    assert other[0] == pytest.approx((1 / 3) ** 2), "a decade of the three that both ranges have together"
    assert other[2] == pytest.approx(1.0) and 1 not in other


def test_within_an_arm_distances_are_those_of_its_own_tree() -> None:
    alone = {"swap": ARMS["swap"], "other": (RATE, Float("heat", 0, 1))}
    of = Tasks(alone, ("rate",))
    together, own = of.encoding("swap"), Nehvi(Question(ARMS["swap"], OBJECTIVES, ())).encoding
    points = own.from_cube(np.random.default_rng(0).random((20, own.width)))
    here, there = own.embed(points)[0], together.embed(points)[0]
    assert np.allclose(_squares(here), _squares(there))
    assert together.settings(points[3]) == own.settings(points[3]) and together.keys(points) == own.keys(points)


def _squares(features: Array) -> Array:
    return np.asarray(((features[:, None] - features[None]) ** 2).sum(2))


def wave(settings: Settings) -> float:
    return math.sin(5 * float(settings["x"])) + float(settings["y"]) ** 2  # type: ignore[arg-type]


def told(of: Tasks, arm: str, function: Callable[[Settings], float], trials: int, seed: int) -> Nehvi:
    """An arm's sampler that was told so many trials anywhere."""
    sampler = Nehvi(Question(NUMBERS[arm], OBJECTIVES, (), (-9.0, 9.0)), seed, task=Task(of, arm))
    rng = np.random.default_rng(seed)
    for n in range(trials):
        settings: Settings = {name: float(rng.random()) for name in "xyz"}
        value = function(settings) + 0.02 * float(rng.standard_normal())
        sampler.tell(Observation(n, settings, "COMPLETE", {"accuracy": value, "cost": float(settings["z"])}))  # type: ignore[arg-type]
    return sampler


def error(sampler: Nehvi, function: Callable[[Settings], float]) -> float:
    """Root mean square error of what it believes of accuracy, at places it was not told of."""
    sampler.listen()
    belief = sampler._beliefs().objectives[0]
    cube = np.random.default_rng(99).random((200, 3))
    at = belief.at(sampler.encoding.embed(cube)[0])
    true = [function({name: float(v) for name, v in zip("xyz", row, strict=True)}) for row in cube]
    return float(np.sqrt(np.mean((belief.centre + belief.spread * at.mean + np.array(true)) ** 2)))  # less is better


@pytest.mark.parametrize("seed", range(3))
def test_what_one_arm_showed_another_need_not_find_again(seed: int) -> None:
    together, alone = Tasks(NUMBERS, "xyz"), Tasks(NUMBERS, "xyz")
    told(together, "a", wave, 40, seed)
    shifted = error(told(together, "b", lambda s: wave(s) + 0.5, 6, seed + 50), lambda s: wave(s) + 0.5)
    by_itself = error(told(alone, "b", lambda s: wave(s) + 0.5, 6, seed + 50), lambda s: wave(s) + 0.5)
    assert shifted < 0.5 * by_itself


@pytest.mark.parametrize("seed", range(3))
def test_an_arm_that_is_unlike_the_others_is_believed_by_its_own_trials(seed: int) -> None:
    def other(settings: Settings) -> float:
        return -wave(settings) + math.cos(9 * float(settings["y"]))  # type: ignore[arg-type]

    together, alone = Tasks(NUMBERS, "xyz"), Tasks(NUMBERS, "xyz")
    told(together, "a", wave, 40, seed)
    misled = error(told(together, "b", other, 30, seed + 50), other)
    assert misled < 1.35 * error(told(alone, "b", other, 30, seed + 50), other)


def test_order_of_telling_and_a_restart_change_nothing_that_is_asked() -> None:
    rng = np.random.default_rng(8)
    trials = []
    for arm in ("a", "b"):
        for n in range(8):
            settings: Settings = {name: float(rng.random()) for name in "xyz"}
            figures = {"accuracy": wave(settings), "cost": float(settings["z"])}  # type: ignore[arg-type]
            trials.append((arm, Observation(n, settings, "COMPLETE", figures)))
    asked = []
    for order in (range(16), rng.permutation(16), rng.permutation(16)):
        of = Tasks(NUMBERS, "xyz")
        samplers = {
            arm: Nehvi(Question(NUMBERS[arm], OBJECTIVES, (), (-9.0, 9.0)), 4, task=Task(of, arm)) for arm in NUMBERS
        }
        for i in order:
            samplers[trials[i][0]].tell(trials[i][1])
        first = samplers["a"].ask(8)
        asked.append([first, samplers["b"].ask(8), samplers["a"].ask(9)])
    assert asked[0] == asked[1] == asked[2]


def test_what_is_chosen_is_chosen_by_what_was_heard_and_by_nothing_told_since() -> None:
    asked = []
    for late in (False, True):
        of = Tasks(NUMBERS, "xyz")
        told(of, "a", wave, 12, 0)
        chooser = told(of, "b", wave, 6, 1)
        chooser.listen()
        if late:
            told(of, "a", lambda s: -wave(s), 20, 2)
        asked.append((chooser.ask(6), chooser.ask(7)))
    assert asked[0][0] == asked[1][0] and asked[0][1] != asked[1][1], "the next one hears of it"


def test_a_model_of_all_arms_chooses_after_few_trials_of_an_arms_own() -> None:
    of = Tasks(NUMBERS, "xyz")
    few = told(of, "b", wave, FEWEST, 1)
    assert not modelled(few)
    told(of, "a", wave, 6, 0)
    assert modelled(few) and not modelled(told(Tasks(NUMBERS, "xyz"), "b", wave, FEWEST, 1))
    fewer = Tasks(NUMBERS, "xyz")
    told(fewer, "a", wave, 6, 0)
    assert not modelled(told(fewer, "b", wave, FEWEST - 1, 1))


def modelled(sampler: Nehvi) -> bool:
    sampler.listen()
    return sampler._modelled()


def test_an_arm_without_a_feasible_trial_hunts_by_the_others_model_every_other_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of = Tasks(NUMBERS, "xyz")
    question = Question(NUMBERS["b"], OBJECTIVES, (Constraint("cost", at_most=0.5),), (-9.0, 9.0))
    sampler = Nehvi(question, 0, task=Task(of, "b"))
    rng = np.random.default_rng(0)
    for n in range(8):
        settings: Settings = {name: float(rng.random()) for name in "xyz"}
        figures = {"accuracy": 0.1, "cost": 0.9}
        sampler.tell(Observation(n, settings, "COMPLETE", figures, {"cost": 0.8}))
    hunted: list[int] = []
    hunt = Nehvi._hunt

    def watched(self: Nehvi, number: int) -> Array:
        hunted.append(number)
        return hunt(self, number)

    monkeypatch.setattr(Nehvi, "_hunt", watched)
    sampler.ask(8), sampler.ask(9)
    assert hunted == [8, 9], "nobody knows of anything feasible"
    told(of, "a", wave, 8, 0)
    sampler.ask(10), sampler.ask(11)
    assert hunted == [8, 9, 11]


def space(**changes: object) -> SearchSpace:
    arms = tuple(Arm(name, "none", parameters) for name, parameters in ARMS.items())
    facts: dict[str, object] = {"arms": arms, "shared": SHARED} | changes
    return SearchSpace("s", "?", objectives=OBJECTIVES, constraints=(), procedure="coin", **facts)  # type: ignore[arg-type]


def test_a_question_says_what_its_arms_share_and_only_what_they_can() -> None:
    assert space(shared="rate").shared == ("rate",)
    with pytest.raises(UsageError, match=r"shared names 'clip', which 1 of its arms has unconditionally; name param"):
        space(shared=("clip",))
    with pytest.raises(UsageError, match="shared names 'rat', which none of its arms has"):
        space(shared=("rat",))
    linear = (Float("rate", 1e-3, 1e-1), *ARMS["ascend"][2:])
    with pytest.raises(UsageError, match="shared parameter 'rate' is on a logarithmic scale in one arm and not in ano"):
        space(arms=(Arm("a", "none", ARMS["swap"]), Arm("b", "none", linear)))
    held = (Float("rate", 1e-3, 1e-3, log=True),)
    with pytest.raises(UsageError, match="shared names 'rate', which has one value in every arm; leave it out"):
        space(arms=(Arm("a", "none", held), Arm("b", "none", held)), shared="rate")
    assert space().fix({"method": "swap"}).shared == () and space().fix({"steps": 50}).shared == ("rate", "schedule")
    every = space().fix({"rate": 2e-3, "steps": 50, "schedule": "flat"})
    assert every.shared == () and tasks("nehvi", every) == {}, "arms that share nothing are modelled apart"
    assert space().fingerprint() == space(shared=()).fingerprint(), "how it is searched is not what is asked"


def test_tasks_are_made_for_a_sampler_that_learns_of_them_and_for_arms_that_share() -> None:
    assert set(tasks("nehvi", space())) == {"swap", "ascend"}
    assert tasks("tpe", space()) == tasks("nehvi", space(shared=())) == {}
    assert tasks("nehvi", space().fix({"method": "swap"})) == {}
    of = tasks("nehvi", space())
    first = make("nehvi", Question(ARMS["swap"], OBJECTIVES, ()), 0, (), of["swap"])
    first.tell(Observation(0, SWAP, "FAIL"))
    heard = of["ascend"].others(of["ascend"].tasks.told())
    assert [(one.arm, one.observation.state) for one in heard] == [("swap", "FAIL")]
    assert of["swap"].others(heard) == []


def test_a_parameter_held_at_one_value_is_no_dimension_and_still_a_place() -> None:
    fixed = space().fix({"steps": 50})
    of = Tasks({arm.name: arm.parameters for arm in fixed.arms}, fixed.shared)
    assert of.encoding("swap").groups == 2 + 2 + 2
    half = {"swap": space().fix({"steps": 50}).arms[0].parameters, "ascend": ARMS["ascend"]}
    gaps = apart(Tasks(half, SHARED), ("swap", SWAP), ("ascend", ASCEND))
    assert 1 not in gaps, "50 steps there are 50 steps here"


def study_of(function: Callable[[Settings], float], trials: int, seed: int) -> list[Observation]:
    rng = np.random.default_rng(seed)
    study = []
    for n in range(trials):
        settings: Settings = {name: float(rng.random()) for name in "xyz"}
        figures = {"accuracy": function(settings), "cost": float(settings["z"])}  # type: ignore[arg-type]
        study.append(Observation(n, settings, "COMPLETE", figures))
    return study


@pytest.mark.parametrize("seed", range(3))
def test_an_arm_with_an_earlier_study_goes_by_that_and_the_others_hear_of_its_trials(seed: int) -> None:
    def other(settings: Settings) -> float:
        return -wave(settings)

    of, own = Tasks(NUMBERS, "xyz"), study_of(other, 6, seed + 50)
    question = Question(NUMBERS["b"], OBJECTIVES, (), (-9.0, 9.0))
    told(of, "a", wave, 40, seed)
    warm = Nehvi(question, seed, earlier=[study_of(other, 40, seed + 9)], task=Task(of, "b"))
    alone = Nehvi(question, seed, earlier=[study_of(other, 40, seed + 9)])
    for observation in own:
        warm.tell(observation)
        alone.tell(observation)
    assert error(warm, other) == error(alone, other) < 0.3 and warm.ask(6) == alone.ask(6)
    assert sum(one.arm == "b" for one in of.told()) == len(own)


@pytest.mark.parametrize("objectives", [OBJECTIVES, OBJECTIVES[:1]])
def test_an_arm_of_which_all_was_stopped_hunts_though_nothing_says_where_a_front_would_be(
    objectives: tuple[Objective, ...],
) -> None:
    """No corner, no trial that ran to its end: what the other arms found suggests one."""
    of, bound = Tasks(NUMBERS, "xyz"), (Constraint("quality", at_least=0.9),)
    samplers = {arm: Nehvi(Question(NUMBERS[arm], objectives, bound), 0, task=Task(of, arm)) for arm in NUMBERS}
    for observation in study_of(wave, 10, 0):
        samplers["a"].tell(dataclasses.replace(observation, excesses={"quality": -0.1}))
    for observation in study_of(wave, 8, 1):
        stopped = dataclasses.replace(observation, state="PRUNED", figures={}, excesses={"quality": 0.4})
        samplers["b"].tell(stopped)
    assert set(samplers["b"].ask(8)) == set(samplers["b"].ask(9)) == set("xyz")


def test_the_latest_trials_come_last_whatever_their_arm() -> None:
    of = Tasks(NUMBERS, "xyz")
    for arm, trials in (("b", 2), ("a", 3)):
        told(of, arm, wave, trials, 0)
    assert [(t.observation.number, t.arm) for t in of.told()] == [(0, "a"), (0, "b"), (1, "a"), (1, "b"), (2, "a")]
    assert [(t.observation.number, t.arm) for t in early(of.told(), lambda count: count - 1)] == [
        (0, "a"),
        (0, "b"),
        (1, "a"),
    ]
