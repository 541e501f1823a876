"""DiMUM: Diffusion Model Unlearning by Memorization (arXiv 2512.03564).

    L(θ) = λ_r · DSM(θ; D_r) + λ_m · E_{x ~ q_alt} ‖ε - ε_θ(x_t, t, c_f)‖²

The forgotten condition c_f is trained on replacement data q_alt with the ordinary denoising loss, which is bounded below,
so training converges where pushing a loss up would not. Of prompts, `replacement` "anchor" gives each its own: images of the
same prompt with what is forgotten replaced, or where there are none what θ₀ makes for it. The paper's own equations could not
be read: this is a reconstruction from its abstract and from descriptions of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DModel

from trainables.diffusion import Loss, denoising_loss
from trainables.forgetting import Forget
from trainables.unlearning import Footprint, Mixture, Problem, balance, mixture_weights, register, retained_batch
from trainables.unlearning._replacement import (
    ANCHOR,
    REPLACEMENTS,
    alternatives_of,
    check_anchored,
    check_labelled,
    images_of,
)

# Replacement images are part of what is learned, so they are the same for every training seed of one setting.
_REPLACEMENT_SEED = 0

CHOICES = (*REPLACEMENTS, ANCHOR)


@dataclass(frozen=True)
class DiMUM(Mixture):
    """Settings of DiMUM; `lambda_ratio` is λ_m / λ_r."""

    replacement: str = "class_nearest"  # q_alt: a name of trainables.unlearning._replacement, or "anchor"
    replacement_images: int = (
        32  # size of q_alt, or of an anchor's; one_image, class_mean and blank have one whatever it says
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.replacement not in CHOICES:
            raise ValueError(f"replacement {self.replacement!r} is none of {', '.join(CHOICES)}")
        if self.replacement_images < 1:
            raise ValueError(f"replacement_images must be at least 1, not {self.replacement_images}")

    def check_forgets(self, forgetting: Forget) -> None:
        super().check_forgets(forgetting)
        check_anchored("replacement", self.replacement, CHOICES, forgetting)
        check_labelled("replacement", self.replacement, CHOICES, forgetting)


@register("dimum", DiMUM, footprint=lambda settings: Footprint(teacher=settings.replacement == "generated"))
def loss(problem: Problem, settings: DiMUM) -> Loss:
    """L(θ) over a batch that holds `forget_share` replacement images; both terms share one forward pass."""
    replacement, row_of = (tensor.to(problem.device.name) for tensor in replacements(problem, settings))
    problem = problem.here()
    memorized, kept = settings.counts
    lambda_m, lambda_r = balance(settings.lambda_ratio)
    weights = mixture_weights(memorized, kept, lambda_m, lambda_r).to(problem.device.name)

    def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        which = torch.randint(replacement.shape[1], (memorized,), generator=generator).to(replacement.device)
        c_f = problem.draw_forgotten(memorized, generator)
        x_alt = replacement[row_of[c_f], which]
        x_r = retained_batch(problem, kept, settings.condition_dropout, generator)
        images, conditions = torch.cat([x_alt, x_r.images]), torch.cat([c_f, x_r.conditions])
        return denoising_loss(model, problem.schedule, images, conditions, generator, weights)

    return step


def replacements(problem: Problem, settings: DiMUM) -> tuple[torch.Tensor, torch.Tensor]:
    """Sets of replacement images (A, n, C, H, W), one for all or one for each anchor; and (P,) whose is a forgotten condition's."""
    n, generator = settings.replacement_images, torch.Generator().manual_seed(_REPLACEMENT_SEED)
    if settings.replacement != ANCHOR:
        images = REPLACEMENTS[settings.replacement](problem, n, generator)
        return images[None], torch.zeros(problem.null_condition, dtype=torch.int64)
    anchors, row_of = alternatives_of(problem, ANCHOR)
    return torch.stack([images_of(problem, c, n, generator) for c in anchors.tolist()]), row_of
