"""What a question gives its attacks is checked before anything runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import text_folders
from judge_folders import write_clip

from search_spaces.dimra_strength import SPACE as DIMRA_STRENGTH
from search_spaces.dimum_robustness import SPACE
from sweep.errors import UsageError
from sweep.plan.plan import Plan
from sweep.relearning import question
from sweep.relearning.member_checks import check_members
from sweep.relearning.setup import Setup
from sweep.space import Arm, Attack, Choice, Float, SearchSpace, Settings
from trainables.data import _dataset


def check(tmp_path: Path, method: str, settings: Settings, counts: bool = True, **setup: Any) -> None:
    suite = (*SPACE.search_attacks, Attack("mine", method, settings, counts))
    check_space(tmp_path, replace(SPACE, confirm_attacks=suite), **setup)


def check_space(tmp_path: Path, space: SearchSpace, **setup: Any) -> None:
    plan = Plan.of(space=SPACE.name, run_dir=str(tmp_path / "r"), artifacts=str(tmp_path / "a"))
    check_members(plan.but(setup=Setup.asked(setup).fingerprinted()) if setup else plan, space)
    assert not (tmp_path / "r").exists() and not (tmp_path / "a").exists(), "nothing is made"


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
        (
            "dimra",
            {"trained_parameters": "cross_attention"},
            "trained_parameters 'cross_attention': .* no such parameters",
        ),
        ("benign", {"images": 2000}, r"images: the attacker is given 2000, but there are \d+"),
    ],
)
def test_what_an_attack_cannot_have_is_one_line_that_names_it(
    tmp_path: Path, method: str, settings: Settings, message: str
) -> None:
    with pytest.raises(UsageError, match=rf"space 'dimum_robustness', attack 'mine': {message}") as error:
        check(tmp_path, method, settings)
    assert "\n" not in str(error.value)


STYLED = {"data": "digits_styled"}


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("dimra", {"images": 20000}, r"images: the attacker is given 20000, but there are \d+"),
        ("revival_point", {"chunk_images": 20000}, r"public: its \d+ images do not make one chunk of 20000"),
        ("composition", {"personal_condition": 30}, "personal_condition 30: public has no images of it"),
        ("dreambooth_forgotten", {"images": 20000}, r"images: the attacker is given 20000, but there are \d+"),
    ],
)
def test_the_sets_of_a_model_of_latents_are_looked_at_before_there_are_latents(
    tmp_path: Path, method: str, settings: Settings, message: str
) -> None:
    asked = STYLED | {"forget": "concept:one"}
    check(tmp_path, method, {}, counts=method != "dreambooth_forgotten", **asked)
    with pytest.raises(UsageError, match=rf"attack 'mine': {message}"):
        check(tmp_path, method, settings, counts=method != "dreambooth_forgotten", **asked)


def test_a_set_without_an_image_is_refused(tmp_path: Path) -> None:
    """Of a folder whose held-out images show none of what is forgotten, malicious fine-tuning has nothing to train on."""
    folder, sd = text_folders.save_prompts(tmp_path / "prompts"), text_folders.save_sd(tmp_path / "sd")
    for split in ("public", "test"):
        shutil.copytree(folder / "train", folder / split)
    asked = {"data": "prompts", "data_folder": str(folder), "image_size": 16, "base": str(sd), "forget": "concept:cat"}
    check(tmp_path, "malicious", {}, counts=False, **asked)
    captions = (folder / "public" / "metadata.csv").read_text().splitlines()
    (folder / "public" / "metadata.csv").write_text("\n".join(line for line in captions if not line.endswith("cat")))
    _dataset.cache_clear()  # a process of its own would find the folder as it is now
    with pytest.raises(
        UsageError, match="attack 'mine': public_forgotten: the data have no image of this auxiliary set"
    ):
        check(tmp_path, "malicious", {}, counts=False, **asked)
    check(tmp_path, "benign", {}, **asked)
    without = [line for line in captions if not line.endswith("house")]
    (folder / "public" / "metadata.csv").write_text("\n".join(without))
    _dataset.cache_clear()
    with pytest.raises(UsageError, match="attack 'mine': unrelated: there are no held-out images of unrelated prompts"):
        check(tmp_path, "benign", {}, **asked)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            (Choice("auxiliary", ("retain", "public")), Choice("images", (0, 600))),
            r"arm 'mine', auxiliary=public, images=600: images: the attacker is given 600, but there are \d+",
        ),
        ((Choice("images", (0, 600)),), None),
        ((Choice("images", (0, 2000)),), r"arm 'mine', images=2000: images: the attacker is given 2000"),
        (
            (Choice("trained_parameters", ("all", "cross_attention")),),
            "arm 'mine', trained_parameters=cross_attention: trained_parameters 'cross_attention': .* no such parameters",
        ),
        ((Choice("auxiliary", ("retain", "public_all")),), "auxiliary=public_all: public_all holds what was forgotten"),
    ],
)
def test_the_sets_of_an_attack_that_is_searched_are_looked_at_at_every_option(
    tmp_path: Path, parameters: tuple[Choice, ...], message: str | None
) -> None:
    space = replace(DIMRA_STRENGTH, arms=(Arm("mine", "dimum", parameters, attack="dimra"),), shared=())
    if message is None:
        check_space(tmp_path, space)
        return
    with pytest.raises(UsageError, match=message) as error:
        check_space(tmp_path, space)
    assert "\n" not in str(error.value)


def test_a_default_that_no_trial_is_given_refuses_nothing(tmp_path: Path) -> None:
    """No prompt that stays names a concept, so none has the nearest, DiMUM's usual replacement; the anchors are there."""
    folder, sd = text_folders.save_prompts(tmp_path / "prompts"), text_folders.save_sd(tmp_path / "sd")
    table = (folder / "prompts.csv").read_text()
    (folder / "prompts.csv").write_text(table.replace(",dog", ",").replace(",house", ","))
    write_clip(tmp_path / "clip", ("a", "photo", "of", "cat"))
    asked = {"data": "prompts", "data_folder": str(folder), "image_size": 16, "base": str(sd), "forget": "concept:cat"}
    asked["judge"] = f"zero_shot_clip:{tmp_path / 'clip'}"
    for replacement in ("anchor", "nearest_neighbours"):
        arm = Arm("mine", "dimum", (Float("learning_rate", 1e-4, 1e-3), Choice("replacement", (replacement,))))
        check_space(tmp_path, replace(SPACE, arms=(arm,), shared=()), **asked)
    near = Arm(
        "mine", "dimum", (Float("learning_rate", 1e-4, 1e-3), Choice("replacement", ("anchor", "class_nearest")))
    )
    with pytest.raises(
        UsageError, match="arm 'mine', replacement=class_nearest: replacement 'class_nearest': no prompt"
    ):
        check_space(tmp_path, replace(SPACE, arms=(near,), shared=()), **asked)


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
        (
            "scissorhands",
            Choice("cut_parameters", ("attention", "cross_attention")),
            "cut_parameters=cross_attention: cut_parameters 'cross_attention': the model has no such parameters; choose",
        ),
        (
            "meta(dimum)",
            Choice("meta_inner_trains", ("", "cross_attention_kv")),
            "meta_inner_trains=cross_attention_kv: meta_inner_trains 'cross_attention_kv': the model has no such parameters",
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
