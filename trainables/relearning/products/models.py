"""The base model θ₀ and the retrain control θ*, and the VAE whose latents a base model of latents denoises."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DModel

from trainables.data import Images, Splits
from trainables.data._facets import UNSEEN
from trainables.denoisers.latents import splits_in
from trainables.denoisers.models import load_model
from trainables.denoisers.recipes import Pretrained
from trainables.relearning.experiment import Experiment
from trainables.relearning.origins import LATENTS, ORIGINS, PROMPTS, VAE, Wanted, parts_of
from trainables.relearning.workbench import Workbench, kept
from trainables.store import Artifact, Store, artifact_key, code_version, is_key
from trainables.training.precision import lower


def model_key(experiment: Experiment, which: str) -> str:
    """Key of ``base`` (θ₀) or ``retrain`` (θ*); an imported model is its own key. ValueError where there is no such model.

    θ₀ knows nothing of what will be forgotten, so its key does not either. A text-to-image pipeline's U-Net is copied as it is, and
    of the data its artifact names the prompts alone: whatever images there are of them and wherever it runs, it is copied once.
    """
    if is_key(which):
        return which
    if which not in ("base", "retrain"):
        raise ValueError(f"model {which!r} is neither 'base', 'retrain' nor an artifact's key")
    recipe, parts = experiment.recipe(which), parts_of(experiment)
    if isinstance(recipe, Pretrained) and recipe.on_prompts:
        config: dict[str, Any] = {"recipe": recipe.identity, "which": which}
        parts = {name: parts[name] for name in (VAE, PROMPTS)}
    else:
        config = {
            "data": experiment.data_identity,
            "recipe": recipe.identity,
            "seed": experiment.base_seed,
            "without": experiment.forget if which == "retrain" else None,
            "device": experiment.device_kind,
        }
    inputs = {name: part.key() for name, part in parts.items()}
    if recipe is not experiment.base:  # an imported θ* is sampled by θ₀'s schedule, and decoded by its VAE
        inputs["base"] = model_key(experiment, "base")
    code = code_version(__name__, ORIGINS[recipe.origin].module, experiment.dataset.module)
    return artifact_key("model", config, inputs, code)


def vae_key(experiment: Experiment) -> str:
    """Key of the VAE whose latents the base model denoises: a part of its own, or what came with the model."""
    parts = parts_of(experiment)
    if VAE in parts:
        return parts[VAE].key()
    code = code_version(__name__, ORIGINS[experiment.base.origin].module)
    return artifact_key("vae", {}, {"model": model_key(experiment, "base")}, code)


def make_model(experiment: Experiment, which: str) -> Artifact:
    """θ₀; or θ*: the same recipe and seed on the retain set, so that the forgotten condition's row is never trained.

    A pretrained model is imported instead, its VAE with it.
    """
    store, key = Store(experiment.store), model_key(experiment, which)
    comes_along = which == "base" and experiment.in_latents and VAE not in parts_of(experiment)
    vae = vae_key(experiment) if comes_along else ""
    if (artifact := store.whole(key)) and (not vae or store.whole(vae)):
        return artifact

    def images() -> Images:
        return training_images(experiment, which)

    return ORIGINS[experiment.recipe(which).origin](Wanted(experiment, which, key, images, vae))


def training_images(experiment: Experiment, which: str) -> Images:
    """What a model is trained on, as its denoiser takes it: all but what it is never to have seen, or the retain set."""
    train = splits_trained_on(experiment).train
    if which != "base":
        return experiment.forgetting.split(train)[1]
    unseen = [condition for condition, role in enumerate(experiment.dataset.roles) if role == UNSEEN]
    return train.where(~torch.isin(train.conditions, torch.tensor(unseen))) if unseen else train


def splits_trained_on(experiment: Experiment) -> Splits:
    """The data set's splits as a base model that is trained here takes them: images, or the latents that were made of them."""
    parts = parts_of(experiment)
    if LATENTS not in parts:
        return experiment.splits()
    return splits_in(Store(experiment.store).get(parts[LATENTS].key()))


@kept
def base_of(bench: Workbench) -> UNet2DModel:
    """θ₀, frozen; a trial trains a copy that it loads itself."""
    return model_of(bench, model_key(bench.experiment, "base")).requires_grad_(False)


@kept
def teacher_of(bench: Workbench) -> UNet2DModel:
    """θ₀, frozen, for its predictions alone."""
    return (
        predicting_model_of(bench, model_key(bench.experiment, "base"))
        if bench.experiment.device.in_half
        else base_of(bench)
    )


def predicting_model_of(bench: Workbench, key: str) -> UNet2DModel:
    """The model of an artifact for its predictions alone, loaded anew every time: its weights in bf16 where that is computed in."""
    model = model_of(bench, key).requires_grad_(False)
    return lower(model) if bench.experiment.device.in_half else model


def model_of(bench: Workbench, key: str) -> UNet2DModel:
    """The model of an artifact, loaded anew every time."""
    return load_model(bench.store.get(key), bench.experiment.device)
