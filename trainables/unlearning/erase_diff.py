"""EraseDiff (Wu et al. 2024, arXiv 2401.05779): keep the retain loss low subject to the forgetting loss being at its minimum.

    min_θ L_r(θ)  subject to  L_f(θ) - min_φ L_f(φ) ≤ 0
    ∇ = ∇L_r(θ) + λ · ∇[L_f(θ) - sg L_f(θ^K)],   θ^K = θ after K steps of SGD on L_f
    L_r = DSM(θ; D_r),   L_f = E_{x ~ D_f} ‖u - ε_θ(x_t, t, c_f)‖²,   u ~ U[0, 1] for every element

λ is fixed, or max(η - cos(∇L_r, ∇L_f), 0): no forgetting where descending L_r already does it. L_f's target u is noise that
no image has left, so the model loses its way from x_t (of a model that predicts v, √ᾱ_t u - √(1 - ᾱ_t) x); with
``alternative``, the default, it is sg ε_θ(x_t, t, c_alt). On digits noise forgets 85 % at λ = .1 (`fid_delta` 25) and no
more at .3 (36), the alternative all of it. L_f(θ^K) is a constant to the gradient: K moves the value that is reported, not
the step, here as in public code, where the inner steps only stir Adam's moments, which both levels share; `inner_steps` = 0
leaves them out, and L_f(θ^K) too: L_r + λ L_f is reported then.

Public code runs K = 2 passes of Adam over the forget set and then many outer steps; here every step has its own inner steps,
from where it is, and gives the weights back. λ = .1, η = .1, Adam at 1e-4. Its file for CIFAR-10 has both targets: uniform
noise that the image is also noised with (u is x_t's own noise) and a random other class's prediction, one class a batch,
there with a tenth of the labels dropped.
Every loss is a mean over elements there too, so λ carries over.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DModel

from trainables.diffusion import Loss, Noised, add_noise, denoising_loss, predict, target_of
from trainables.fine_tuning import FineTuning, Gradient
from trainables.forgetting import CONDITIONS, INSTANCES, Forget
from trainables.unlearning import (
    FineTuningSettings,
    Footprint,
    Problem,
    check_shares,
    register_gradient,
    retained_batch,
    split_batch,
)
from trainables.unlearning._replacement import alternative_conditions, check_alternative

TARGETS, WEIGHTINGS = ("noise", "alternative"), ("fixed", "cosine")


@dataclass(frozen=True)
class EraseDiff(FineTuningSettings):
    """Settings of EraseDiff."""

    learning_rate: float = 5e-4
    forget_weight: float = 0.1  # λ, where it is fixed
    weighting: str = "fixed"  # or "cosine": λ = max(η - cos(∇L_r, ∇L_f), 0)
    eta: float = 0.1  # η
    inner_steps: int = 1  # K
    inner_learning_rate: float = 0.1  # of SGD on L_f
    target: str = "alternative"  # of the forgotten images; or "noise", as ever where a model has no conditions
    alternative: str = "class_fixed"  # c_alt: a name of trainables.unlearning._replacement.ALTERNATIVES
    forget_share: float = 0.2  # share of each batch that is of the forget set
    condition_dropout: float = 0.05  # probability that a retained image's condition becomes the null condition

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(self, "forget_share", "condition_dropout")
        check_alternative(self.alternative)
        if self.target not in TARGETS:
            raise ValueError(f"target {self.target!r} is none of {', '.join(TARGETS)}")
        if self.weighting not in WEIGHTINGS:
            raise ValueError(f"weighting {self.weighting!r} is none of {', '.join(WEIGHTINGS)}")
        if self.inner_steps < 0:
            raise ValueError(f"inner_steps must not be negative, not {self.inner_steps}")
        for name in ("forget_weight", "eta", "inner_learning_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive and finite, not {getattr(self, name)}")

    def check_forgets(self, forgetting: Forget) -> None:
        super().check_forgets(forgetting)
        check_alternative(self.alternative, forgetting)


@register_gradient(
    "erase_diff", EraseDiff, forgets=(CONDITIONS, INSTANCES), footprint=lambda settings: Footprint(copies=2.5)
)
def gradient(problem: Problem, settings: EraseDiff) -> Gradient:
    """∇L_r + λ ∇[L_f - sg L_f(θ^K)], both losses of θ on one batch; the inner steps draw their own forgotten images."""
    alternative = alternative_conditions(problem, settings.alternative)
    problem = problem.here()
    forgotten = split_batch(settings.batch, settings.forget_share)
    to_noise = settings.target == "noise" or problem.forgetting.kind == INSTANCES  # there is no other condition

    def forget_loss(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        x_f = problem.forget.draw(forgotten, generator)
        noised = add_noise(problem.schedule, x_f.images, generator)
        if to_noise:
            u = torch.rand(x_f.images.shape, generator=generator).to(x_f.images)
            target = target_of(problem.schedule, x_f.images, u, noised.timesteps)
        else:
            target = _prediction(model, noised, alternative(x_f.conditions, generator))
        return noised.loss(model, x_f.conditions, target)

    def retain_loss(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        x_r = retained_batch(problem, settings.batch - forgotten, settings.condition_dropout, generator)
        return denoising_loss(model, problem.schedule, x_r.images, x_r.conditions, generator)

    def step(run: FineTuning) -> torch.Tensor:
        lowest = minimised(run, forget_loss, settings) if settings.inner_steps else 0.0
        with run.device.autocast():
            l_r, l_f = retain_loss(run.model, run.generator), forget_loss(run.model, run.generator)
        g_r, g_f = gradients(l_r, run), gradients(l_f, run)
        weight = torch.as_tensor(settings.forget_weight)
        if settings.weighting == "cosine":
            weight = (settings.eta - cosine(g_r, g_f)).clamp(min=0)
        for parameter, keep, forget in zip(run.parameters, g_r, g_f, strict=True):
            parameter.grad = keep + weight * forget
        return (l_r + weight * (l_f - lowest)).detach()

    return step


def minimised(run: FineTuning, forget_loss: Loss, settings: EraseDiff) -> torch.Tensor:
    """L_f(θ^K), K steps of SGD on from where the run is; the run's weights are what they were afterwards."""
    weights = [p.detach() for p in run.parameters]
    kept = [w.clone() for w in weights]
    try:
        for _ in range(settings.inner_steps):
            with run.device.autocast():
                loss = forget_loss(run.model, run.generator)
            gradient = gradients(loss, run)
            torch._foreach_add_(weights, gradient, alpha=-settings.inner_learning_rate)
        with torch.no_grad(), run.device.autocast():
            return forget_loss(run.model, run.generator)
    finally:
        torch._foreach_copy_(weights, kept)


def gradients(loss: torch.Tensor, run: FineTuning) -> tuple[torch.Tensor, ...]:
    """∂loss/∂θ of every trained parameter."""
    return torch.autograd.grad(loss, run.parameters, allow_unused=True, materialize_grads=True)


def cosine(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """cos(a, b) of two gradients, each all parameters together."""
    dot = torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()
    lengths = [torch.linalg.vector_norm(torch.stack([x.norm() for x in g])) for g in (a, b)]
    return dot / (lengths[0] * lengths[1] + 1e-8)


def _prediction(model: UNet2DModel, noised: Noised, conditions: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return predict(model, noised.images, noised.timesteps, conditions)
