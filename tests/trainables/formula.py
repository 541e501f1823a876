"""What the literal transcriptions of published formulas share: ᾱ_t, x_t and ε, written out and in float64."""

from __future__ import annotations

from dataclasses import replace

import torch
from diffusers import UNet2DModel

from trainables.data import Images
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.products.models import model_of
from trainables.unlearning import Problem


def start(bench: Workbench) -> UNet2DModel:
    """A fresh copy of θ₀, to be trained."""
    return model_of(bench, model_key(bench.experiment, "base"))


def in_float64(problem: Problem) -> Problem:
    """The same problem with images in float64; θ₀ too."""
    forget, retain = (Images(s.images.double(), s.conditions) for s in (problem.forget, problem.retain))
    base = UNet2DModel(**{k: v for k, v in problem.base.config.items() if not k.startswith("_")}).double().eval()
    base.load_state_dict(problem.base.state_dict())
    base.requires_grad_(False)
    shared = {name: {k: v.double() for k, v in tensors.items()} for name, tensors in problem.shared.items()}
    return replace(
        problem,
        base_model=lambda: base,
        forget=forget,
        retain=retain,
        shared=shared,
        features=lambda images: problem.features(images.float()),
        generated=lambda condition, n: problem.generated(condition, n).double(),
    )


def alpha_bar(t: torch.Tensor) -> torch.Tensor:
    """ᾱ_t (B, 1, 1, 1) of the linear schedule."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0).double()[t][:, None, None, None]


def noised(images: torch.Tensor, epsilon: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """x_t = √ᾱ_t x + √(1 - ᾱ_t) ε."""
    return alpha_bar(t).sqrt() * images + (1 - alpha_bar(t)).sqrt() * epsilon


def epsilon_of(model: UNet2DModel, x_t: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """ε_θ(x_t, t, c)."""
    return model(x_t, t, class_labels=c).sample
