"""Membership audits: does a model still betray what it was trained on? One file each, all ``(Audited) -> {name: figure}``.

Unlike a metric, an audit needs the model itself. Every registered audit runs where samples of all conditions are scored:
before the attack, and after its last step. An audit whose inputs are missing leaves its figures out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DModel

from trainables.data import Images
from trainables.diffusion import Device
from trainables.metrics import Figures
from trainables.registry import Registry


@dataclass(frozen=True)
class Shadows:
    """What shadow models say of the audited images: `losses` and `trained_on` (S, N), members first, then strangers."""

    losses: np.ndarray
    trained_on: np.ndarray


@dataclass(frozen=True)
class Audited:
    """A model under audit. `members` is the forget set, `strangers` images of the same kind that no model was trained on."""

    model: UNet2DModel
    schedule: DDIMScheduler
    members: Images
    strangers: Images
    device: Device
    shadows: Shadows | None = None


AUDITS: Registry[Callable[[Audited], Figures]] = Registry("audit", __name__)


def register(name: str) -> Callable:
    """Register a function ``(Audited) -> {name: figure}``."""
    return AUDITS.decorator(name, lambda audit: audit)


def audit(audited: Audited) -> Figures:
    """Every registered audit's figures."""
    figures: Figures = {}
    for name in AUDITS.names():
        figures |= AUDITS[name](audited)
    return figures


@torch.inference_mode()
def image_losses(
    model: UNet2DModel, schedule: DDIMScheduler, images: Images, device: Device, draws: int = 20, batch: int = 512
) -> np.ndarray:
    """(N,) each image's denoising loss under its own condition, a mean over `draws` fixed timesteps and noises.

    Timesteps are spread evenly and every image meets the same ones; noise depends on the draw alone, so that two models'
    losses of one image, and two images' of one model, differ by nothing else.
    """
    from trainables.diffusion import predict

    model.eval()
    horizon = schedule.config["num_train_timesteps"]
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((draws, *images.images.shape[1:]), generator=generator)
    losses = []
    for start in range(0, len(images), batch):
        part = images.where(torch.arange(start, min(start + batch, len(images)))).to(device.name)
        total = torch.zeros(len(part), device=device.name)
        for i in range(draws):
            timesteps = torch.full((len(part),), int((i + 0.5) * horizon / draws), device=device.name)
            epsilon = noise[i].to(device.name).expand_as(part.images)
            with device.autocast():
                predicted = predict(
                    model, schedule.add_noise(part.images, epsilon, timesteps), timesteps, part.conditions
                )
            total += (predicted - epsilon).square().mean(dim=(1, 2, 3))
        losses.append(total / draws)
    return torch.cat(losses).double().cpu().numpy()
