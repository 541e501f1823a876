"""VFLGAN's published mechanism (arXiv 2404.09722 and its code): the batch's gradient of one matrix a party, clipped and noised.

    C = 1.5 / B;   g ← g · min(1, C / ‖g‖) + 2 C σ N(0, I),   of each local critic's first weight

g is the gradient of the whole loss, real, made and penalty together. Every other weight of the critics is trained on raw rows, and
the generators learn from all of them: they are no post-processing of what is noised, and amplification by sampling, which the
authors' accounting supposes, is not to be had either, since later gradients depend on earlier batches through those weights. So
its ε is *claimed*, and none is proven. C is no setting: Adam normalises it away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from trainables.federated.critics import Critics
from trainables.federated.generic_bound import claimed_epsilon, noise_claimed_for
from trainables.federated.mechanisms import Batch, Gradients, Plan, Privacy, mean_gradients, register
from trainables.federated.streams import normal_like

CLIP_OF_A_BATCH = 1.5  # C · B
SENSITIVITY = 2  # two values in a ball of radius C


@dataclass(frozen=True)
class PublishedSettings:
    noise_multiplier: float = 1.0  # σ

    def __post_init__(self) -> None:
        if not 0 <= self.noise_multiplier < math.inf:
            raise ValueError(f"noise_multiplier {self.noise_multiplier:g}: must be 0 or a positive, finite number")


def _privacy(settings: PublishedSettings, plan: Plan) -> Privacy:
    noise = settings.noise_multiplier
    claimed = claimed_epsilon(noise, plan.sampling_rate, plan.steps, plan.delta)
    who = "the authors' accounting (arXiv 1808.00087, Theorem 9)"
    return Privacy(None, claimed, plan.delta, noise, plan.sampling_rate, plan.steps, plan.groups, who)


def _calibrated(wanted: float, plan: Plan) -> float:
    return noise_claimed_for(wanted, plan.sampling_rate, plan.steps, plan.delta)


@register(
    "published",
    PublishedSettings,
    privacy=_privacy,
    calibrated=_calibrated,
    released=lambda critics: critics.first_weights,
)
def published(critics: Critics, batch: Batch, settings: PublishedSettings, generator: np.random.Generator) -> Gradients:
    gradients = mean_gradients(critics, batch)
    for name in critics.first_weights:
        gradients[name] = clipped_and_noised(gradients[name], batch.expected, settings.noise_multiplier, generator)
    return gradients


def clipped_and_noised(
    gradient: torch.Tensor, batch: int, sigma: float, generator: np.random.Generator
) -> torch.Tensor:
    """The hook on one matrix's total gradient."""
    clip = CLIP_OF_A_BATCH / batch
    kept = gradient * (clip / (gradient.norm() + 1e-10)).clamp(max=1)
    return kept + clip * SENSITIVITY * sigma * normal_like(gradient, generator)
