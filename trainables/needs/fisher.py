"""Fisher information of θ₀'s weights, its diagonal, as Selective Amnesia takes it (Heng & Soh 2023, arXiv 2305.10120).

    F_i = E_{c, x ~ p(x | θ₀, c)} [(∂/∂θ_i DSM(θ; x, c))²] at θ = θ₀

x are images that θ₀ makes, of all conditions, the forgotten ones too (so in the public code), and the gradient is squared
image by image: the square of a batch's gradient would be smaller by about the batch size. DSM of an image is a mean over
elements and over drawn pairs of timestep and noise. Public code sums over the D elements and over all T timesteps, so its
F is (D T)² times this one; `trainables.unlearning.selective_amnesia` says what that makes of λ. It takes 500 images a
condition and every timestep; here few pairs add their sampling variance to F.
"""

from __future__ import annotations

import torch

from trainables.data import Images
from trainables.diffusion import add_noise, clamped, sample, starting_noise
from trainables.needs import register
from trainables.needs._gradients import add_gradient, differentiable_base
from trainables.unlearning import Problem

_IMAGES = 64  # in all, or one a condition where there are more conditions
_NOISES = 16  # pairs of timestep and noise an image
_SAMPLING_STEPS = 20  # its own, so that F does not depend on how samples are scored


@register("fisher")
def fisher(problem: Problem, seed: int) -> dict[str, torch.Tensor]:
    """F of every parameter by name, over images of θ₀ for all conditions."""
    return fisher_diagonal(problem, generated(problem, seed), torch.Generator().manual_seed(seed))


def generated(problem: Problem, seed: int) -> Images:
    """Images that θ₀ makes, equally many of every condition, retained and forgotten."""
    every = torch.tensor(problem.forgetting.conditions + problem.forgetting.retained)
    conditions = every.repeat_interleave(max(_IMAGES // len(every), 1))
    noise = starting_noise((len(conditions), *problem.retain.shape), seed)
    finish = torch.clone if problem.in_latents else clamped
    batches = sample(problem.base, problem.schedule, noise, conditions, _SAMPLING_STEPS, problem.device, finish=finish)
    return Images(torch.cat(list(batches)), conditions)


def fisher_diagonal(problem: Problem, images: Images, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Mean over `images` of the squared gradient of each one's denoising loss at θ₀, of every parameter by name."""
    model = differentiable_base(problem)
    diagonal = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    here = images.to(problem.device.name)
    for image, condition in zip(here.images, here.conditions, strict=True):
        model.zero_grad(set_to_none=True)
        copies, conditions = image.expand(_NOISES, *image.shape), condition.expand(_NOISES)
        noised = add_noise(problem.schedule, copies, generator)
        add_gradient(model, problem, noised, conditions, of=_NOISES)
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                diagonal[name].addcmul_(parameter.grad, parameter.grad, value=1 / len(images))
    return diagonal
