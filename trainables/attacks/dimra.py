"""DiMRA: Diffusion Model Relearning Attack (arXiv 2512.03564).

    θ_{k+1} = Adam(θ_k, ∇ DSM(θ_k; D_aux)),  θ_0 = θᵤ

The attacker holds the unlearned weights, does not know what was unlearned, and fine-tunes them with the plain denoising
loss on an auxiliary set, with the label dropout of the base model's own recipe. What an attacker may choose is a setting:
the set (``retain``, ``synthetic``, ``public``) and its size, all parameters, the attention's or low-rank factors, Adam or
SGD, learning rate, batch and label dropout. The paper's own equations and step counts could not be read: this is a
reconstruction from its abstract and from descriptions of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.attacks import AttackSettings, Target, register
from trainables.diffusion import Loss


@dataclass(frozen=True)
class DiMRA(AttackSettings):
    """DiMRA has no setting beyond what every fine-tuning attack has."""


@register("dimra", DiMRA)
def loss(target: Target, settings: DiMRA) -> Loss:
    """DSM over the auxiliary set."""
    return target.denoising(target.auxiliary, settings)
