"""Copy detection: which samples reproduce a given training image."""

from __future__ import annotations

import torch

from trainables.data import Images
from trainables.judges import Evidence, register

COPY_RATIO = 0.5


def copies(images: torch.Tensor, instances: Images, others: Images, ratio: float = COPY_RATIO) -> torch.Tensor:
    """(N,) bool: `images` (N, C, H, W) that copy one of `instances` rather than look like the data.

    A sample is a copy where its pixel distance to the nearest instance is at most `ratio` of that to the nearest of the
    `others`: a ratio of neighbours' distances, for an absolute threshold would call every plain image a copy (as in
    Carlini et al. 2023, arXiv 2301.13188, Sec. 4, and Yoon et al. 2023, whose ratio is 1/3 to the second neighbour).
    """
    return distance_to_nearest(images, instances) <= ratio * distance_to_nearest(images, others)


def distance_to_nearest(images: torch.Tensor, targets: Images) -> torch.Tensor:
    """(N,) the least Euclidean distance of each of `images` (N, C, H, W) to one of the targets."""
    flat = images.flatten(1)
    exact = "donot_use_mm_for_euclid_dist"  # by a matrix product a copy would lie at the size of rounding
    nearest = [torch.cdist(flat, part.flatten(1), compute_mode=exact).amin(dim=1) for part in targets.parts()]
    return torch.stack(nearest).amin(dim=0)


@register("copies", kinds=("instances",))
def of_forgotten_instances(evidence: Evidence) -> torch.Tensor:
    """Samples that copy a forgotten image: `copies`, the retained training images being the others."""
    return copies(evidence.images, evidence.forgotten(), evidence.retained())
