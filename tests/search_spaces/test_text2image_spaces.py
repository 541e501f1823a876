"""The questions of text-to-image models: what each asks, that its methods and attacks take every setting, and its presets."""

from __future__ import annotations

from typing import Any

import pytest

from search_spaces import closed_form_text2image, concept_resurgence, dimum_text2image, meta_unlearning_text2image
from search_spaces.dimum_text2image import CARD, SMALL, Scale
from sweep.plan.plan import Plan
from sweep.relearning.member_checks import check_members
from sweep.relearning.setup import Setup
from sweep.relearning.targets import aimed
from sweep.space import Choice, SearchSpace, find
from trainables.attacks import ATTACKS
from trainables.auxiliary import AUXILIARY, HOLD_FORGOTTEN
from trainables.unlearning import METHODS
from trainables.unlearning._replacement import ANCHOR, REPLACEMENTS
from trainables.unlearning.rece import RECE
from trainables.unlearning.uce import UCE

SPACES = {
    space.name: space
    for space in (
        dimum_text2image.SPACE,
        closed_form_text2image.SPACE,
        meta_unlearning_text2image.SPACE,
        concept_resurgence.SPACE,
    )
}
OF_PIXELS = {"noise", "blank"}  # replacement data that are values of pixels


@pytest.mark.parametrize("preset", ["", "smoke", "24gb"])
@pytest.mark.parametrize("name", SPACES)
def test_every_setting_is_one_its_method_or_attack_takes_of_prompts_in_every_preset(name: str, preset: str) -> None:
    setup = Setup.asked({"data": SPACES[name].data})
    assert (setup.data, setup.forget) == ("digits_styled", "concept:three")
    plan: Plan[Any] = Plan.of(space=name, preset=preset, run_dir="r", artifacts="a").but(setup=setup)
    check_members(plan, plan.question())


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_what_holds_what_was_forgotten_does_not_count_and_every_arm_is_flat(space: SearchSpace) -> None:
    for attack in (*space.search_attacks, *space.confirm_attacks):
        assert attack.counts == (attack.settings["auxiliary"] not in HOLD_FORGOTTEN)
    for arm in space.arms:
        assert not any(children for p in arm.walk() if isinstance(p, Choice) for children in p.branches.values())
        assert arm.start_points, arm.name


def test_every_replacement_that_latents_have_is_searched_and_anchors_come_first() -> None:
    dimum, swap = dimum_text2image.SPACE.arms
    (replacement,) = (p for p in dimum.walk() if p.name == "replacement")
    assert isinstance(replacement, Choice) and set(replacement.branches) == {*REPLACEMENTS, ANCHOR} - OF_PIXELS
    shared = {p.name for p in dimum_text2image.fine_tuning(SMALL)}
    assert [p for p in dimum.walk() if p.name in shared] == [p for p in swap.walk() if p.name in shared]
    assert dimum.start_points[0]["replacement"] == swap.start_points[0]["alternative"] == ANCHOR
    begun = [[{k: v for k, v in point.items() if k in shared} for point in arm.start_points] for arm in (dimum, swap)]
    assert begun[0] == begun[1] != [], "neither has a head start"


def test_a_trial_of_a_closed_form_is_scored_alone_and_its_front_is_attacked() -> None:
    space = closed_form_text2image.SPACE
    assert space.search_attacks == () and {a.method for a in space.confirm_attacks} >= {"dimra", "benign", "malicious"}
    for arm in space.arms:
        assert METHODS[arm.method].closed_form
    uce, rece = ({p.name for p in arm.walk()} for arm in space.arms)
    assert uce == set(UCE.__dataclass_fields__) - {"edit_pooled"} and rece == set(RECE.__dataclass_fields__) - {
        "edit_pooled"
    }


def test_the_first_edits_are_the_published_ones_but_for_their_common_factor() -> None:
    """Only ratios of the three weights matter, and what is kept weighs 1 here."""
    for arm in closed_form_text2image.SPACE.arms:
        defaults = METHODS[arm.method].configure({})
        for begun in arm.start_points:
            ratios = [begun[name] / getattr(defaults, name) for name in ("ridge", "erase_scale", "preserve_scale")]  # type: ignore[operator]
            assert ratios == pytest.approx([ratios[0]] * 3), arm.name
            names = begun.keys() - {"ridge", "erase_scale", "preserve_scale", "positions"}
            assert {n: begun[n] for n in names} == {n: getattr(defaults, n) for n in names}


