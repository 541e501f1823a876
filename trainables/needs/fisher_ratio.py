"""How much more a weight of θ₀ matters to the forget set than to the retain set (SFR-on, arXiv 2409.19732).

    r_i = F_i(D_f) / F_i(D_r)

F is the Fisher diagonal at θ₀ on training images, as in `trainables.needs.fisher`; the loss's scale cancels. Public code
squares gradients of batches of 128, not of images, under classifier-free guidance and after clipping to norm 1; both
numbers have the same 1e-15 added, so that a weight which neither set depends on has ratio 1.
"""

from __future__ import annotations

import torch

from trainables.data import Images
from trainables.needs import register
from trainables.needs.fisher import fisher_diagonal
from trainables.unlearning import Problem

_IMAGES = 32  # of each set
_TINY = 1e-15


@register("fisher_ratio")
def fisher_ratio(problem: Problem, seed: int) -> dict[str, torch.Tensor]:
    """F(D_f) / F(D_r) of every parameter by name."""
    generator = torch.Generator().manual_seed(seed)
    forget, retain = (
        fisher_diagonal(problem, _some(images, generator), generator) for images in (problem.forget, problem.retain)
    )
    return {name: (forget[name] + _TINY) / (retain[name] + _TINY) for name in forget}


def _some(images: Images, generator: torch.Generator) -> Images:
    return images.where(torch.randperm(len(images), generator=generator)[:_IMAGES])
