"""Benign fine-tuning: concept resurgence (Suriyakumar et al. 2024, arXiv 2410.08074).

    θ_{k+1} = Adam(θ_k, ∇ DSM(θ_k; D_b)),  θ_0 = θᵤ

Nobody attacks: an owner of the unlearned model fine-tunes it, in full or by LoRA, on images D_b that have nothing to do
with what was unlearned, and the concept comes back. The paper does it to Stable Diffusion with erased objects and
celebrities; here D_b are held-out images of those retained conditions that lie farthest from the forgotten one in feature
space (`unrelated` of trainables.auxiliary).
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.attacks import AttackSettings, Target, register
from trainables.diffusion import Loss


@dataclass(frozen=True)
class Benign(AttackSettings):
    """Settings of benign fine-tuning."""

    auxiliary: str = "unrelated"  # D_b


@register("benign", Benign)
def loss(target: Target, settings: Benign) -> Loss:
    """DSM over D_b."""
    return target.denoising(target.auxiliary, settings)
