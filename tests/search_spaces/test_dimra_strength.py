"""The attacker's question: every setting is the attack's, nothing counts that shows what was forgotten, defences are held."""

from __future__ import annotations

from search_spaces.dimra_strength import SPACE
from sweep.plan.plan import Plan
from sweep.relearning.member_checks import check_members
from trainables.attacks import ATTACKS
from trainables.auxiliary import AUXILIARY, HOLD_FORGOTTEN


def test_every_auxiliary_set_without_what_was_forgotten_is_searched() -> None:
    for arm in SPACE.arms:
        (auxiliary,) = (p for p in arm.walk() if p.name == "auxiliary")
        assert set(auxiliary.branches) == set(AUXILIARY) - HOLD_FORGOTTEN


def test_arms_differ_in_the_optimiser_and_its_learning_rates_alone() -> None:
    one, other = ({p.name: p for p in arm.walk()} for arm in SPACE.arms)
    assert one.keys() == other.keys()
    assert {name for name in one if one[name] != other[name]} == {"optimiser", "learning_rate"}


def test_every_setting_is_the_attacks_and_begins_with_dimras_defaults() -> None:
    for arm in SPACE.arms:
        (start,) = arm.start_points
        assert ATTACKS[arm.attack].configure(start).optimiser == start["optimiser"]
    check_members(Plan.of(space=SPACE.name, run_dir="r", artifacts="a"), SPACE)
