"""The small text-to-image model: every product of it made in seconds, θ* of the retain set, and a run that was stopped the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from text_experiments import SDXL, TINY, experiment_of

from trainables.denoisers.models import load_model
from trainables.denoisers.text_to_image import text_to_image_from
from trainables.denoisers.text_unet import TextUNet
from trainables.diffusion import predict
from trainables.relearning.experiment import Experiment, TrialSpec, experiment_from_json
from trainables.relearning.origins import LATENTS, PROMPTS, VAE, _resumable, parts_of
from trainables.relearning.products import Workbench, make_model, model_key, vae_key
from trainables.relearning.products.generated import generate
from trainables.relearning.products.latents import decoded, encoded_sets_of, encoded_splits_of, vae_of
from trainables.relearning.shared_products import make_again, products_of
from trainables.running.products import waves
from trainables.store import Store


def test_the_recipe_is_plain_values_that_come_back() -> None:
    for recipe in (TINY, SDXL):
        assert text_to_image_from(json.loads(json.dumps(recipe.identity))) == recipe
        experiment = experiment_of(recipe, Path("store"))
        assert experiment_from_json(json.loads(json.dumps(asdict(experiment)))) == experiment


def test_the_graph_says_what_each_product_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = experiment_of(replace(SDXL, train_steps=1), tmp_path)
    whole = products_of(experiment, ["saliency"])
    assert whole["shared saliency"].needs == ("base model", PROMPTS, LATENTS)
    graph = {name: whole[name] for name in (*parts_of(experiment), "base model", "retrain control")}
    names = {product.key(): name for name, product in graph.items()}
    read: set[str] = set()
    get = Store.get

    def spied(self: Store, key: str) -> Any:
        read.add(names[key])
        return get(self, key)

    monkeypatch.setattr(Store, "get", spied)
    for wave in waves(graph):
        for product in wave:
            read.clear()
            product.make()
            assert read - {product.name} == set(product.needs), product.name
    facts = {name: Store(experiment.store).find(product.key()).facts for name, product in graph.items()}  # type: ignore[union-attr]
    assert facts["base model"]["prediction"] == "v_prediction" and facts["second CLIP"]["clip"] != facts["CLIP"]["clip"]


def test_the_control_has_the_parts_of_the_base_model_and_is_trained_on_what_is_retained(
    text_experiment: Experiment,
) -> None:
    store = Store(text_experiment.store)
    models = [store.get(model_key(text_experiment, which)) for which in ("base", "retrain")]
    assert {model.key_read_with(PROMPTS) for model in models} == {parts_of(text_experiment)[PROMPTS].key()}
    base, control = (model.facts for model in models)
    train = text_experiment.splits().train
    threes = int(text_experiment.forgetting.mask(train).sum())
    assert 0.05 < threes / len(train) < 0.2
    assert (base["images"], control["images"]) == (len(train), len(train) - threes)
    other = replace(text_experiment, forget="style:sketch")
    assert model_key(other, "base") == model_key(text_experiment, "base") and vae_key(other) == vae_key(text_experiment)
    assert model_key(other, "retrain") != model_key(text_experiment, "retrain")


def test_keys_know_the_recipes_of_what_a_model_is_made_of_and_no_more(text_experiment: Experiment) -> None:
    parts = {name: part.key() for name, part in parts_of(text_experiment).items()}
    longer = replace(text_experiment, base=replace(TINY, train_steps=4))
    assert {name: part.key() for name, part in parts_of(longer).items()} == parts
    assert model_key(longer, "base") != model_key(text_experiment, "base")
    other_vae = parts_of(replace(text_experiment, base=replace(TINY, vae=replace(TINY.vae, kl_weight=1e-4))))
    assert {name for name, part in other_vae.items() if part.key() != parts[name]} == {VAE, LATENTS}
    assert parts_of(replace(text_experiment, base_seed=1))["CLIP"].key() != parts["CLIP"]


def test_trials_get_the_latents_that_the_model_was_trained_on(text_experiment: Experiment) -> None:
    bench = Workbench(text_experiment)
    forget, retain = encoded_sets_of(bench)
    splits, pixels = encoded_splits_of(bench), text_experiment.splits()
    assert len(forget) + len(retain) == len(splits.train) and splits.train.shape == text_experiment.model_shape == (
        4,
        8,
        8,
    )
    assert [len(s) for s in vars(splits).values()] == [len(s) for s in vars(pixels).values()]
    assert torch.equal(splits.public.conditions, pixels.public.conditions)
    some = torch.arange(20)
    posterior = vae_of(bench).encode(pixels.test.batch(some).images).latent_dist
    scaled = posterior.mode() * vae_of(bench).config["scaling_factor"]
    torch.testing.assert_close(splits.test.batch(some).images, scaled, rtol=1e-4, atol=1e-4)


def test_what_it_makes_are_images_and_the_prompt_matters(text_experiment: Experiment) -> None:
    bench, artifact = Workbench(text_experiment), Store(text_experiment.store).get(model_key(text_experiment, "base"))
    model = load_model(artifact, text_experiment.device)
    assert isinstance(model, TextUNet) and len(model.prompts) == 301
    assert model.prompts.context.shape == (301, 16, 16) and torch.isfinite(model.prompts.context).all()
    rows = torch.tensor([0, 299, text_experiment.null_condition])
    assert decoded(bench, generate(text_experiment, model, rows, 0)).shape == (3, 3, 16, 16)
    noise = torch.zeros(3, 4, 8, 8)
    with torch.no_grad():
        told = predict(model, noise, torch.tensor(500), rows)
    assert not torch.equal(told[0], told[1]) and not torch.equal(told[1], told[2])


@pytest.mark.parametrize("name", [VAE, "CLIP", "base model"])
def test_a_run_that_was_stopped_gives_the_same_bits(
    name: str, text_experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Store(text_experiment.store).get(products_of(text_experiment)[name].key()).tensors()
    stopped = replace(text_experiment, store=str(tmp_path))
    store = Store(stopped.store)
    for part in (LATENTS, PROMPTS):
        found = Store(text_experiment.store).get(parts_of(text_experiment)[part].key())
        store.put(found.key, found.kind, found.facts, found.tensors())
    monkeypatch.setattr(_resumable, "CHECKPOINT_SECONDS", -1.0)  # after every step
    save = Store.save_partial

    def save_and_stop(self: Store, key: str, tensors: Any) -> None:
        save(self, key, tensors)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save_partial", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            products_of(stopped)[name].make()
    artifact = products_of(stopped)[name].make()
    assert artifact.facts["resumed_at_step"] == 1
    assert artifact.tensors().keys() == whole.keys()
    assert all(np.array_equal(value, whole[name]) for name, value in artifact.tensors().items())
    assert store.load_partial(artifact.key) is None


def test_a_model_that_is_there_is_found(text_experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "put", lambda *_: pytest.fail("made again"))
    for name in (*parts_of(text_experiment), "base model", "retrain control"):
        products_of(text_experiment)[name].make()
    assert make_model(text_experiment, "base").key == model_key(text_experiment, "base")


def test_a_part_that_was_lost_is_made_again_by_its_key(text_experiment: Experiment, tmp_path: Path) -> None:
    copied = replace(text_experiment, store=str(shutil.copytree(text_experiment.store, tmp_path / "store")))
    spec = TrialSpec("t", 0, copied, "esd", {}, 0, (), (0, 1))
    store = Store(copied.store)
    for part in (PROMPTS, LATENTS):
        key = parts_of(copied)[part].key()
        before = store.get(key).tensors()
        store.delete(key)
        make_again(spec, key)
        again = store.get(key).tensors()
        assert all(np.array_equal(before[name], again[name]) for name in before)


def test_shadow_models_are_trained_on_latents_too(text_experiment: Experiment, tmp_path: Path) -> None:
    folder = shutil.copytree(text_experiment.store, tmp_path / "store")
    copied = replace(text_experiment, store=str(folder), shadow_models=1)
    graph = products_of(copied)
    shadow, losses = graph["shadow-0 model"].make(), graph["shadow losses"].make().tensors()
    train = copied.splits().train
    assert len(train) - int(copied.forgetting.mask(train).sum()) < shadow.facts["images"] < len(train) + 1000
    assert np.isfinite(losses["losses"]).all() and 0.3 < losses["trained_on"].mean() < 0.7
