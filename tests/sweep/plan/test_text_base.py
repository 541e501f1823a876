"""A pipeline of Stable Diffusion as ``--base``, with prompts of the user's own: what the plan says, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import text_folders

from sweep.errors import UsageError
from sweep.plan.plan import Plan
from sweep.plan.words import describe
from sweep.relearning.experiments import experiment_of

TINY = str(Path(__file__).parents[2] / "questions" / "tiny.py")


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    data = text_folders.save_prompts(tmp_path / "prompts")

    def plan(base: Path, **changes: Any) -> Plan:
        facts: dict[str, Any] = {
            "space": TINY, "trials": 2, "baseline_trials": 1, "data": "prompts", "data_folder": str(data),
            "image_size": 16, "forget": "concept:cat", "base": str(base),
        } | changes  # fmt: skip
        return Plan.of(run_dir=str(tmp_path / "run"), artifacts=str(tmp_path / "store"), **facts)

    return plan


def test_a_plan_says_what_of_a_pipeline_is_left_out_and_takes_it(planned: Callable[..., Plan], tmp_path: Path) -> None:
    plan = planned(text_folders.save_sd(tmp_path / "sd"))
    plan.setup.check()
    text = " ".join(describe(plan, plan.question()).split())
    assert "its safety_checker, feature_extractor: not loaded" in text
    experiment = experiment_of(plan.setup, plan.artifacts, plan.place)
    assert experiment.base.on_prompts and experiment.model_shape == (4, 8, 8)  # type: ignore[union-attr]


BAD: dict[str, tuple[Callable[[Path], object], dict[str, Any], str]] = {
    "no tokenizer": (lambda r: shutil.rmtree(r / "tokenizer"), {}, "no tokenizer in it"),
    "another size": (
        lambda r: None,
        {"image_size": 32},
        "it makes 3×16×16 images of its VAE's images, but prompts has 3×32×32 images; give --image-size 16",
    ),
    "classes": (lambda r: None, {"base_classes": (1, 2)}, "a text-to-image model has no classes to choose from"),
    "digits": (
        lambda r: None,
        {"data": "digits", "data_folder": "", "image_size": 0, "forget": "3"},
        "it is told prompts, but the conditions of digits are none",
    ),
    "inpainting": (
        lambda r: (r / "unet" / "config.json").write_text(
            json.dumps(json.loads((r / "unet" / "config.json").read_text()) | {"in_channels": 9})
        ),
        {},
        "9 channels in: a U-Net for inpainting",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_does_not_fit_is_refused_in_one_line_before_anything_runs(
    bad: str, planned: Callable[..., Plan], tmp_path: Path
) -> None:
    spoil, changes, said = BAD[bad]
    folder = text_folders.save_sd(tmp_path / "sd")
    spoil(folder)
    with pytest.raises(UsageError) as error:
        planned(folder, **changes).setup.check()
    assert said in str(error.value) and "\n" not in str(error.value) and "--base" in str(error.value)
