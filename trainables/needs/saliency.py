"""Weight saliency: how strongly the forget set's denoising loss depends on each of θ₀'s weights (SalUn, arXiv 2310.12508).

    s = |∇_θ DSM(θ; D_f)| at θ = θ₀

The gradient is averaged over the whole forget set, with timesteps and noises from one seed, and only then is its absolute
value taken: gradients that cancel between images don't count. The loss is a mean over elements; only the order of the
weights matters to a mask. Public code differs: it clips each batch's gradient to norm 1 before adding it up, draws one
timestep an image, and differentiates the prediction under classifier-free guidance (scale 2).
"""

from __future__ import annotations

import torch

from trainables.data import Images
from trainables.diffusion import add_noise
from trainables.needs import register
from trainables.needs._gradients import add_gradient, differentiable_base
from trainables.unlearning import Problem

_BATCH = 128  # images that are noised together; they go through θ₀ in as many passes as fit
_NOISED_IMAGES = (
    1024  # a small forget set is passed over again, with other timesteps and noises, until there are so many
)


@register("saliency")
def saliency(problem: Problem, seed: int) -> dict[str, torch.Tensor]:
    """|∇ DSM(θ₀; D_f)| of every parameter by name."""
    passes = max(round(_NOISED_IMAGES / len(problem.forget)), 1)
    gradient = mean_gradient(problem, problem.forget, passes, torch.Generator().manual_seed(seed))
    return {name: g.abs() for name, g in gradient.items()}


def mean_gradient(problem: Problem, images: Images, passes: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """∇ DSM(θ₀) of every parameter by name, over `passes` passes of all `images`: a mean over images and elements."""
    model = differentiable_base(problem)
    every = torch.arange(passes * len(images)) % len(images)
    for chosen in every.split(_BATCH):
        batch = images.batch(chosen).to(problem.device.name)
        noised = add_noise(problem.schedule, batch.images, generator)
        add_gradient(model, problem, noised, batch.conditions, of=len(every))
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}
