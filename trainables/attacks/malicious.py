"""Malicious fine-tuning: the threat of Meta-Unlearning (Gao et al. 2024, arXiv 2410.12777).

    θ_{k+1} = Adam(θ_k, ∇ DSM(θ_k; D_FT)),  θ_0 = θᵤ

The attacker knows what was unlearned and holds images of it, D_FT: a few, or many. With their own conditions they are
taught to the unlearned model by the plain denoising loss, with the label dropout of the base model's own recipe, as DiMRA
does with data that show nothing of it. Any model learns a class from its images, one that never knew it too, so what this
attack finds counts as excess over the retrain control and never enters robustness.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainables.attacks import AttackSettings, Target, register
from trainables.data import Images
from trainables.diffusion import Loss
from trainables.models import dropout_loss

# The attacker's few images are a fact of the threat: the same for every model, training seed and number of them.
_IMAGES_SEED = 0


@dataclass(frozen=True)
class Malicious(AttackSettings):
    """Settings of malicious fine-tuning."""

    auxiliary: str = (
        "public_forgotten"  # D_FT: held-out images of what was forgotten; "forget" is the forget set itself
    )
    images: int = 0  # how many of them the attacker has; 0: all there are

    def __post_init__(self) -> None:
        if self.images < 0:
            raise ValueError(f"images must be at least 1, or 0 for all there are, not {self.images}")


@register("malicious", Malicious)
def loss(target: Target, settings: Malicious) -> Loss:
    """DSM over D_FT. ValueError where there are not as many images as the attacker is said to have."""
    data = few(target.auxiliary, settings.images)
    return dropout_loss(target.recipe, data, target.null_condition, target.device, settings.batch)


def few(images: Images, n: int) -> Images:
    """n of the images, always the same ones, and among those of any larger n; all of them for n = 0."""
    if n > len(images):
        raise ValueError(f"images: the attacker is given {n}, but there are {len(images)}")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(_IMAGES_SEED))
    return images.where(order[:n]) if n else images
