"""Composition: somebody personalises the unlearned model, and DiMRA attacks what he made of it.

    k < P:  θ_{k+1} = Adam(θ_k, ∇ DSM(θ_k; D_p)),  D_p: a few images of one retained condition, η_p
    k ≥ P:  θ_{k+1} = Adam(θ_k, ∇ DSM(θ_k; D_aux)), η, by an optimiser begun anew

Unlearned models are fine-tuned for good reasons before anybody means harm, and each step may undo some of what was
unlearned (ResAlign evaluates on such downstream personalisation). k counts every step from θᵤ, those of the
personalisation included: the rungs up to P score the personalised model, those after it the attacked one. Both train the
same parameters; of LoRA, the same factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainables.attacks import AttackSettings, Target, check_counts, register_gradient
from trainables.auxiliary import few
from trainables.data import Images
from trainables.fine_tuning import FineTuning, Gradient, descend


@dataclass(frozen=True)
class Composition(AttackSettings):
    """Settings of the composition: `personal_…` are the personalisation's, the others DiMRA's."""

    personal_auxiliary: str = "public"  # the set that D_p is from
    personal_condition: int = -1  # which of its conditions; -1: the lowest
    personal_images: int = 5  # how many images of it, always the same ones; 0: all there are
    personal_steps: int = 20  # P
    personal_batch: int = 4
    personal_learning_rate: float = 1e-3  # η_p

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "personal_steps", "personal_batch")
        if not 0 < self.personal_learning_rate < float("inf"):
            raise ValueError(f"personal_learning_rate must be positive, not {self.personal_learning_rate}")
        if self.personal_images < 0:
            raise ValueError(f"personal_images must be at least 1, or 0 for all, not {self.personal_images}")

    @property
    def auxiliaries(self) -> tuple[str, ...]:
        return (self.auxiliary, self.personal_auxiliary)


@register_gradient("composition", Composition)
def gradient(target: Target, settings: Composition) -> Gradient:
    """∇DSM(D_p) for the first P steps, then ∇DSM(D_aux)."""
    personal = personal_images(target.sets[settings.personal_auxiliary], settings)
    personalise = descend(target.denoising(personal, settings, settings.personal_batch))
    attack = descend(target.denoising(target.auxiliary, settings))

    def step(run: FineTuning) -> torch.Tensor:
        if run.step < settings.personal_steps:
            for group in run.optimiser.param_groups:
                group["lr"] = settings.personal_learning_rate
            return personalise(run)
        if run.step == settings.personal_steps:
            run.optimiser.state.clear()  # whoever attacks begins his own optimiser
        return attack(run)

    return step


def personal_images(images: Images, settings: Composition) -> Images:
    """D_p. ValueError where the set has no, or not as many, images of the condition."""
    condition = int(images.conditions.min()) if settings.personal_condition < 0 else settings.personal_condition
    of_one = images.of(condition)
    if not len(of_one):
        there = ", ".join(map(str, images.conditions.unique().tolist()))
        raise ValueError(
            f"personal_condition {condition}: {settings.personal_auxiliary} has no images of it; it has {there}"
        )
    return few(of_one, settings.personal_images, "personal_images")
