"""Meta-Unlearning is held against the methods that it wraps, at equal effort, by what it is for."""

from __future__ import annotations

from start_points import begins_with_defaults

from search_spaces.meta_unlearning import METHODS, OF_META, SPACE
from sweep.plan.checks import validate
from sweep.plan.plan import Plan
from sweep.relearning.member_checks import check_members
from trainables.auxiliary import HOLD_FORGOTTEN

PLAN = Plan.of(space=SPACE.name, run_dir="r", artifacts="a", trials=SPACE.trials, baseline_trials=SPACE.trials)


def test_every_method_is_searched_with_meta_and_without_over_the_same_ranges_and_as_often() -> None:
    for method, own in METHODS.items():
        plain, wrapped = SPACE.arm(method), SPACE.arm(f"meta-{method}")
        assert plain.baseline and not wrapped.baseline
        assert (plain.method, wrapped.method) == (method, f"meta({method})")
        assert (plain.parameters, wrapped.parameters) == (own, (*own, *OF_META))
        assert {PLAN.budget_of(SPACE, a.name) for a in (plain, wrapped)} == {8}
    assert SPACE.baseline_share == 1


def test_both_begin_with_the_defaults_of_their_files() -> None:
    begins_with_defaults(SPACE)


def test_the_first_objective_is_what_malicious_fine_tuning_brings_back_and_robustness_is_never_it() -> None:
    assert [o.metric for o in SPACE.objectives] == ["malicious_robustness", "fid_delta"]
    validate(PLAN)
    for attack in (*SPACE.search_attacks, *SPACE.confirm_attacks):
        assert attack.counts == (attack.settings["auxiliary"] not in HOLD_FORGOTTEN)
    searched = {a.name for a in SPACE.search_attacks}
    assert searched <= {a.name for a in SPACE.confirm_attacks}, "what was searched for is confirmed"


def test_every_setting_is_one_its_method_takes() -> None:
    check_members(PLAN, SPACE)
