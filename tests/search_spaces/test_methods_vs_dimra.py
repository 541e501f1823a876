"""Every method is searched, over the same ranges, with as many trials, from settings that its own file says are good."""

from __future__ import annotations

import pytest
from start_points import begins_with_defaults

from search_spaces.methods_vs_dimra import METHODS, SPACE
from sweep.errors import UsageError
from sweep.plan.plan import Plan
from sweep.relearning.member_checks import check_members
from sweep.space import Choice
from trainables import unlearning
from trainables.forgetting import CONDITIONS

OWN_RANGES = {("sfd", "steps")}  # a one-step generator has to be distilled first


def test_every_method_that_forgets_conditions_is_an_arm() -> None:
    registered = [unlearning.METHODS[name] for name in unlearning.METHODS.names()]
    forgetting = {m.name for m in registered if CONDITIONS in m.forgets}
    arms = {name for name in METHODS if "(" not in name}
    assert arms <= forgetting and len(arms) == 14  # a method added to the folder need not be added here
    assert [a.method for a in SPACE.arms] == list(METHODS) and not any(a.baseline for a in SPACE.arms)


def test_every_method_gets_as_many_trials() -> None:
    plan = Plan.of(space=SPACE.name, run_dir="r", artifacts="a", trials=SPACE.trials)
    assert {plan.budget_of(SPACE, arm.name) for arm in SPACE.arms} == {6}


def test_what_methods_share_is_searched_over_the_same_range() -> None:
    seen: dict[str, object] = {}
    for arm in SPACE.arms:
        for parameter in arm.walk():
            if (arm.method, parameter.name) not in OWN_RANGES:
                assert seen.setdefault(parameter.name, parameter) == parameter, (arm.name, parameter.name)
    for arm in SPACE.arms:
        assert {"learning_rate", "steps"} <= {p.name for p in arm.walk()}


def test_every_method_begins_with_the_defaults_of_its_file_but_for_what_all_have_alike() -> None:
    begins_with_defaults(SPACE)


def test_it_is_flat_within_an_arm_so_that_every_sampler_applies() -> None:
    for arm in SPACE.arms:
        assert not any(children for p in arm.walk() if isinstance(p, Choice) for children in p.branches.values())


def test_every_setting_is_one_its_method_takes() -> None:
    check_members(Plan.of(space=SPACE.name, run_dir="r", artifacts="a"), SPACE)


def test_methods_that_cannot_forget_what_is_asked_for_are_named_with_those_that_can() -> None:
    plan = Plan.of(space=SPACE.name, run_dir="r", artifacts="a", data="digits_duplicated", forget="instances:0")
    with pytest.raises(
        UsageError, match=r"dimum, .* cannot forget it; --fix method=.*erase_diff.* keeps those that can"
    ):
        check_members(plan, SPACE)
    check_members(plan, SPACE.fix({"method": "erase_diff,sfr_on"}))
