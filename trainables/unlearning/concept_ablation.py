"""Concept Ablation (Kumari et al. 2023, arXiv 2303.13516): the forgotten condition is given an anchor's distribution.

    noise-based:  L(θ) = λ_f · E ‖ε_θ(x_t, t, c_f) - ε‖²                  + λ_r · DSM(θ; D_r)
    model-based:  L(θ) = λ_f · E ‖ε_θ(x_t, t, c_f) - ε₀(x_t, t, c_alt)‖²  + λ_r · DSM(θ; D_r)

x are images that θ₀ makes for the anchor c_alt, a retained condition. The paper's retain term is on the anchor's images
alone; here it is on all of D_r, which holds the anchor. The paper starts from ε₀ as the model-based target and takes
sg ε_θ(x_t, t, c_alt) to save the memory of a second network, which is no cost here. Public code averages over elements and
weighs the retain term .2 against 1 for the anchor's, which is a `lambda_ratio` of 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from diffusers import UNet2DModel

from trainables.diffusion import Loss, add_noise, denoising_loss, predict
from trainables.training.device import Device
from trainables.unlearning import Mixture, Problem, balance, register, retained_batch
from trainables.unlearning._replacement import alternative_conditions, check_alternative

VARIANTS = ("noise", "model")


@dataclass(frozen=True)
class ConceptAblation(Mixture):
    """Settings of Concept Ablation."""

    variant: str = "model"  # the target: "noise" or what θ₀, the "model", predicts for the anchor
    alternative: str = "class_nearest"  # the anchor c_alt: a name of trainables.unlearning._replacement.ALTERNATIVES
    anchor_images: int = 128  # images that θ₀ makes for each anchor

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alternative(self.alternative)
        if self.alternative == "class_random":
            raise ValueError("alternative 'class_random' is no anchor: its images are made once, for one condition")
        if self.variant not in VARIANTS:
            raise ValueError(f"variant {self.variant!r} is none of {', '.join(VARIANTS)}")
        if self.anchor_images < 1:
            raise ValueError(f"anchor_images must be at least 1, not {self.anchor_images}")


@register("concept_ablation", ConceptAblation)
def loss(problem: Problem, settings: ConceptAblation) -> Loss:
    """L(θ) over a batch that holds `forget_share` images of the anchors."""
    forgotten = torch.tensor(problem.forgetting.conditions)
    choose = alternative_conditions(replace(problem, device=Device()), settings.alternative)
    anchors, rows = choose(forgotten, torch.Generator()).unique(return_inverse=True)
    images = torch.stack([problem.generated(c, settings.anchor_images) for c in anchors.tolist()])  # (A, n, C, H, W)
    row_of = torch.zeros(problem.null_condition, dtype=torch.int64).index_copy(0, forgotten, rows)
    anchors, images, row_of = (tensor.to(problem.device.name) for tensor in (anchors, images, row_of))

    problem = problem.here()
    ablated, kept = settings.counts
    lambda_f, lambda_r = balance(settings.lambda_ratio)

    def step(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        c_f = problem.forget.draw_conditions(ablated, generator)
        which = torch.randint(settings.anchor_images, (ablated,), generator=generator).to(c_f.device)
        row = row_of[c_f]
        noised = add_noise(problem.schedule, images[row, which], generator)
        target = None
        if settings.variant == "model":
            with torch.no_grad():
                target = predict(problem.base, noised.images, noised.timesteps, anchors[row])
        ablate = noised.loss(model, c_f, target)

        x_r = retained_batch(problem, kept, settings.condition_dropout, generator)
        keep = denoising_loss(model, problem.schedule, x_r.images, x_r.conditions, generator)
        return lambda_f * ablate + lambda_r * keep

    return step
