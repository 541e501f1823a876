"""Malicious fine-tuning: the threat of Meta-Unlearning (Gao et al. 2024, arXiv 2410.12777).

    θ_{k+1} = Adam(θ_k, ∇ DSM(θ_k; D_FT)),  θ_0 = θᵤ

The attacker knows what was unlearned and holds images of it, D_FT: a few, or many. With their own conditions they are
taught to the unlearned model by the plain denoising loss, with the label dropout of the base model's own recipe, as DiMRA
does with data that show nothing of it. Any model learns a class from its images, one that never knew it too, so what this
attack finds counts as excess over the retrain control and never enters robustness.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.attacks import AttackSettings, Target, register
from trainables.diffusion import Loss


@dataclass(frozen=True)
class Malicious(AttackSettings):
    """Settings of malicious fine-tuning; D_FT is `images` held-out images of what was forgotten."""

    auxiliary: str = "public_forgotten"  # or "forget", the forget set itself


@register("malicious", Malicious)
def loss(target: Target, settings: Malicious) -> Loss:
    """DSM over D_FT."""
    return target.denoising(target.auxiliary, settings)
