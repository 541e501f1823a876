"""Concept Ablation (Kumari et al. 2023, arXiv 2303.13516): the forgotten condition is given an anchor's distribution.

    noise-based:  L(θ) = λ_f · E ‖ε_θ(x_t, t, c_f) - ε‖²                  + λ_r · DSM(θ; D_r)
    model-based:  L(θ) = λ_f · E ‖ε_θ(x_t, t, c_f) - τ(x_t, t, c_alt)‖²   + λ_r · DSM(θ; D_r)

x are images that θ₀ makes for the anchor c_alt, a retained condition; τ is ε₀, or sg ε_θ of the student itself
(`target_from`). The paper starts from ε₀ and takes the student, as public code does, to save the memory of a second network.
The paper's retain term is on the anchor's images alone; here it is on all of D_r, which holds the anchor. Public code averages
over elements and weighs the retain term .2 against 1 for the anchor's, which is a `lambda_ratio` of 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DModel

from trainables.diffusion import Loss, add_noise, denoising_loss, predict
from trainables.forgetting import Forget
from trainables.unlearning import Footprint, Mixture, Problem, balance, register, retained_batch
from trainables.unlearning._replacement import ANCHOR, alternatives_of, check_alternative

VARIANTS, TARGETS_FROM = ("noise", "model"), ("start", "student")


@dataclass(frozen=True)
class ConceptAblation(Mixture):
    """Settings of Concept Ablation."""

    variant: str = "model"  # the target: "noise" or what a "model" predicts for the anchor
    target_from: str = "start"  # which model that is: θ₀, or the "student" θ itself, without a gradient
    alternative: str = "class_nearest"  # the anchor c_alt: a name of trainables.unlearning._replacement.ALTERNATIVES
    anchor_images: int = 128  # images that θ₀ makes for each anchor

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alternative(self.alternative)
        if self.alternative == "class_random":
            raise ValueError("alternative 'class_random' is no anchor: its images are made once, for one condition")
        if self.variant not in VARIANTS:
            raise ValueError(f"variant {self.variant!r} is none of {', '.join(VARIANTS)}")
        if self.target_from not in TARGETS_FROM:
            raise ValueError(f"target_from {self.target_from!r} is none of {', '.join(TARGETS_FROM)}")
        if self.anchor_images < 1:
            raise ValueError(f"anchor_images must be at least 1, not {self.anchor_images}")

    def check_forgets(self, forgetting: Forget) -> None:
        super().check_forgets(forgetting)
        check_alternative(self.alternative, forgetting)


def drawn(settings: ConceptAblation, forgetting: Forget) -> int:
    """`anchor_images` of each anchor, of which there are at most as many as forgotten conditions."""
    anchors = len(forgetting.conditions)
    if settings.alternative == ANCHOR:
        anchors = len(set(forgetting.anchors))
    elif settings.alternative != "class_fixed" and not forgetting.versions:
        anchors = 1
    return anchors * settings.anchor_images


@register(
    "concept_ablation", ConceptAblation, footprint=lambda settings: Footprint(teacher=True, copies=1), drawn=drawn
)  # it makes the anchors' images
def loss(problem: Problem, settings: ConceptAblation) -> Loss:
    """L(θ) over a batch that holds `forget_share` images of the anchors."""
    anchors, row_of = alternatives_of(problem, settings.alternative)
    images = torch.stack([problem.generated(c, settings.anchor_images) for c in anchors.tolist()])  # (A, n, C, H, W)
    anchors, images, row_of = (tensor.to(problem.device.name) for tensor in (anchors, images, row_of))

    problem = problem.here()
    ablated, kept = settings.counts
    lambda_f, lambda_r = balance(settings.lambda_ratio)

    def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        c_f = problem.draw_forgotten(ablated, generator)
        which = torch.randint(settings.anchor_images, (ablated,), generator=generator).to(c_f.device)
        row = row_of[c_f]
        noised = add_noise(problem.schedule, images[row, which], generator)
        target = None
        if settings.variant == "model":
            with torch.no_grad():
                teacher = problem.teacher if settings.target_from == "start" else model
                target = predict(teacher, noised.images, noised.timesteps, anchors[row])
        ablate = noised.loss(model, c_f, target)

        x_r = retained_batch(problem, kept, settings.condition_dropout, generator)
        keep = denoising_loss(model, problem.schedule, x_r.images, x_r.conditions, generator)
        return lambda_f * ablate + lambda_r * keep

    return step
