"""Label swap: SalUn (Fan et al. 2024, arXiv 2310.12508) without its saliency mask, the plain baseline.

    L(θ) = λ_f · E_{x ~ D_f} ‖ε_θ(x_t, t, c_f) - sg ε_θ(x_t, t, c_alt)‖² + λ_r · DSM(θ; D_r)

On noised images of the forget set the forgotten condition c_f is made to predict what another condition c_alt predicts.
Public code sums the retain term over pixels and averages the other; here both are means over elements.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel

from trainables.diffusion import Loss, denoising_loss
from trainables.replacement import conditions_by_distance, next_condition
from trainables.unlearning import FineTuningSettings, Problem, balance, register, split_batch


@dataclass(frozen=True)
class LabelSwap(FineTuningSettings):
    """Settings of label swap; only the ratio of the two weights is free."""

    alternative: str = (
        "class_fixed"  # c_alt: class_fixed, class_nearest or class_farthest, as in trainables.replacement
    )
    lambda_ratio: float = 1.0  # λ_f / λ_r
    forget_share: float = 0.25  # share of each batch that is forget set
    condition_dropout: float = 0.0  # probability that a retained image's condition becomes the null condition

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alternative not in ("class_fixed", "class_nearest", "class_farthest"):
            raise ValueError(f"alternative {self.alternative!r} is none of class_fixed, class_nearest, class_farthest")


@register("label_swap", LabelSwap)
def loss(problem: Problem, settings: LabelSwap) -> Loss:
    """L(θ) over a batch that holds `forget_share` images of the forget set."""
    device = problem.device.name
    forget, retain = problem.forget.images.to(device), problem.retain.images.to(device)
    retain_conditions = problem.retain.conditions.to(device)
    swapped = split_batch(settings.batch, settings.forget_share)
    kept = settings.batch - swapped
    lambda_f, lambda_r = balance(settings.lambda_ratio)
    c_f = torch.full((swapped,), problem.condition, device=device)
    c_alt = torch.full((swapped,), _alternative(problem, settings.alternative), device=device)
    horizon = problem.schedule.config["num_train_timesteps"]

    def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        images = forget[torch.randint(len(forget), (swapped,), generator=generator).to(device)]
        noise = torch.randn(images.shape, generator=generator).to(device)
        timesteps = torch.randint(horizon, (swapped,), generator=generator).to(device)
        noisy = problem.schedule.add_noise(images, noise, timesteps)
        with torch.no_grad():
            target = model(noisy, timesteps, class_labels=c_alt).sample.float()
        swap = F.mse_loss(model(noisy, timesteps, class_labels=c_f).sample.float(), target)

        index = torch.randint(len(retain), (kept,), generator=generator).to(device)
        dropped = torch.rand(kept, generator=generator) < settings.condition_dropout
        conditions = retain_conditions[index].masked_fill(dropped.to(device), problem.null_condition)
        keep = denoising_loss(model, problem.schedule, retain[index], conditions, generator)
        return lambda_f * swap + lambda_r * keep

    return step


def _alternative(problem: Problem, which: str) -> int:
    if which == "class_fixed":
        return next_condition(problem)
    return conditions_by_distance(problem)[0 if which == "class_nearest" else -1]
