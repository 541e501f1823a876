"""The question about instances asks every method that can forget them, alike, and is asked of data that has instances."""

from __future__ import annotations

from start_points import begins_with_defaults

from search_spaces.instances_vs_dimra import OF_CONDITIONS, SPACE
from sweep.plan.plan import Plan
from sweep.relearning.member_checks import check_members
from trainables import unlearning
from trainables.forgetting import INSTANCES


def test_every_method_that_forgets_instances_is_an_arm() -> None:
    registered = [unlearning.METHODS[name] for name in unlearning.METHODS.names()]
    assert {a.method for a in SPACE.arms} <= {m.name for m in registered if INSTANCES in m.forgets}
    assert (
        SPACE.arms[0].method == "siss" and len(SPACE.arms) == 6
    )  # a method added to the folder need not be added here


def test_every_arm_begins_with_the_defaults_of_its_file() -> None:
    begins_with_defaults(SPACE)


def test_what_arms_share_has_one_range_and_nothing_is_about_conditions() -> None:
    seen: dict[str, object] = {}
    for arm in SPACE.arms:
        for parameter in arm.walk():
            assert seen.setdefault(parameter.name, parameter) == parameter, (arm.name, parameter.name)
    assert not set(seen) & set(OF_CONDITIONS)


def test_every_setting_and_attack_fits_its_data() -> None:
    plan = Plan.of(space=SPACE.name, run_dir="r", artifacts="a", data=SPACE.data, forget=SPACE.forget)
    check_members(plan, SPACE)
