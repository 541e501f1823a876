"""Selective Amnesia (Heng & Soh 2023, arXiv 2305.10120): noise for what is forgotten, replay and EWC for the rest.

    L(θ) = λ_f · E_{x ~ U[-1,1]} ‖ε - ε_θ(x_t, t, c_f)‖² + λ_r · DSM(θ; replay) + λ · Σ_i F_i (θ_i - θ₀_i)²

c_f is taught images of uniform noise, with λ_f + λ_r = 1; replay are images that θ₀ makes for the retained conditions, and F
is the Fisher diagonal at θ₀ (`trainables.needs.fisher`), so that weights which matter to all conditions stay. Published: γ =
λ_r / λ_f = 1, λ = 10, 20,000 steps of Adam at 1e-4, on sums over the D elements and F from sums over D and over T = 1,000
timesteps. Per element, F is smaller by (D T)² and the losses by D and 2 (λ_f = 1/2), so λ = 10 · D T² / 2: 1.5e10 on 3 × 32 ×
32 images, 3.2e8 on 8 × 8 ones. (Its F is of images in [0, 1], not in [-1, 1].) F here also holds the variance of few noises,
and runs are a hundred times shorter, so the published λ is too strong: `ewc_weight`'s default was tuned. Digits needs it
little (`fid_delta` 5.7 at λ = 1e3 and 1e4, 3.3 at 3e4) and replay much: with 32 generated images a condition it is 61.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from diffusers import UNet2DModel

from trainables.data import Images
from trainables.diffusion import Loss, denoising_loss
from trainables.forgetting import Forget
from trainables.unlearning import (
    Footprint,
    Mixture,
    Problem,
    Tensors,
    balance,
    mixture_weights,
    register,
    retained_batch,
)
from trainables.unlearning._replacement import noise

REPLAYS = ("generated", "retain")


@dataclass(frozen=True)
class SelectiveAmnesia(Mixture):
    """Settings of Selective Amnesia; `lambda_ratio` is λ_f / λ_r = 1 / γ."""

    lambda_ratio: float = 0.15
    ewc_weight: float = 3e4  # λ
    replay: str = "retain"  # the retain set itself; or "generated"
    replay_images: int = 32  # generated ones, of each retained condition

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.replay not in REPLAYS:
            raise ValueError(f"replay {self.replay!r} is none of {', '.join(REPLAYS)}")
        if not 0 <= self.ewc_weight < float("inf"):
            raise ValueError(f"ewc_weight must be finite and not negative, not {self.ewc_weight}")
        if self.replay_images < 1:
            raise ValueError(f"replay_images must be at least 1, not {self.replay_images}")


def footprint(settings: SelectiveAmnesia) -> Footprint:
    """θ₀'s weights; the way from them, of which the penalty's backward pass asks, and a part of its gradient."""
    return Footprint(exact=True, teacher=settings.replay == "generated", copies=1.5)


def drawn(settings: SelectiveAmnesia, forgetting: Forget) -> int:
    """`replay_images` of each retained condition, where those are what is replayed."""
    return settings.replay_images * len(forgetting.retained) if settings.replay == "generated" else 0


@register("selective_amnesia", SelectiveAmnesia, needs=("fisher",), footprint=footprint, drawn=drawn)
def loss(problem: Problem, settings: SelectiveAmnesia) -> Loss:
    """L(θ) over a batch that holds `forget_share` images of noise; all images share one forward pass."""
    fisher, base = problem.shared["fisher"], dict(problem.base.named_parameters())
    remembered = replayed(problem, settings).here()
    problem = problem.here()
    forgotten, kept = settings.counts
    lambda_f, lambda_r = balance(settings.lambda_ratio)
    weights = mixture_weights(forgotten, kept, lambda_f, lambda_r).to(problem.device.name)

    def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        c_f = problem.draw_forgotten(forgotten, generator)
        x_r = retained_batch(remembered, kept, settings.condition_dropout, generator)
        x_f = noise(problem, forgotten, generator).to(x_r.images)
        images, conditions = torch.cat([x_f, x_r.images]), torch.cat([c_f, x_r.conditions])
        mixed = denoising_loss(model, problem.schedule, images, conditions, generator, weights)
        return mixed + settings.ewc_weight * consolidation(model, base, fisher)

    return step


def replayed(problem: Problem, settings: SelectiveAmnesia) -> Problem:
    """The problem with its replay images for a retain set."""
    if settings.replay == "retain":
        return problem
    retained, n = problem.forgetting.retained, settings.replay_images
    images = torch.cat([problem.generated(condition, n) for condition in retained])
    return replace(problem, retain=Images(images, torch.tensor(retained).repeat_interleave(n)))


def consolidation(model: UNet2DModel, base: Tensors, fisher: Tensors) -> torch.Tensor:
    """Σ_i F_i (θ_i - θ₀_i)²: elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796)."""
    parts = [(fisher[n] * (p - base[n]) ** 2).sum() for n, p in model.named_parameters() if p.requires_grad]
    return torch.stack(parts).sum()
