"""The main question says what the issue of comparing DiMUM with a baseline needs it to say."""

from __future__ import annotations

from search_spaces.dimum_robustness import FINE_TUNING, SPACE
from sweep.plan.plan import Plan
from sweep.relearning.member_checks import check_members
from sweep.space import Choice
from trainables.auxiliary import HOLD_FORGOTTEN
from trainables.unlearning._replacement import REPLACEMENTS


def test_every_kind_of_replacement_data_is_searched() -> None:
    (replacement,) = [p for p in SPACE.arm("dimum").walk() if p.name == "replacement"]
    assert isinstance(replacement, Choice) and set(replacement.branches) == set(REPLACEMENTS)


def test_both_arms_search_the_same_ranges_and_begin_with_the_same_settings() -> None:
    shared = {p.name for p in FINE_TUNING}
    dimum, swap = SPACE.arm("dimum"), SPACE.arm("label_swap")
    assert swap.baseline and not dimum.baseline
    for arm in (dimum, swap):
        assert [p for p in arm.walk() if p.name in shared] == list(FINE_TUNING)
    begun = [[{k: v for k, v in point.items() if k in shared} for point in arm.start_points] for arm in (dimum, swap)]
    assert begun[0] == begun[1] != []


def test_it_is_flat_so_that_model_based_samplers_apply() -> None:
    for arm in SPACE.arms:
        assert not any(children for p in arm.walk() if isinstance(p, Choice) for children in p.branches.values())


def test_the_suites_are_the_declared_ones_and_only_what_holds_the_forgotten_data_does_not_count() -> None:
    assert {a.settings["auxiliary"] for a in SPACE.search_attacks} == {"retain"}
    assert {a.settings["learning_rate"] for a in SPACE.search_attacks} == {3e-4, 1e-3}
    assert {a.settings["auxiliary"] for a in SPACE.confirm_attacks} == {"retain", "synthetic", "public", "public_all"}
    assert all(a.counts != (a.settings["auxiliary"] in HOLD_FORGOTTEN) for a in SPACE.confirm_attacks)


def test_every_setting_is_one_its_method_takes() -> None:
    check_members(Plan.of(space="dimum_robustness", run_dir="r", artifacts="a"), SPACE)
