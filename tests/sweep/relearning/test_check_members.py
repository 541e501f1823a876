"""What a question gives its attacks is checked before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces.dimum_robustness import SPACE
from sweep.errors import UsageError
from sweep.plan.plan import Plan
from sweep.relearning import question
from sweep.relearning.member_checks import check_members
from sweep.space import Arm, Attack, Choice, Float, Settings


def check(tmp_path: Path, method: str, settings: Settings, counts: bool = True) -> None:
    space = replace(SPACE, confirm_attacks=(*SPACE.search_attacks, Attack("mine", method, settings, counts)))
    check_members(Plan.of(space=SPACE.name, run_dir=str(tmp_path / "r"), artifacts=str(tmp_path / "a")), space)
    assert not list(tmp_path.iterdir()), "nothing is made"


def test_benign_attacks_count(tmp_path: Path) -> None:
    check(tmp_path, "benign", {})
    check(tmp_path, "revival_point", {"images": 300})
    check(tmp_path, "composition", {"personal_condition": 7})


def test_an_attack_counts_only_if_none_of_its_sets_holds_what_was_forgotten(tmp_path: Path) -> None:
    for settings in ({"personal_auxiliary": "public_all"}, {"auxiliary": "public_all"}):
        check(tmp_path, "composition", settings, counts=False)
        with pytest.raises(UsageError, match=r"'mine': public_all holds the forgotten .* counts=False"):
            check(tmp_path, "composition", settings)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("dimra", {"images": 2000}, r"images: the attacker is given 2000, but there are \d+"),
        ("dimra", {"auxiliary": "retained"}, "unknown auxiliary set 'retained'; known: retain,"),
        ("dimra", {"trained_parameters": "some"}, "trained_parameters 'some' is none of all, .*lora"),
        ("revival_point", {"chunk_images": 400}, r"public: its \d+ images do not make one chunk of 400"),
        ("composition", {"personal_condition": 3}, "personal_condition 3: public has no images of it"),
        ("composition", {"personal_images": 500}, r"personal_images: the attacker is given 500"),
    ],
)
def test_what_an_attack_cannot_have_is_one_line_that_names_it(
    tmp_path: Path, method: str, settings: Settings, message: str
) -> None:
    with pytest.raises(UsageError, match=rf"space 'dimum_robustness', attack 'mine': {message}") as error:
        check(tmp_path, method, settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("method", "parameter", "message"),
    [
        (
            "uce",
            Float("ridge", 0.1, 1.0),
            "mine cannot forget it; none of its arms can .method 'uce' edits cross-attention",
        ),
        (
            "label_swap",
            Choice("alternative", ("class_fixed", "anchor")),
            "alternative 'anchor': 3 has no anchors, as prompts ",
        ),
        (
            "dimum",
            Choice("replacement", ("anchor",)),
            "replacement 'anchor': 3 has no anchors, as prompts have; choose one of",
        ),
        (
            "esd",
            Choice("trained_parameters", ("cross_attention",)),
            "'cross_attention': the model has no such parameters",
        ),
    ],
)
def test_what_only_models_of_prompts_can_do_is_refused_of_classes(
    tmp_path: Path, method: str, parameter: Choice | Float, message: str
) -> None:
    space = replace(SPACE, arms=(Arm("mine", method, (parameter,)),), shared=())
    with pytest.raises(UsageError, match=message) as error:
        check_members(Plan.of(space=SPACE.name, run_dir=str(tmp_path / "r"), artifacts=str(tmp_path / "a")), space)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (Choice("batch", (4.0,)), "batch=4.0: method 'dimum': batch must be a whole number, not 4.0"),
        (Float("steps", 50, 100), "steps=50.0: method 'dimum': steps must be a whole number, not 50.0"),
    ],
)
def test_a_parameter_of_another_type_than_its_setting_is_refused_before_a_trial_fails_by_it(
    tmp_path: Path, parameter: Choice | Float, message: str
) -> None:
    space = replace(SPACE, arms=(Arm("mine", "dimum", (parameter,)),), shared=())
    with pytest.raises(UsageError, match=message):
        check_members(Plan.of(space=SPACE.name, run_dir=str(tmp_path / "r"), artifacts=str(tmp_path / "a")), space)


def test_what_a_method_is_held_at_is_refused_where_nothing_is_attacked(tmp_path: Path) -> None:
    """It would be accepted, and every trial run at the method's own default."""
    held = Arm("esd-x", "esd", (Float("learning_rate", 1e-5, 1e-3, log=True),), held={"steps": 7})
    with pytest.raises(
        UsageError, match=r"arm 'esd-x': held steps: only the method of an arm that is attacked is held; give"
    ):
        question.check(replace(SPACE, arms=(held, *SPACE.arms)))
    question.check(SPACE)
