"""Gradients of θ₀'s denoising loss over any number of images, added up over passes that fit in memory."""

from __future__ import annotations

import torch
from diffusers import UNet2DModel

from trainables.diffusion import Noised, gradient_batch_for
from trainables.training.shared_copy import shared_copy
from trainables.unlearning import Problem


def differentiable_base(problem: Problem) -> UNet2DModel:
    """θ₀ in its own memory, with gradients of its own and, where the device says so, with gradient checkpointing."""
    model = shared_copy(problem.base).requires_grad_(True)
    problem.device.checkpoint(model)
    return model


def add_gradient(model: UNet2DModel, problem: Problem, noised: Noised, conditions: torch.Tensor, of: int) -> None:
    """Add to the model's ``.grad`` what these images have in that of a mean over `of` images.

    They go through in as many passes as it takes: the gradient is that of one pass but for rounding.
    """
    for rows in torch.arange(len(conditions)).split(gradient_batch_for(model, noised.images.shape)):
        here = rows.to(conditions.device)
        with problem.device.autocast():
            loss = noised.where(here).errors(model, conditions[here]).mean()
        (loss * len(rows) / of).backward()
