"""SFR-on (Huang et al. 2024, arXiv 2409.19732): every step first climbs on the forget set, then descends on the retain set.

    fast:  θ ← Adam(θ, m ⊙ clip -α_k ∇ Σ_j w_j ℓ_j),  ℓ_j = ‖ε - ε_θ(x_t, t, c_f)‖² of image j of D_f,  w_j ∝ (sg ℓ_j)^-λ
    slow:  θ ← Adam(θ, clip ∇DSM(θ; D_r))
    α_k = α · ½ (1 + cos(π k / steps)),   m_i = 1 where F_i(D_f) ≥ γ · F_i(D_r)

Following the ascent with a descent on D_r stands in for the retain loss's inverse Hessian. The weights w_j sum to 1, so an
image that is already forgotten counts little and the losses' scale cancels. Both updates go through one Adam, moments
shared, and each gradient is clipped on its own to `grad_clip`, after the mask, as in public code.

Published for CIFAR-10: α = 10 with cosine decay, λ = .5, γ = 1, 150 steps of Adam at 1e-4, batches of 128 of each set, a
tenth of the labels dropped, on losses that are sums over D = 3,072 elements. Both are sums there, so α carries over; clipping
at 1 does not: per element gradients are D times smaller. F is the Fisher diagonal, from `trainables.needs.fisher_ratio`. The
ascent is unbounded: what bounds it is its decay, the clip and the mask. On digits γ = 1 lets half of all weights climb, and
with a clip of 1 no α forgets without ruin (.5: 44 % forgotten, `fid_delta` 3; .8: 99 %, 60); γ = 2 to 3 with a clip of .1
does. The loss that is reported is the slow one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from trainables.denoisers.models import trained_parameters
from trainables.diffusion import add_noise, denoising_loss, predict
from trainables.fine_tuning import FineTuning, Gradient
from trainables.forgetting import CONDITIONS, INSTANCES
from trainables.unlearning import (
    FineTuningSettings,
    Footprint,
    Problem,
    check_shares,
    register_gradient,
    retained_batch,
    split_batch,
)


@dataclass(frozen=True)
class SFRon(FineTuningSettings):
    """Settings of SFR-on."""

    learning_rate: float = 5e-4
    grad_clip: float = 0.1
    ascent_weight: float = 6.0  # α at the first step, in units of the retain loss's weight
    adaptivity: float = 0.5  # λ: how much less an image counts the larger its loss is; 0 is plain ascent
    saliency_threshold: float = 2.0  # γ: weights of a smaller ratio of Fisher information don't climb; 0 lets all climb
    forget_share: float = 0.2  # share of each batch that is of the forget set
    condition_dropout: float = 0.05  # probability that a retained image's condition becomes the null condition

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(self, "forget_share", "condition_dropout")
        for name in ("ascent_weight", "adaptivity", "saliency_threshold"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and not negative, not {getattr(self, name)}")


def footprint(settings: SFRon) -> Footprint:
    """The masks are of a byte a number; its two losses follow one another."""
    forgotten = split_batch(settings.batch, settings.forget_share)
    return Footprint(copies=0.25, images=max(forgotten, settings.batch - forgotten))


@register_gradient("sfr_on", SFRon, needs=("fisher_ratio",), forgets=(CONDITIONS, INSTANCES), footprint=footprint)
def gradient(problem: Problem, settings: SFRon) -> Gradient:
    """The fast step, taken here; then the slow one's gradient, which is left to the run's own step."""
    problem = problem.here()
    forgotten = split_batch(settings.batch, settings.forget_share)
    masks: list[torch.Tensor] = []  # of the run's parameters, whose names its model says

    def step(run: FineTuning) -> torch.Tensor:
        if not masks:
            names = trained_parameters(run.model, settings.trained_parameters)
            masks.extend(problem.shared["fisher_ratio"][name] >= settings.saliency_threshold for name in names)
        decay = 0.5 * (1 + math.cos(math.pi * run.step / run.steps))
        x_f = problem.forget.draw(forgotten, run.generator)
        noised = add_noise(problem.schedule, x_f.images, run.generator)
        with run.device.autocast():
            prediction = predict(run.model, noised.images, noised.timesteps, x_f.conditions)
            errors = F.mse_loss(prediction, noised.target, reduction="none").mean(dim=(1, 2, 3))
        (-settings.ascent_weight * decay * adaptive(errors, settings.adaptivity)).backward()
        for parameter, mask in zip(run.parameters, masks, strict=True):
            if parameter.grad is not None:
                parameter.grad.mul_(mask)
        run.follow_gradient()
        run.clear_gradient()

        x_r = retained_batch(problem, settings.batch - forgotten, settings.condition_dropout, run.generator)
        with run.device.autocast():
            keep = denoising_loss(run.model, problem.schedule, x_r.images, x_r.conditions, run.generator)
        keep.backward()
        return keep.detach()

    return step


def adaptive(errors: torch.Tensor, adaptivity: float) -> torch.Tensor:
    """Σ_j w_j ℓ_j of the losses ℓ (B,), with w_j ∝ (sg ℓ_j)^-λ and Σ_j w_j = 1."""
    weights = (errors.detach() ** adaptivity + 1e-8).reciprocal()
    return (weights / weights.sum() * errors).sum()