def test_every_base_method_is_searched_with_meta_and_without_as_often_over_the_same_ranges() -> None:
    space = meta_unlearning_text2image.SPACE
    plan = Plan.of(
        space=space.name,
        run_dir="r",
        artifacts="a",
        trials=space.trials,
        baseline_trials=int(space.baseline_share * space.trials),
    )
    methods = [arm.method for arm in space.arms if arm.baseline]
    assert set(methods) >= {"esd", "uce", "rece", "salun"}
    assert [arm.method for arm in space.arms if not arm.baseline] == [f"meta({method})" for method in methods]
    assert {plan.budget_of(space, arm.name) for arm in space.arms} == {6}
    for method in methods:
        plain, wrapped = space.arm(method), space.arm(f"meta-{method}")
        assert wrapped.parameters[: len(plain.parameters)] == plain.parameters != wrapped.parameters
        (begun,), (begun_wrapped,) = plain.start_points, wrapped.start_points
        assert begun.items() <= begun_wrapped.items()
    assert [o.metric for o in space.objectives] == ["malicious_robustness", "fid_delta"]
    assert {a.method for a in space.search_attacks} == {"malicious", "benign"}


@pytest.mark.parametrize("preset", ["", "smoke", "24gb"])
def test_esd_begins_as_esd_x_and_may_be_the_papers_loss(preset: str) -> None:
    """Which has no retain term."""
    space = meta_unlearning_text2image.SPACE.preset(preset)
    for arm in (space.arm("esd"), space.arm("meta-esd")):
        (begun,) = arm.start_points
        assert begun["trained_parameters"] == "cross_attention"
        (keep,) = (p for p in arm.walk() if p.name == "retain_weight")
        assert isinstance(keep, Choice) and 0.0 in keep.branches
    assert METHODS["esd"].configure({"retain_weight": 0.0}).counts[1] == 0


def test_resurgence_searches_the_attack_alike_on_methods_that_are_held() -> None:
    space = concept_resurgence.SPACE
    parameters = space.arms[0].parameters
    assert all(arm.parameters == parameters and arm.attack == "benign" for arm in space.arms)
    assert {arm.method for arm in space.arms} >= {"uce", "rece", "esd", "salun", "dimum"}
    (auxiliary,) = (p for p in parameters if p.name == "auxiliary")
    assert isinstance(auxiliary, Choice) and set(auxiliary.branches) == set(AUXILIARY) - HOLD_FORGOTTEN
    (trained,) = (p for p in parameters if p.name == "trained_parameters")
    assert isinstance(trained, Choice) and {"lora", "all", "cross_attention"} <= set(trained.branches)
    for arm in space.arms:
        ATTACKS[arm.attack].configure(arm.start_points[0])


@pytest.mark.parametrize("preset", ["", "smoke", "24gb"])
def test_every_meta_around_an_edit_keeps_what_is_unrelated(preset: str) -> None:
    """κ = 0 leaves nothing that holds the rest once the edit is made: such a model is ruined before anybody attacks it."""
    wrapped = {f"meta({name})" for name in METHODS.names() if "(" not in name and METHODS[name].closed_form}
    begun = [
        arm.held | point
        for space in SPACES.values()
        for arm in (space.preset(preset) if preset else space).arms
        if arm.method in wrapped
        for point in arm.start_points
    ]
    assert len(begun) >= 3 and all(float(point["meta_unrelated"]) >= 1 for point in begun)
    (held,) = (arm for arm in concept_resurgence.SPACE.arms if arm.method in wrapped)
    assert held.held.items() >= {"meta_unrelated": 3.0, "positions": "tail"}.items()


def test_a_target_leaves_one_arm_of_those_that_differ_in_what_they_attack_alone() -> None:
    (arm,) = aimed(concept_resurgence.SPACE, "salun").arms
    assert (arm.name, arm.method, arm.attack, dict(arm.held)) == ("benign", "salun", "benign", {})
    assert [arm.name for arm in aimed(find.load("dimra_strength"), "salun").arms] == ["dimra-adam", "dimra-sgd"]


@pytest.mark.parametrize("scale", [SMALL, CARD], ids=["small", "24gb"])
def test_a_scale_is_of_unlearning_and_of_attacks_alike(scale: Scale) -> None:
    """Whoever attacks has no larger model than whoever unlearns."""
    low, high, begun = scale.learning_rate
    assert low < begun < high and all(low / 3 <= rate <= high for rate in scale.attack_rates)
    assert scale.rungs[0] == 0 and scale.steps[0] < scale.steps[2] < scale.steps[1]


def test_on_a_card_nothing_trains_the_whole_u_net() -> None:
    """860 million parameters with gradients and moments leave 24 GB nothing for activations."""
    for space in SPACES.values():
        asked = space.preset("24gb")
        for arm in asked.arms:
            trained = [p for p in arm.walk() if p.name == "trained_parameters"]
            assert all("all" not in p.branches for p in trained if isinstance(p, Choice)), arm.name
            assert arm.held.get("trained_parameters") != "all"
        for attack in (*asked.search_attacks, *asked.confirm_attacks):
            assert attack.settings["trained_parameters"] != "all"
            assert attack.settings["batch"] == 4
