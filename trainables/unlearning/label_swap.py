"""Label swap: SalUn (Fan et al. 2024, arXiv 2310.12508) without its saliency mask, the plain baseline.

    L(θ) = λ_f · E_{x ~ D_f} ‖ε_θ(x_t, t, c_f) - sg ε_θ(x_t, t, c_alt)‖² + λ_r · DSM(θ; D_r)

On noised images of the forget set the forgotten condition c_f is made to predict what another condition c_alt predicts.
Public code sums the retain term over pixels and averages the other; here both are means over elements.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DModel

from trainables.diffusion import Loss, add_noise, denoising_loss, predict
from trainables.forgetting import Forget
from trainables.unlearning import Footprint, Mixture, Problem, balance, register, retained_batch
from trainables.unlearning._replacement import alternative_conditions, check_alternative


@dataclass(frozen=True)
class LabelSwap(Mixture):
    """Settings of label swap."""

    alternative: str = "class_fixed"  # c_alt: a name of trainables.unlearning._replacement.ALTERNATIVES

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alternative(self.alternative)

    def check_forgets(self, forgetting: Forget) -> None:
        super().check_forgets(forgetting)
        check_alternative(self.alternative, forgetting)


@register("label_swap", LabelSwap, footprint=lambda settings: Footprint(copies=1))
def loss(problem: Problem, settings: LabelSwap) -> Loss:
    """L(θ) over a batch that holds `forget_share` images of the forget set."""
    problem = problem.here()
    swapped, kept = settings.counts
    lambda_f, lambda_r = balance(settings.lambda_ratio)
    alternative = alternative_conditions(problem, settings.alternative)

    def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        x_f = problem.forget.draw(swapped, generator)
        c_alt = alternative(x_f.conditions, generator)
        noised = add_noise(problem.schedule, x_f.images, generator)
        with torch.no_grad():
            target = predict(model, noised.images, noised.timesteps, c_alt)
        swap = noised.loss(model, x_f.conditions, target)

        x_r = retained_batch(problem, kept, settings.condition_dropout, generator)
        keep = denoising_loss(model, problem.schedule, x_r.images, x_r.conditions, generator)
        return lambda_f * swap + lambda_r * keep

    return step
