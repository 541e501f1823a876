"""A small VAE, trained here: diffusers' `AutoencoderKL` (Rombach et al. 2022, arXiv 2112.10752) without its adversarial part.

    L(φ, ψ) = ‖x − D_ψ(z)‖² + w · KL(q_φ(z | x) ‖ N(0, 1)),   z ~ q_φ(z | x),   both means over elements

Its latents are scaled by 1 / σ, σ their standard deviation over the training set, and its configuration says so: whoever reads the
VAE scales as the denoiser was trained.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from trainables.data import Images
from trainables.denoisers.dit import encode
from trainables.denoisers.text_to_image import VaeRecipe
from trainables.fine_tuning import FineTuning, Optimisation
from trainables.training.device import Device

SCALED_BY = 2048  # images


def vae_run(recipe: VaeRecipe, images: Images, seed: int, device: Device) -> FineTuning:
    """The run that trains a VAE on images (N, C, H, W) in [-1, 1]."""
    torch.manual_seed(seed)  # the weights' initialisation draws from the global generator
    vae = device.place(AutoencoderKL(**recipe.config(images.shape)))  # type: ignore[arg-type]
    data = images.to(device.name)

    def loss(model: AutoencoderKL, generator: torch.Generator) -> torch.Tensor:
        return reconstruction_loss(model, data.draw(recipe.batch, generator).images, recipe.kl_weight, generator)

    how = Optimisation(recipe.learning_rate, recipe.train_steps, schedule="one-cycle")
    return FineTuning(vae, loss, how, seed, device)


def reconstruction_loss(
    vae: AutoencoderKL, images: torch.Tensor, kl_weight: float, generator: torch.Generator
) -> torch.Tensor:
    """‖x − D(z)‖² + w · KL for images (B, C, H, W); the noise of z comes from the CPU generator."""
    posterior = vae.encode(images).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator).to(posterior.mean)
    decoded = vae.decode(posterior.mean + posterior.std * noise).sample
    kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
    return F.mse_loss(decoded, images) + kl_weight * kl


def set_scale(vae: AutoencoderKL, images: Images) -> float:
    """Write 1 / σ of the latents of images into the VAE's configuration as its scaling factor, and return it.

    Of many images `SCALED_BY`, evenly spaced, are looked at.
    """
    vae.register_to_config(scaling_factor=1.0)
    some = images.where(torch.arange(0, len(images), math.ceil(len(images) / SCALED_BY)))
    factor = 1 / float(torch.cat([encode(vae, part) for part in some.parts()]).std())
    vae.register_to_config(scaling_factor=factor)
    return factor


@torch.inference_mode()
def squared_error(vae: AutoencoderKL, images: Images) -> float:
    """‖x − D(E(x))‖², a mean over elements: what the VAE loses of images in [-1, 1]."""
    device = next(vae.parameters()).device
    total = 0.0
    for part in images.parts(256):
        here = part.to(device)
        decoded = vae.decode(vae.encode(here).latent_dist.mode()).sample
        total += float(F.mse_loss(decoded, here)) * len(part)
    return total / len(images)
