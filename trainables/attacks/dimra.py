"""DiMRA: Diffusion Model Relearning Attack (arXiv 2512.03564).

    θ_{k+1} = Adam(θ_k, ∇ DSM(θ_k; D_aux)),  θ_0 = θᵤ

The attacker holds the unlearned weights, does not know what was unlearned, and fine-tunes all of them with the plain
denoising loss on an auxiliary set, with the label dropout of the base model's own recipe. The paper's own equations and
step counts could not be read: this is a reconstruction from its abstract and from descriptions of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.attacks import AttackSettings, Target, register
from trainables.diffusion import Loss
from trainables.models import dropout_loss


@dataclass(frozen=True)
class DiMRA(AttackSettings):
    """DiMRA has no setting beyond what every fine-tuning attack has."""


@register("dimra", DiMRA)
def loss(target: Target, settings: DiMRA) -> Loss:
    """DSM over the auxiliary set."""
    return dropout_loss(target.recipe, target.auxiliary, target.null_condition, target.device, settings.batch)
