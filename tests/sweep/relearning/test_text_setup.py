"""A data set of prompts makes a sweep train a text-to-image model, and draw and guide its samples as its recipe says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from search_spaces.methods_vs_dimra import SPACE
from sweep import launch
from sweep.errors import UsageError
from sweep.plan.place import Place
from sweep.plan.plan import Plan
from sweep.relearning.attacks import trains_on
from sweep.relearning.cost import _Costs, estimate
from sweep.relearning.experiments import experiment_of
from sweep.relearning.prepare import shared_by
from sweep.relearning.setup import RETAINED_OF_PROMPTS, Setup
from sweep.space import find
from trainables.denoisers.text_to_image import ClipRecipe, TextToImage
from trainables.relearning.shared_products import SYNTHETIC

STYLED = {"data": "digits_styled"}


def test_the_data_set_alone_is_enough(tmp_path: Path) -> None:
    setup = Setup.asked(STYLED)
    setup.check()
    assert (setup.forget, setup.base_size, setup.base_steps) == ("concept:three", "text", TextToImage().train_steps)
    experiment = experiment_of(setup, str(tmp_path), Place())
    assert experiment.base == TextToImage() and experiment.sampler == "ddim-10-cfg5"
    retained = len(experiment.retained)
    assert 0.7 * RETAINED_OF_PROMPTS <= setup.samples_per_retained * retained <= 1.3 * RETAINED_OF_PROMPTS
    assert 500 <= experiment.synthetic_per_condition * retained < 1000


def test_the_synthetic_set_is_made_and_counted_only_where_an_attack_may_train_on_it(tmp_path: Path) -> None:
    """Hundreds of images of a large model, which only one question of prompts can name."""
    experiment = experiment_of(Setup.asked(STYLED), str(tmp_path), Place())
    drawn = {}
    for name in ("dimum_text2image", "closed_form_text2image", "meta_unlearning_text2image", "concept_resurgence"):
        plan: Plan[Setup] = Plan.of(space=name, run_dir="r", artifacts="a", **STYLED)
        space = plan.question()
        assert (SYNTHETIC in shared_by(space, experiment)) == trains_on(space, "synthetic")
        drawn[name] = trains_on(space, "synthetic"), _Costs(plan, space).synthetic
    assert drawn.pop("concept_resurgence") == (True, experiment.synthetic_per_condition * len(experiment.retained))
    assert set(drawn.values()) == {(False, 0)}
    assert trains_on(find.load("dimum_robustness"), "synthetic"), "in its suite"
    of_its_own_file = SPACE.confirm_attacks[0]
    named = dataclasses.replace(of_its_own_file, settings={"auxiliary": "synthetic"})
    assert trains_on(dataclasses.replace(SPACE, confirm_attacks=(named,)), "synthetic")


def test_what_is_asked_for_wins() -> None:
    asked = Setup.asked(
        STYLED | {"guidance": 3.0, "samples_per_retained": 4, "base_steps": 7, "forget": "style:sketch"}
    )
    assert (asked.guidance, asked.samples_per_retained, asked.base_steps, asked.forget) == (3.0, 4, 7, "style:sketch")
    assert Setup.asked(STYLED | {"guidance": 1.0}).guidance == 1.0
    classes = Setup.asked({})
    assert (classes.guidance, classes.samples_per_retained) == (1.0, 50), "as it was for classes"


def test_the_twins_are_sizes() -> None:
    v, xl = (Setup.asked(STYLED | {"base_size": size}).base_recipe() for size in ("text-v", "text-xl"))
    assert v == TextToImage(prediction_type="v_prediction")
    assert xl == TextToImage(second_clip=ClipRecipe(width=96))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            STYLED | {"base_size": "medium"},
            "--base-size medium: digits_styled is of prompts; take text, text-v, text-xl",
        ),
        ({"base_size": "text"}, "--base-size text: digits has no prompts; take small, medium, large"),
        (
            STYLED | {"image_size": 64},
            "--data digits_styled: it has images of 64 pixels a side, not .* give one with --base",
        ),
        (STYLED | {"image_size": 20}, "of 20 pixels a side, not up to 32 pixels, a multiple of 8"),
        (STYLED | {"base_size": "texts"}, "--base-size texts: unknown; did you mean 'text'"),
        (STYLED | {"samples_per_retained": 0}, "--samples-per-retained 0: must be at least 1"),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Setup.asked(values).check()


def test_a_score_is_over_two_retained_images_at_least(tmp_path: Path) -> None:
    """FID is of a distribution: of the only image of the only prompt that stays there is none."""
    (tmp_path / "prompts.csv").write_text("prompt,role,concept\na cat,forget,cat\na dog,retain,dog\n")
    asked = {"data": "prompts", "data_folder": str(tmp_path), "image_size": 16, "base": "owner/model"}
    Setup.asked(asked | {"samples_per_retained": 2}).check()
    with pytest.raises(UsageError, match=r"--samples-per-retained 1: .* one prompt is retained; give at least 2"):
        Setup.asked(asked | {"samples_per_retained": 1}).check()


def test_a_dry_run_prints_the_plan(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["--space", "methods_vs_dimra", *["--data", "digits_styled", "--forget", "concept:three", "--dry-run"]]
    assert launch.main([*asked, "--fix", "method=esd"]) == 0
    told = capsys.readouterr().out
    assert "digits_styled (3×16×16); forget concept:three (30 of 300 prompts)" in told
    assert f"text, {TextToImage().train_steps} steps; images by ddim-10-cfg5" in told
    assert "128 of the forgotten condition, 1 of each retained one" in told


def test_the_cost_is_of_everything_that_is_trained() -> None:
    def plan(**values: Any) -> Plan[Any]:
        setup = Setup.asked(STYLED | values)
        plain = Plan.of(space="methods_vs_dimra", run_dir="run", artifacts="artifacts")
        return plain.but(setup=setup)

    usual, longer = estimate(plan(), SPACE), estimate(plan(base_steps=2 * TextToImage().train_steps), SPACE)
    two_models = 2 * TextToImage().train_steps * 0.15
    assert longer["prepare"] - usual["prepare"] == pytest.approx(two_models, rel=0.3)
    assert estimate(plan(base_size="text-xl"), SPACE)["prepare"] > usual["prepare"] + 20
    assert estimate(plan(guidance=1.0), SPACE)["search"] < usual["search"]
