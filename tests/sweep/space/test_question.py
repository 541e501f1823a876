"""A question's declaration generates everything else: suggestions, range checks, pins."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from sweep.errors import UsageError
from sweep.reading.best import corner_of
from sweep.records import schemas
from sweep.relearning.columns import _columns, columns
from sweep.relearning.question import check_method
from sweep.space import Arm, Attack, Choice, Constraint, Float, Int, Objective, SearchSpace, find, stratified
from trainables.figures import Figure

CONDITIONAL = Arm(
    "any",
    "dimum",
    (
        Float("learning_rate", 1e-4, 1e-2, log=True),
        Choice("kind", {"mask": (Float("fraction", 0.1, 0.9),), "lora": (Int("rank", 4, 64, log=True),), "all": ()}),
    ),
)


BELOW = Constraint("fid_delta", at_most=4.5)
RATE = Float("rate", 1e-4, 1e-2, log=True)
METHOD = Choice("method", {"dimum": (RATE, Int("images", 1, 8)), "esd": (RATE,), "meta(dimum)": (RATE,)})


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


@pytest.mark.parametrize("name", find.names())
def test_every_question_that_ships_suggests_settings_that_its_own_checks_accept(name: str) -> None:
    for arm in find.load(name).arms:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))  # each arm has its own
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
        (lambda: Arm("a", "dimum", (Int("method", 0, 1),)), "no setting of a method"),
        (lambda: Arm("a/b", "dimum", ()), "a name is of letters"),
        (lambda: Arm("control", "dimum", ()), "not 'control'"),
        (lambda: question(arms=(CONDITIONAL, CONDITIONAL)), "two arms are called 'any'"),
        (
            lambda: question(arms=(Arm("a", "dimum", (Int("x", 0, 1),)), Arm("b", "dimum", (Float("x", 0, 1),)))),
            "two kinds in two arms, whole and real",
        ),
        (
            lambda: question(
                arms=(Arm("a", "dimum", (Choice("x", (1, 2)),)), Arm("b", "dimum", (Choice("x", ("c",)),)))
            ),
            "numbers and words",
        ),
        (lambda: stratified(METHOD, {"salum": ({},)}), "none of its options"),
        (lambda: stratified(METHOD, {"esd": ({"rate": 2.0},)}), "outside"),
        (lambda: Objective("robustness", "up"), "neither"),
        (lambda: Constraint("fid_delta"), "exactly one"),
        (lambda: Constraint("fid_delta", at_most="fid-budget"), "write a number, or a word"),
        (lambda: Constraint("fid_delta", at_most="4.5"), "write a number, or a word"),
        (lambda: Constraint("fid_delta", at_most=float("nan")), "nan is not a finite number"),
        (lambda: Constraint("fid_delta", at_least=-math.inf), "-inf is not a finite number"),
        (lambda: Constraint("fid_delta", at_most=True), "True is not a finite number"),
        (lambda: Int("x", 0, 2**63), "beyond what a column of whole numbers holds"),
        (lambda: Int("x", -(2**70), 0), "beyond what a column of whole numbers holds"),
        (
            lambda: question(constraints=(Constraint("kid", at_most=1.0), Constraint("kid", at_least=2.0))),
            "'kid' is to be at least 2 and at most 1, which nothing is",
        ),
        (lambda: question(objectives=(Objective("kid", "minimise"),) * 2), "'kid' is an objective twice"),
        (lambda: question(constraints=(BELOW, BELOW)), "two constraints bound 'fid_delta' by at_most"),
        (lambda: Choice("x", ()), "has no options"),
        (lambda: Attack("a", "dimra", {"rate": math.nan}), "attack 'a', setting 'rate': nan is not finite"),
        (lambda: Attack("a", "dimra", {"rate": [1, 2]}), "is a list"),
        (lambda: Attack("a", "dimra", {3: 1}), "3 is no name of a setting"),
        (lambda: Attack("a", "dimra", "retain"), "are no mapping"),
        (lambda: Arm("a", "dimum", (), held={"steps": object()}), "is a object"),
        (lambda: question(trials=0), "trials 0 must be a whole number of at least 1"),
        (lambda: question(trials=2.5), "trials 2.5 must be a whole number"),
        (lambda: question(confirm_members=True), "confirm_members True must be a whole number"),
        (lambda: question(confirm_neighbours=-1), "confirm_neighbours -1 must be"),
        (lambda: question(baseline_share=math.nan), "baseline_share nan must be"),
        (lambda: question(baseline_share="half"), "baseline_share 'half' must be"),
        (lambda: Choice("x", "retain"), "are no list"),
        (lambda: Choice("x", 3), "are no list"),
        (lambda: Choice("x", (True, 1)), "options True and 1 are equal"),
        (lambda: Choice("x", (1, 1.0)), "options 1 and 1.0 are equal"),
        (lambda: Choice("x", (1, "1")), "options 1 and '1' are equal"),
        (lambda: Choice("x", (None, "None")), "options None and 'None' are equal"),
        (lambda: Choice("x", (0.5, np.float64(0.5))), "are equal"),
        (lambda: Choice("x", (1.0, math.nan)), "option 1: nan is not finite"),
        (lambda: Choice("x", ((1, 2), (3, 4))), "is a tuple"),
        (lambda: Choice("x", (np.arange(2),)), "is a ndarray"),
        (lambda: Choice("x", (len,)), "is a builtin_function_or_method"),
        (lambda: Choice("x", {"a": (Int("y", 0, 1),), "b": (Choice("z", ()),)}), "'z' has no options"),
        (lambda: Int("x", 1.5, 3), "low 1.5 is not a whole number"),
        (lambda: Int("x", 1, math.inf), "not of finite numbers"),
        (lambda: Int("x", False, True), "not of finite numbers"),
        (lambda: Float("x", "0", 1.0), "not of finite numbers"),
        (lambda: Float("x", 0.0, math.nan), "not of finite numbers"),
        (lambda: Float("learning rate", 0.0, 1.0), "a name is of letters"),
        (lambda: Float("x/y", 0.0, 1.0), "a name is of letters"),
        (lambda: Int("", 0, 1), "a name is of letters"),
        (lambda: question(arms=(Arm("a", "dimum", (Int("beta", 0, 1), Int("Beta", 0, 1))),)), "differ in case alone"),
        (lambda: question(rungs=(0, 1.5, 3)), "whole numbers that rise from 0"),
        (lambda: question(rungs=(0, "1", 3)), "whole numbers that rise from 0"),
        (lambda: question(rungs=(0, True)), "whole numbers that rise from 0"),
        (lambda: question(constraints=None), "constraints is None; write a tuple of Constraint, "),
        (lambda: question(constraints=("fid_delta",)), "constraints has 'fid_delta' in it; each is to be Constraint"),
        (lambda: question(objectives="robustness"), "objectives is 'robustness'; write a tuple of Objective"),
        (lambda: question(arms=None), "arms is None; write a tuple of Arm"),
        (lambda: question(search_attacks=3), "search_attacks is 3; write a tuple of Attack"),
        (lambda: Arm("a", "dimum", None), "parameters is None; write a tuple of Float or Int or Choice"),
        (lambda: Arm("a", "dimum", ("steps",)), "parameters has 'steps' in it"),
        (lambda: Arm("a", "dimum", (), start_points=None), "start_points is None"),
        (lambda: Arm("a", "dimum", (), start_points=(3,)), "start_points has 3 in it; each is to be Mapping"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused_when_it_is_made(broken, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=said):
        broken()


def test_numbers_of_numpy_ranges_and_lists_are_taken_for_what_they_are() -> None:
    assert (
        question(rungs=range(3)).rungs
        == question(rungs=[0, 1, 2]).rungs
        == question(rungs=np.arange(3)).rungs
        == (0, 1, 2)
    )
    assert all(type(rung) is int for rung in question(rungs=np.arange(3)).rungs)
    options = list(Choice("batch", tuple(np.array([8, 16]))).branches)
    assert options == [8, 16] and all(type(option) is int for option in options)
    steps = Int("steps", 1.0, np.int64(30))
    assert (type(steps.low), type(steps.high)) == (int, int)
    assert type(Float("rate", np.float32(0.5), 1.0).low) is float
    assert type(Constraint("fid_delta", at_most=np.float64(4.5)).at_most) is float


def test_each_of_two_bounds_on_a_metric_has_a_name_of_its_own() -> None:
    both = question(constraints=(BELOW, Constraint("fid_delta", at_least=-50.0), Constraint("kid", at_least=0.0)))
    assert [c.name for c in both.constraints] == ["fid_delta", "fid_delta_at_least", "kid"]
    names = schemas(both)["trials"].names
    assert {"excess_fid_delta", "excess_fid_delta_at_least", "excess_kid"} <= set(names) and len(names) == len(
        set(names)
    )
    other_way = question(constraints=tuple(reversed(both.constraints)))
    objective = Objective("fid_delta", "minimise")
    for space in (both, other_way):  # the corner is the bound on the worse side, wherever it stands
        assert corner_of(columns(), (objective,), space.constraints) == (4.5,)
    assert corner_of(columns(), (Objective("fid_delta", "maximise"),), both.constraints) == (-50.0,)


def test_options_that_cannot_be_sorted_have_a_fingerprint_all_the_same() -> None:
    prints = {
        question(arms=(Arm("a", "dimum", (Choice("x", options),)),)).fingerprint()
        for options in ((None, 1, "a"), (None, 2, "a"))
    }
    assert len(prints) == 2


def test_a_violation_is_in_units_of_the_bound() -> None:
    budget = Constraint("fid_delta", at_most="fid_budget")
    with pytest.raises(ValueError, match="not known before the prepare phase has ended"):
        budget.violation(6.0)
    budget = budget.bounded({"fid_budget": 4.0})
    forgets = Constraint("unlearning_accuracy", at_least=0.95).bounded({"fid_budget": 4.0})
    assert budget.violation(6.0) == pytest.approx(0.5)
    assert budget.violation(4.0) == 0
    assert forgets.violation(0.95) == 0
    assert forgets.violation(0.475) == pytest.approx(0.5)


def test_a_bound_becomes_a_number_once_and_the_question_stays_the_same() -> None:
    asked = question(
        constraints=(Constraint("fid_delta", at_most="fid_budget"), Constraint("unlearning_accuracy", at_least=0.9))
    )
    assert [c.bound for c in asked.constraints] == [None, 0.9]
    known = asked.bounded({"fid_budget": 4.0, "fid_delta_sd": 1.0})
    assert [c.bound for c in known.constraints] == [4.0, 0.9]
    assert known.fingerprint() == asked.fingerprint() and known.bounded({"fid_budget": 4.0}) == known


def test_a_stratified_choice_is_one_arm_an_option_with_the_options_own_settings() -> None:
    first = {"rate": 1e-3, "images": 2}
    arms = stratified(METHOD, {"dimum": (first,)})
    assert [(a.name, a.method, a.baseline) for a in arms] == [
        ("dimum", "dimum", False),
        ("esd", "esd", False),
        ("meta-dimum", "meta(dimum)", False),
    ]
    assert [a.parameters for a in arms] == list(METHOD.branches.values())
    assert arms[0].start_points == (first,) and arms[1].start_points == ()
    assert all(a.baseline for a in stratified(METHOD, baseline=True))


def many(**changes: object) -> SearchSpace:
    return question(arms=(*stratified(METHOD), Arm("plain", "fine_tune", (RATE,), baseline=True)), trials=9, **changes)


def test_fixing_the_method_keeps_only_its_arm_and_that_arms_part_of_the_trials() -> None:
    only = many().fix({"method": "esd", "rate": "0.001"})
    assert [a.name for a in only.arms] == ["esd"] and only.trials == 3
    (rate,) = only.arms[0].walk()
    assert isinstance(rate, Float) and rate.low == rate.high == 0.001
    assert [a.name for a in many().fix({"method": "meta(dimum),plain"}).arms] == ["meta-dimum", "plain"]
    assert [a.name for a in many().fix({"method": "meta-dimum, dimum"}).arms] == ["dimum", "meta-dimum"]


@pytest.mark.parametrize(
    ("pins", "said"),
    [
        ({"method": "edd"}, "did you mean 'esd'"),
        ({"method": "fine_tune"}, "only baselines are left"),
        ({"method": "esd", "images": "2"}, "no such parameter"),
        ({"rat": "1"}, "did you mean 'rate'"),
    ],
)
def test_a_method_that_cannot_be_fixed_is_refused_by_name(pins: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        many().fix(pins)


def test_how_much_is_spent_on_a_question_does_not_change_it() -> None:
    assert replace(many(), trials=99, baseline_share=1.0, confirm_members=1).fingerprint() == many().fingerprint()
    assert replace(many(), rungs=(0, 2)).fingerprint() != many().fingerprint()
    assert find.load("dimum_robustness").fingerprint() == "54db4bd82822a2ed", "runs of it can be gone on with"


@pytest.mark.parametrize("name", ["dimum", "meta(dimum)", "label_swap"])
def test_methods_and_wrapped_methods_are_known_without_importing_them(name: str) -> None:
    check_method(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dimumm", "did you mean 'dimum'"),
        ("mata(dimum)", "did you mean 'meta'"),
        ("meta(dimumm)", "did you mean 'dimum'"),
        ("meta(dimum", "WRAPPER\\(METHOD\\)"),
        ("meta()", "unknown"),
    ],
)
def test_a_method_that_is_not_there_is_refused_by_name(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_method(name)


def test_one_part_alone_needs_no_comma() -> None:
    steps = Int("steps", 1, 9)
    arm = Arm("a", "dimum", steps, start_points={"steps": 3})
    assert (arm.parameters, arm.start_points) == ((steps,), ({"steps": 3},))
    assert question(arms=arm).arms == (arm,) and question(constraints=BELOW).constraints[0].metric == BELOW.metric


def test_a_method_is_found_by_the_name_that_it_is_registered_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the file is called."""
    (tmp_path / "mine.py").write_text('@register("toward_null", Mixture)\ndef loss(): ...\n')
    monkeypatch.setattr(find, "family_folder", lambda family: tmp_path)
    check_method("toward_null")
    with pytest.raises(UsageError, match="mine: unknown; known: toward_null"):
        check_method("mine")
    (tmp_path / "broken.py").write_text("def loss(\n")
    with pytest.raises(UsageError, match=r"broken\.py: cannot be read"):
        check_method("toward_null")


def test_a_figure_is_not_called_as_a_column_of_every_run() -> None:
    _columns((("mine", (Figure("contrast", "mean size"),)),))
    for name in ("state", "feasible", "settings", "seed"):
        with pytest.raises(
            UsageError, match=f"mine: figure '{name}' is called as a column of the tables is; rename it"
        ):
            _columns((("mine", (Figure(name, "mean size"),)),))
