"""How near do samples come to the images that were to be forgotten? For instances, which no classifier can name."""

from __future__ import annotations

import torch

from trainables.metrics import Evaluation, Figure, Figures, register

FIGURES = (
    Figure(
        "instance_distance",
        description="median over the forgotten instances of their distance to the nearest sample; 0: a copy; "
        "null for conditions",
        unit="pixel, [-1, 1]",
        direction="maximise",
        over="forgotten, at every rung",
    ),
)


@register("instances", FIGURES)
def instances(samples: Evaluation) -> Figures:
    """`instance_distance`: median over the forgotten instances of their distance to the nearest sample.

    Distances are root mean squares over pixels: 0 is an exact copy, and pixels lie in [-1, 1]. The nearest of more samples is
    nearer, so they are the first, as many as every rung has.
    """
    if samples.instances is None:
        return {}
    flat = samples.instances.flatten(1)
    drawn = samples.images[samples.of_forgotten][: samples.at_every_rung].flatten(1)
    # By a matrix product a copy would lie at the size of rounding.
    nearest = torch.cdist(flat, drawn, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1)
    return {"instance_distance": float(nearest.median() / flat.shape[1] ** 0.5)}
