"""Images as the base model's denoiser takes them: themselves, or latents of them by its VAE."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL

from trainables.data import Images, Splits
from trainables.denoisers.dit import decode, load_vae
from trainables.denoisers.latents import encoded_images
from trainables.relearning.origins import LATENTS, parts_of
from trainables.relearning.products.images import splits_of, strangers_of
from trainables.relearning.products.models import splits_trained_on, vae_key
from trainables.relearning.workbench import Workbench, kept


@kept
def vae_of(bench: Workbench) -> AutoencoderKL:
    return load_vae(bench.store.get(vae_key(bench.experiment)), bench.experiment.device.name)


def encoded(bench: Workbench, images: Images) -> Images:
    """Images as the denoiser takes them: of a model of pixels, themselves."""
    if not bench.experiment.in_latents:
        return images
    return encoded_images(vae_of(bench), images)


def decoded(bench: Workbench, samples: torch.Tensor) -> torch.Tensor:
    """The images (N, C, H, W) in [-1, 1] that a denoiser's samples stand for."""
    return decode(vae_of(bench), samples) if bench.experiment.in_latents else samples.clamp(-1, 1)


@kept
def encoded_splits_of(bench: Workbench) -> Splits:
    """The splits as the denoiser takes them."""
    splits = splits_of(bench)
    if not bench.experiment.in_latents:
        return splits
    if LATENTS in parts_of(bench.experiment):
        return splits_trained_on(bench.experiment)
    return Splits(*(encoded(bench, part) for part in (splits.train, splits.public, splits.test)))


@kept
def encoded_sets_of(bench: Workbench) -> tuple[Images, Images]:
    """(forget set, retain set) as the denoiser takes them. Which image is forgotten, its pixels say; unseen ones are in neither."""
    forgetting = bench.experiment.forgetting
    forgotten = forgetting.mask(splits_of(bench).train)
    train = encoded_splits_of(bench).train
    return train.where(forgotten), train.where(~forgotten & ~forgetting.unseen(train.conditions))


@kept
def encoded_strangers_of(bench: Workbench) -> Images:
    return encoded(bench, strangers_of(bench))
