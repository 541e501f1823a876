"""NegGrad: gradient ascent on the forget set (Golatkar et al. 2020, arXiv 1911.04933, for classifiers).

    L(θ) = -DSM(θ; D_f)

Unbounded below, and nothing holds the retain set: the only brakes are few steps and a small learning rate.
On digits no setting tried forgets and keeps: 20 steps at 3e-5 leave unlearning accuracy at .047, at 6e-5 reach .17 with a
`fid_delta` of 49, and at 1e-4 .36 with 160 and retain accuracy .84.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DModel

from trainables.diffusion import Loss, denoising_loss
from trainables.forgetting import CONDITIONS, INSTANCES
from trainables.unlearning import FineTuningSettings, Problem, register


@dataclass(frozen=True)
class NegGrad(FineTuningSettings):
    """Settings of NegGrad."""

    learning_rate: float = 1e-4  # Adam's peak: three times less forgets nothing
    steps: int = 20  # the loss has no bottom: more steps only ruin more


@register("neg_grad", NegGrad, forgets=(CONDITIONS, INSTANCES))
def loss(problem: Problem, settings: NegGrad) -> Loss:
    """L(θ) over a batch of the forget set."""
    problem = problem.here()

    def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        x_f = problem.forget.draw(settings.batch, generator)
        return -denoising_loss(model, problem.schedule, x_f.images, x_f.conditions, generator)

    return step
