"""A text-to-image model saved as a pipeline: diffusers' own loads it, draws what our sampler draws, and it can be a base model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import text_experiments
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from trainables.data import NOTHING
from trainables.denoisers.digests import hashed
from trainables.denoisers.models import load_model
from trainables.denoisers.pipelines import fitted, read_pipeline
from trainables.diffusion import starting_noise
from trainables.judges._classifier import verdicts
from trainables.relearning.experiment import Experiment, stream
from trainables.relearning.export import save_pipeline
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.products.classifier import classifier_of
from trainables.relearning.products.generated import generate
from trainables.relearning.products.latents import decoded
from trainables.relearning.whole_pipeline import obeyed, save_whole, steps_in
from trainables.store import Artifact, Store

ROW = 17


def unlearned(experiment: Experiment) -> Artifact:
    """The base model, changed as by unlearning, under another key."""
    store = Store(experiment.store)
    base = store.get(model_key(experiment, "base"))
    facts = base.facts | {"method": "dimum", "settings": {"steps": 4}, "seed": 2}
    return store.put("a" * 64, "unlearned", facts, {n: 1.1 * v for n, v in base.tensors().items()})


def theirs(folder: Path, experiment: Experiment) -> Any:
    kind: Any = StableDiffusionXLPipeline if experiment.base.second_clip else StableDiffusionPipeline  # type: ignore[union-attr]
    pipeline = kind.from_pretrained(folder, local_files_only=True, low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn_by_theirs(pipeline: Any, experiment: Experiment, seed: int) -> torch.Tensor:
    latents = starting_noise((1, *experiment.model_shape), seed)
    how = experiment.sampling
    asked = {"num_inference_steps": how.steps, "guidance_scale": how.guidance, "output_type": "pt"}
    return pipeline(experiment.dataset.prompts[ROW], latents=latents, **asked).images * 2 - 1


def drawn_by_ours(experiment: Experiment, artifact: Artifact, seed: int) -> torch.Tensor:
    model = load_model(artifact, experiment.device)
    return decoded(Workbench(experiment), generate(experiment, model, torch.tensor([ROW]), seed))


@pytest.mark.parametrize("twin", ["epsilon", "sdxl that predicts v"])
def test_an_unlearned_model_is_a_pipeline_that_draws_what_our_sampler_draws(
    twin: str, text_experiment: Experiment, tmp_path: Path
) -> None:
    experiment = text_experiment
    if twin != "epsilon":
        experiment = text_experiments.prepared(replace(text_experiment, base=text_experiments.SDXL))
    artifact = unlearned(experiment)
    folder = save_pipeline(artifact, experiment, tmp_path / "saved")
    pipeline = theirs(folder, experiment)
    ours = drawn_by_ours(experiment, artifact, 7)
    torch.testing.assert_close(drawn_by_theirs(pipeline, experiment, 7), ours, rtol=0, atol=1e-4)
    base = Store(experiment.store).get(model_key(experiment, "base"))
    assert not torch.allclose(ours, drawn_by_ours(experiment, base, 7), atol=1e-3)
    assert pipeline(["three, neon"] * 2, num_inference_steps=2).images[1].size == (16, 16)
    card = (folder / "README.md").read_text()
    for said in (
        "forget `concept:three` of `digits_styled` by `dimum`",
        "ddim-2-cfg5",
        type(pipeline).__name__,
        "three",
    ):
        assert said in card
    code = card.partition("```python\n")[2].partition("```")[0].replace("this folder", str(folder))
    drawn: dict[str, Any] = {}
    exec(code, drawn)
    assert [image.size for image in drawn["images"]] == [(16, 16)] * 2


def test_what_was_saved_can_be_a_base_model_and_is_saved_with_its_encoders_again(
    text_experiment: Experiment, tmp_path: Path
) -> None:
    folder = save_whole(text_experiment, "retrain", tmp_path / "saved", "## What was measured\n\nNothing.\n")
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: text-to-image" in card and "Nothing." in card
    clip = CLIPModel.from_pretrained(folder / "clip", local_files_only=True)
    tokens = CLIPTokenizer.from_pretrained(folder / "clip", local_files_only=True)(["three, neon"], return_tensors="pt")
    text_half = theirs(folder, text_experiment).text_encoder
    assert torch.equal(clip.text_model(**tokens).pooler_output, text_half(**tokens).pooler_output)
    image = torch.full((3, 16, 16), 255, dtype=torch.uint8)
    pixels = CLIPImageProcessor.from_pretrained(folder / "clip")(image, return_tensors="pt").pixel_values
    assert torch.equal(pixels, torch.ones(1, 3, 16, 16)), "as it was trained: within [-1, 1], of their own size"

    base = hashed(fitted(read_pipeline(str(folder)), text_experiment.dataset))
    again = replace(text_experiment, base=base, store=str(tmp_path / "store"))
    artifact = Store(text_experiments.prepared(again).store).get(model_key(again, "base"))
    control = Store(text_experiment.store).get(model_key(text_experiment, "retrain"))
    torch.testing.assert_close(
        drawn_by_ours(again, artifact, 3), drawn_by_ours(text_experiment, control, 3), rtol=0, atol=1e-4
    )
    exported = save_pipeline(artifact, again, tmp_path / "exported")
    torch.testing.assert_close(
        drawn_by_theirs(theirs(exported, text_experiment), again, 3),
        drawn_by_ours(again, artifact, 3),
        rtol=0,
        atol=1e-4,
    )


def test_the_judge_says_how_often_prompts_are_obeyed(text_experiment: Experiment) -> None:
    data, n = text_experiment.dataset, 330
    base, control = obeyed(text_experiment, "base", n, 0), obeyed(text_experiment, "retrain", n, 0)
    assert [one.facet for one in base] == ["concept", "style"] and all(0 <= one.judge <= 1 for one in base)
    assert [(one.n, one.without) for one in base] == [(n, None)] * 2
    threes = sum(data.facets[0].shown[row % 300] == 3 for row in range(n))
    assert [one.n for one in control] == [n - threes] * 2 and control[0].without is not None
    rows = torch.arange(n) % 300
    model = load_model(Store(text_experiment.store).get(model_key(text_experiment, "base")), text_experiment.device)
    images = decoded(Workbench(text_experiment), generate(text_experiment, model, rows, stream(0, "obeyed")))
    said = verdicts(classifier_of(Workbench(text_experiment)), images).labels
    for number, one in enumerate(base):
        asked = torch.tensor(data.facets[number].shown)[rows]
        assert (asked != NOTHING).all()
        assert one.shown == pytest.approx(float((said[:, number] == asked).float().mean()))
        assert f"{one.facet}: {one.shown:.1%} of {n} samples" in one.text


def test_how_many_steps_fit_is_measured_once(text_experiment: Experiment) -> None:
    steps = steps_in(text_experiment, 1.0)
    assert steps > 100 and steps_in(text_experiment, 1.0) == steps
    assert steps_in(text_experiment, 2.0) == pytest.approx(2 * steps, abs=1)
    assert steps_in(text_experiment, 1e-9) == 1
    xl = replace(text_experiment, base=text_experiments.SDXL)
    assert steps_in(xl, 1.0) > 100
