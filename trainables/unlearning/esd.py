"""ESD: Erased Stable Diffusion (Gandikota et al. 2023, arXiv 2303.07345).

    L(θ) = E ‖ε_θ(x_t, t, c_f) - sg[ε₀(x_t, t, ∅) - η · (ε₀(x_t, t, c_f) - ε₀(x_t, t, ∅))]‖² + λ · DSM(θ; D_r)

The forgotten condition is made to predict what θ₀ guided away from it predicts; x_t is partly denoised by θ itself under
c_f with guidance, so that no image is needed. `trained_parameters` "cross_attention" is ESD-x, "cross_attention_kv" its strict
form and "rest" ESD-u; of a UNet without cross-attention, "condition" is ESD-x: where the condition enters. Public code averages
over elements, as here. Its newer version samples x_t from θ₀ and subtracts η · (…) from ε₀(x_t, c_f) instead of ε₀(x_t, ∅), so
its η is one more than this one.

Versions of public code stop a chain of 50 steps differently. The first counts from the clean end, up to 49: at least one step
is taken, never pure noise; 0 is the whole chain, a sample with t in [0, 20); and t, drawn from a stretch of 20, lies two to
three DDIM steps above the noise that x_t has. Another takes 1 to 48 steps, never 0, with t at the noisy end of the stretch.
The newest takes 0 to 49 with equal chance, 0 being pure noise, and the very t where the chain stopped. Here: 0 too, and any t
of the stretch.

The paper has no retain term (λ = 0). A small model whose every weight trains needs one: on digits 50 steps without it bring
retain accuracy to .58 and `fid_delta` to 355; with the defaults it stays at .96 and 2 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel

from trainables.diffusion import Loss, add_noise, denoising_loss, predict
from trainables.unlearning import Footprint, Problem, register, retained_batch
from trainables.unlearning._partial_denoising import SelfSampled, partly_denoised

X_T = ("sampled", "noised")


@dataclass(frozen=True)
class ESD(SelfSampled):
    """Settings of ESD."""

    negative_guidance: float = 1.0  # η: how far past the unconditional prediction the target lies
    x_t: str = "sampled"  # partly denoised by θ, as published; or "noised": the forget set's images

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.x_t not in X_T:
            raise ValueError(f"x_t {self.x_t!r} is none of {', '.join(X_T)}")


@register("esd", ESD, footprint=lambda settings: Footprint(teacher=True, copies=1))
def loss(problem: Problem, settings: ESD) -> Loss:
    """L(θ) over a batch that holds `forget_share` erased x_t, or nothing else where λ is 0."""
    problem = problem.here()
    base, (erased, kept) = problem.teacher, settings.counts

    def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        if settings.x_t == "sampled":
            c_f = problem.draw_forgotten(erased, generator)
            x_t, t = partly_denoised(model, problem, c_f, settings.chain_steps, settings.guidance, generator)
        else:
            x_f = problem.forget.draw(erased, generator)
            noised = add_noise(problem.schedule, x_f.images, generator)
            c_f, x_t, t = x_f.conditions, noised.images, noised.timesteps
        null = torch.full_like(c_f, problem.null_condition)
        with torch.no_grad():
            unconditional, conditional = predict(base, x_t, t, null), predict(base, x_t, t, c_f)
            target = unconditional - settings.negative_guidance * (conditional - unconditional)
        erase = F.mse_loss(predict(model, x_t, t, c_f), target)
        if not kept:
            return erase
        x_r = retained_batch(problem, kept, settings.condition_dropout, generator)
        keep = denoising_loss(model, problem.schedule, x_r.images, x_r.conditions, generator)
        return erase + settings.retain_weight * keep

    return step
