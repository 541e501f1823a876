"""DiMUM: Diffusion Model Unlearning by Memorization (arXiv 2512.03564).

    L(θ) = λ_r · DSM(θ; D_r) + λ_m · E_{x ~ q_alt} ‖ε - ε_θ(x_t, t, c_f)‖²

The forgotten condition c_f is trained on replacement data q_alt with the ordinary denoising loss, which is bounded below,
so training converges where pushing a loss up would not. The paper's own equations could not be read: this is a
reconstruction from its abstract and from descriptions of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DModel

from trainables.diffusion import Loss, denoising_loss
from trainables.replacement import REPLACEMENTS
from trainables.unlearning import FineTuningSettings, Problem, balance, mixture_weights, register, split_batch

# Replacement images are part of what is learned, so they are the same for every training seed of one setting.
_REPLACEMENT_SEED = 0


@dataclass(frozen=True)
class DiMUM(FineTuningSettings):
    """Settings of DiMUM; only the ratio of the two weights is free."""

    replacement: str = "class_nearest"  # q_alt: a name of trainables.replacement
    replacement_images: int = 32  # size of q_alt; one_image, class_mean and blank have one image whatever it says
    lambda_ratio: float = 1.0  # λ_m / λ_r
    forget_share: float = 0.25  # share of each batch that is replacement data
    condition_dropout: float = 0.0  # probability that a retained image's condition becomes the null condition

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.replacement not in REPLACEMENTS:
            raise ValueError(f"replacement {self.replacement!r} is none of {', '.join(REPLACEMENTS)}")
        if self.replacement_images < 1:
            raise ValueError(f"replacement_images must be at least 1, not {self.replacement_images}")


@register("dimum", DiMUM)
def loss(problem: Problem, settings: DiMUM) -> Loss:
    """L(θ) over a batch that holds `forget_share` replacement images; both terms share one forward pass."""
    device = problem.device.name
    chosen = REPLACEMENTS[settings.replacement]
    replacement = chosen(problem, settings.replacement_images, torch.Generator().manual_seed(_REPLACEMENT_SEED)).to(
        device
    )
    retain_images, retain_conditions = problem.retain.images.to(device), problem.retain.conditions.to(device)
    memorized = split_batch(settings.batch, settings.forget_share)
    kept = settings.batch - memorized
    lambda_m, lambda_r = balance(settings.lambda_ratio)
    weights = mixture_weights(memorized, kept, lambda_m, lambda_r).to(device)

    def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        x_alt = replacement[torch.randint(len(replacement), (memorized,), generator=generator).to(device)]
        index = torch.randint(len(retain_images), (kept,), generator=generator).to(device)
        dropped = torch.rand(kept, generator=generator) < settings.condition_dropout
        kept_conditions = retain_conditions[index].masked_fill(dropped.to(device), problem.null_condition)
        forgotten = torch.full((memorized,), problem.condition, device=device)
        images = torch.cat([x_alt, retain_images[index]])
        return denoising_loss(
            model, problem.schedule, images, torch.cat([forgotten, kept_conditions]), generator, weights
        )

    return step
