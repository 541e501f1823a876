"""Models saved as pipelines: stock diffusers loads and samples them, and they come back as the models they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pipelines
import pytest
import torch
from diffusers import DDIMPipeline, DiTPipeline, UNet2DModel
from taken_pipelines import experiment_on, taken

from trainables.denoisers.dit import load_vae
from trainables.denoisers.imported import imported_model
from trainables.denoisers.models import AttributeEmbedding, load_model
from trainables.denoisers.recipes import BaseModel
from trainables.diffusion import predict
from trainables.relearning.experiment import Experiment
from trainables.relearning.export import pipeline_of, save_pipeline
from trainables.relearning.products import make_imported, make_model, model_key, vae_key
from trainables.relearning.products.generated import generate
from trainables.store import Artifact, Store


def noise_of(experiment: Experiment, n: int) -> torch.Tensor:
    return torch.randn((n, *experiment.model_shape), generator=torch.Generator().manual_seed(7))


@torch.no_grad()
def stock_samples(model: torch.nn.Module, scheduler: object, noise: torch.Tensor, conditions: torch.Tensor, steps: int):  # type: ignore[no-untyped-def]
    """Written as the saved card says, with nothing of ours."""
    scheduler.set_timesteps(steps)  # type: ignore[attr-defined]
    x = noise
    for t in scheduler.timesteps:  # type: ignore[attr-defined]
        epsilon = model(x, t.expand(len(x)), class_labels=conditions).sample[:, : x.shape[1]]
        x = scheduler.step(epsilon, t, x).prev_sample  # type: ignore[attr-defined]
    return x


def unlearned(experiment: Experiment, artifact: Artifact) -> Artifact:
    """The base model under another key, as an unlearning stage would leave it."""
    facts = artifact.facts | {"method": "dimum", "settings": {"steps": 4, "learning_rate": 1e-3}, "seed": 2}
    return Store(experiment.store).put("a" * 64, "unlearned", facts, artifact.tensors())


def test_a_saved_model_is_a_stock_pipeline_that_makes_the_same_images(experiment: Experiment, tmp_path: Path) -> None:
    artifact = unlearned(experiment, Store(experiment.store).get(model_key(experiment, "base")))
    folder = save_pipeline(artifact, experiment, tmp_path / "saved")
    pipeline = DDIMPipeline.from_pretrained(folder, use_safetensors=True)
    conditions = torch.tensor([0, 3, 10])
    ours = generate(experiment, load_model(artifact, experiment.device), conditions, seed=7)
    theirs = stock_samples(pipeline.unet.eval(), pipeline.scheduler, noise_of(experiment, 3), conditions, 4)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
    assert not list(folder.rglob("*.bin"))
    card = (folder / "README.md").read_text()
    for said in ("forget `3` of `digits` by `dimum`", "| seed | 2 |", "| setting learning_rate | 0.001 |", "ddim-4"):
        assert said in card
    assert make_imported(experiment, taken(folder)).tensors().keys() == artifact.tensors().keys()


def test_the_cards_own_lines_draw_samples(experiment: Experiment, tmp_path: Path) -> None:
    artifact = Store(experiment.store).get(model_key(experiment, "retrain"))
    folder = save_pipeline(artifact, experiment, tmp_path / "saved")
    card = (folder / "README.md").read_text()
    assert "retrain model" in card and "nothing was unlearned" in card
    code = card.partition("```python\n")[2].partition("```")[0].replace("this folder", str(folder))
    drawn: dict = {}
    exec(code, drawn)
    assert drawn["x"].shape == (4, 1, 8, 8) and drawn["x"].abs().max() <= 1


@pytest.mark.parametrize(
    "how", [{"guidance": 2.0}, {"image_sampler": "dpm-solver++"}, {"image_sampler": "dpm-solver++", "guidance": 1.5}]
)
def test_the_cards_own_lines_draw_as_it_was_measured(experiment: Experiment, tmp_path: Path, how: dict) -> None:
    measured = replace(experiment, **how)
    artifact = Store(experiment.store).get(model_key(experiment, "base"))
    folder = save_pipeline(artifact, measured, tmp_path / "saved")
    code = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    drawn: dict = {}
    torch.manual_seed(7)
    exec(code.replace("this folder", str(folder)), drawn)
    ours = generate(measured, load_model(artifact, measured.device), torch.zeros(4, dtype=torch.int64), seed=7)
    torch.testing.assert_close(drawn["x"].clamp(-1, 1), ours.clamp(-1, 1), rtol=0, atol=1e-4)


def test_a_model_of_attributes_is_saved_as_a_table_and_gets_its_embedding_back(tmp_path: Path) -> None:
    experiment = Experiment(
        str(tmp_path / "store"),
        "digits_attributes",
        "attribute:loop",
        BaseModel(channels=(8, 8), train_steps=2, batch=8),
    )
    artifact = make_model(experiment, "base")
    folder = save_pipeline(artifact, experiment, tmp_path / "saved")
    stock, ours = UNet2DModel.from_pretrained(folder, subfolder="unet").eval(), load_model(artifact, experiment.device)
    assert stock.config["num_class_embeds"] == 9
    codes, x = torch.arange(9), torch.randn(9, 1, 8, 8)
    with torch.no_grad():
        expected = predict(ours, x, torch.tensor(300), codes)
        torch.testing.assert_close(stock(x, 300, class_labels=codes).sample, expected)
        again = imported_model(taken(folder, "digits_attributes"), experiment.dataset)
        assert isinstance(again.class_embedding, AttributeEmbedding)
        torch.testing.assert_close(predict(again, x, torch.tensor(300), codes), expected)
        stock.class_embedding.weight[5] += 1
    pipelines.save_ddim(tmp_path / "other", stock)
    other = imported_model(taken(tmp_path / "other", "digits_attributes"), experiment.dataset)
    assert isinstance(other.class_embedding, torch.nn.Embedding), "a table that no embedding of attributes could be"


def test_a_dit_is_saved_with_its_vae_and_diffusers_samples_it(tmp_path: Path) -> None:
    pipelines.save_dit(tmp_path / "theirs")
    experiment = experiment_on(taken(tmp_path / "theirs"), tmp_path / "store")
    artifact = make_model(experiment, "base")
    folder = save_pipeline(artifact, experiment, tmp_path / "saved")
    pipeline = DiTPipeline.from_pretrained(folder, use_safetensors=True)
    conditions = torch.tensor([1, 10])
    ours = generate(experiment, load_model(artifact, experiment.device), conditions, seed=7)
    theirs = stock_samples(pipeline.transformer, pipeline.scheduler, noise_of(experiment, 2), conditions, 2)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline([3, 4], guidance_scale=1.0, num_inference_steps=2, output_type="pt").images.shape == (2, 1, 8, 8)
    assert make_model(replace(experiment, base=taken(folder)), "base").key, "what was saved can be a base model again"


def test_a_folder_that_is_taken_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "something").write_text("")
    with pytest.raises(ValueError, match="not an empty folder"):
        save_pipeline(Store(experiment.store).get(model_key(experiment, "base")), experiment, tmp_path)
    assert json.dumps([p.name for p in tmp_path.iterdir()]) == '["something"]'


def test_what_fails_in_the_midst_leaves_no_folder(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        save_pipeline(
            Store(experiment.store).get(model_key(experiment, "base")), experiment, tmp_path / "deep" / "model"
        )
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_text_model_is_saved_by_other_code_than_made_it(
    text_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sidecar names its VAE and its CLIP: their keys, which code is part of, are not asked for anew."""
    artifact = Store(text_experiment.store).get(model_key(text_experiment, "base"))
    made = vae_key(text_experiment)
    for module in ("_trained_vae", "_trained_clip"):
        monkeypatch.setattr(f"trainables.relearning.origins.{module}.code_version", lambda *_: "other code")
    assert vae_key(text_experiment) != made, "the test can fail"
    pipeline = pipeline_of(artifact, text_experiment)
    vae = load_vae(Store(text_experiment.store).get(made), "cpu")
    assert all(torch.equal(value, vae.state_dict()[name]) for name, value in pipeline.vae.state_dict().items())
    assert pipeline.tokenizer("a photo").input_ids and pipeline.text_encoder.config.hidden_size == 16
