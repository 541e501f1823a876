"""Partly denoised images written out: one image and one DDIM step at a time, in float64."""

from __future__ import annotations

import torch
from diffusers import UNet2DModel
from formula import alpha_bar, epsilon_of


@torch.no_grad()
def literal_chains(
    model: UNet2DModel,
    conditions: torch.Tensor,
    steps: int,
    guidance: float,
    generator: torch.Generator,
    *,
    null: int = 10,
    channels: int = 1,
    velocity: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(x_t, t) of 8×8 images, from the draws of `trainables.unlearning._partial_denoising`, by a model that predicts ε or v."""
    n, span = len(conditions), 1000 // steps
    noise = torch.randn(n, channels, 8, 8, generator=generator).double()
    behind = torch.randint(steps, (n,), generator=generator)
    within = torch.randint(span, (n,), generator=generator)
    bars = alpha_bar(torch.arange(1000)).flatten()
    images = []
    for image in range(n):
        x, c = noise[image : image + 1], conditions[image : image + 1]
        for i in range(int(behind[image])):
            now = torch.tensor([1000 - (i + 1) * span])
            a, a_next = bars[now], bars[now - span]
            unconditional = epsilon_of(model, x, now, torch.tensor([null]))
            epsilon = unconditional + guidance * (epsilon_of(model, x, now, c) - unconditional)
            if velocity:
                epsilon = a.sqrt() * epsilon + (1 - a).sqrt() * x
            x_0 = ((x - (1 - a).sqrt() * epsilon) / a.sqrt()).clamp(-1, 1)
            x = a_next.sqrt() * x_0 + (1 - a_next).sqrt() * epsilon
        images.append(x)
    return torch.cat(images), 1000 - (behind + 1) * span + within
