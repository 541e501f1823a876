"""A text-to-image model that is trained here, from nothing: a VAE and a CLIP first, then a U-Net on latents and their captions.

    VAE → latents ┐
    CLIP → prompts┴→ U-Net: θ₀ of everything, θ* of the retain set

θ* is another U-Net beside θ₀'s VAE, CLIP and tokenizer: these have seen what θ* is not to know, but they are no part of what
unlearns, and an attacker has them of every unlearned model.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from trainables.data import Dataset, Images
from trainables.denoisers.clip import load_clip, load_tokenizer, text_encoder, text_encoder_with_projection
from trainables.denoisers.models import dropout_loss, model_facts
from trainables.denoisers.prompts import Prompts, load_prompts
from trainables.denoisers.text_to_image import TextToImage
from trainables.denoisers.text_unet import TextUNet
from trainables.denoisers.weights import weights_of
from trainables.diffusion import stratified_timesteps
from trainables.fine_tuning import FineTuning, Optimisation
from trainables.relearning.experiment import Experiment
from trainables.relearning.origins import LATENTS, PROMPTS, VAE, Wanted, goes_with, register
from trainables.relearning.origins._latents import latents_key, make_latents
from trainables.relearning.origins._recipe import text_to_image_recipe
from trainables.relearning.origins._resumable import trained_in
from trainables.relearning.origins._trained_clip import CLIPS, clip_key, make_clip, make_prompts, prompts_key
from trainables.relearning.origins._trained_vae import make_vae, vae_key
from trainables.running.products import Product
from trainables.store import Artifact, Store
from trainables.training.device import Device


def parts(experiment: Experiment) -> Mapping[str, Product]:
    """What the U-Net is made of; the VAE comes first, for it takes longest."""
    e, recipe = experiment, text_to_image_recipe(experiment)
    made = [Product(VAE, partial(vae_key, e), partial(make_vae, e), steps=recipe.vae.train_steps)]
    for number, clip in enumerate(recipe.clips):
        arguments = (e, clip, number)
        made.append(
            Product(
                CLIPS[number], partial(clip_key, *arguments), partial(make_clip, *arguments), steps=clip.train_steps
            )
        )
    made.append(Product(PROMPTS, partial(prompts_key, e), partial(make_prompts, e), CLIPS[: len(recipe.clips)]))
    vae = partial(vae_key, e)
    made.append(Product(LATENTS, partial(latents_key, e, vae), partial(make_latents, e, vae), (VAE,)))
    return {product.name: product for product in made}


def text_run(
    recipe: TextToImage, dataset: Dataset, prompts: Prompts, latents: Images, seed: int, device: Device
) -> FineTuning:
    """The run that trains a U-Net on latents (N, C, H, W), whose conditions are rows of `prompts`."""
    torch.manual_seed(seed)  # the weights' initialisation draws from the global generator
    model = device.place(TextUNet(**recipe.config(dataset)))
    model.prompts = prompts.to(device.name)
    loss = dropout_loss(recipe, latents, dataset.conditions, device, timesteps=stratified_timesteps)
    how = Optimisation(recipe.learning_rate, recipe.train_steps, ema_decay=recipe.ema_decay, schedule="one-cycle")
    return FineTuning(model, loss, how, seed, device)


def encoders(experiment: Experiment, artifact: Artifact | None) -> tuple[list[Any], list[Any]]:
    """(tokenizers, text encoders) that were trained here, of one CLIP or of two."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of megabytes
    if artifact is not None and CLIPS[0] in artifact.named_with:
        clips = [artifact.store.get(artifact.key_read_with(name)) for name in CLIPS if name in artifact.named_with]
    else:
        store, made = Store(experiment.store), parts(experiment)
        clips = [store.get(made[name].key()) for name in CLIPS if name in made]
    models = [load_clip(clip) for clip in clips]
    of_text = [text_encoder(models[0]), *map(text_encoder_with_projection, models[1:])]
    return [load_tokenizer(clip) for clip in clips], of_text


@register("text_to_image", parts, encoders)
def train(wanted: Wanted) -> Artifact:
    """The U-Net, trained on the latents of its images and on their prompts by the experiment's recipe and seed."""
    experiment, key = wanted.experiment, wanted.key
    store, recipe = Store(experiment.store), text_to_image_recipe(experiment)
    prompts, latents = load_prompts(store.get(prompts_key(experiment))), wanted.images()
    run = text_run(recipe, experiment.dataset, prompts, latents, experiment.base_seed, experiment.device)
    made = trained_in(store, key, run)
    facts = model_facts(run.model, recipe, goes_with(wanted)) | {"which": wanted.which, "images": len(latents)} | made
    artifact = store.put(key, "model", facts, weights_of(run.trained()))
    store.drop_partial(key)
    return artifact
