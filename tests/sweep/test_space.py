"""A question's declaration generates everything else: suggestions, range checks, pins."""

from __future__ import annotations

import optuna
import pytest

from sweep import catalogue
from sweep.errors import UsageError
from sweep.space import Arm, Attack, Choice, Constraint, Float, Int, Objective, SearchSpace

CONDITIONAL = Arm(
    "any",
    "dimum",
    (
        Float("learning_rate", 1e-4, 1e-2, log=True),
        Choice("kind", {"mask": (Float("fraction", 0.1, 0.9),), "lora": (Int("rank", 4, 64, log=True),), "all": ()}),
    ),
)


def question(**changes: object) -> SearchSpace:
    attack = Attack("a", "dimra", {})
    facts = {
        "name": "q",
        "question": "?",
        "arms": (CONDITIONAL,),
        "objectives": (Objective("robustness", "maximise"),),
        "constraints": (),
        "search_attacks": (attack,),
        "confirm_attacks": (attack,),
        "rungs": (0, 1),
    }
    return SearchSpace(**(facts | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", catalogue.names())
def test_every_question_that_ships_suggests_settings_that_its_own_checks_accept(name: str) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for arm in catalogue.load(name).arms:
        for _ in range(30):
            settings = arm.suggest(study.ask())
            assert arm.check(settings) == settings


def test_a_conditional_parameter_exists_only_under_its_option() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = {}
    for _ in range(40):
        settings = CONDITIONAL.suggest(study.ask())
        seen[settings["kind"]] = set(settings) - {"learning_rate", "kind"}
    assert seen == {"mask": {"fraction"}, "lora": {"rank"}, "all": set()}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate": 1.0, "kind": "all"}, "outside"),
        ({"learning_rate": "fast", "kind": "all"}, "not a number"),
        ({"learning_rate": float("nan"), "kind": "all"}, "not finite"),
        ({"learning_rate": 1e-3}, "missing"),
        ({"learning_rate": 1e-3, "kind": "al"}, "did you mean 'all'"),
        ({"learning_rate": 1e-3, "kind": "lora", "rank": 4.5}, "whole number"),
        ({"learning_rate": 1e-3, "kind": "all", "rank": 8}, "no active parameter"),
    ],
)
def test_settings_out_of_the_space_are_refused_by_name(settings: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        CONDITIONAL.check(settings)


def test_fixing_a_parameter_leaves_only_that_value() -> None:
    fixed = question().fix({"kind": "lora", "rank": "8"})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        settings = fixed.arms[0].suggest(study.ask())
        assert (settings["kind"], settings["rank"]) == ("lora", 8)
    assert fixed.fingerprint() != question().fingerprint()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda: question(rungs=(1, 2)), "rise from 0"),
        (lambda: question(rungs=(0, 5, 3)), "rise from 0"),
        (lambda: question(search_attacks=(Attack("a", "dimra", {}, counts=False),)), "attack that counts"),
        (lambda: question(arms=(Arm("b", "dimum", (), baseline=True),)), "must be the question's own method"),
        (lambda: Float("x", 1.0, 0.0), "empty"),
        (lambda: Float("x", 0.0, 1.0, log=True), "log scale"),
        (lambda: Arm("a", "dimum", (Int("x", 0, 1), Int("x", 0, 1))), "declared twice"),
        (lambda: Arm("a", "dimum", (Int("x", 0, 1),), start_points=({"x": 2},)), "outside"),
        (lambda: Objective("robustness", "up"), "neither"),
        (lambda: Constraint("fid_delta"), "exactly one"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused_when_it_is_made(broken, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=said):
        broken()


def test_a_violation_is_in_units_of_the_bound() -> None:
    budget = Constraint("fid_delta", at_most="fid_budget")
    forgets = Constraint("unlearning_accuracy", at_least=0.95)
    assert budget.violation(6.0, fid_budget=4.0) == pytest.approx(0.5)
    assert budget.violation(4.0, fid_budget=4.0) == 0
    assert forgets.violation(0.95, 4.0) == 0
    assert forgets.violation(0.475, 4.0) == pytest.approx(0.5)
