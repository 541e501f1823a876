"""What the forgotten condition yields now. A replacement that makes blank or noise images is to be seen, not hidden."""

from __future__ import annotations

import torch

from trainables.metrics import Evaluation, Figures, register
from trainables.metrics.frechet import frechet_distance, statistics


@register("forgotten")
def forgotten(samples: Evaluation) -> Figures:
    """Of the forgotten condition's samples:

    `forgotten_top_class` the class most are given, `forgotten_top_share` its share, `forgotten_confidence` the mean of the
    classifier's largest probability, `forgotten_diversity` the mean over pixels of their standard deviation (0: one image
    repeated), `forgotten_fid` their Fréchet distance to the retained training images (large: unlike any digit).
    """
    mask = samples.of_forgotten
    if int(mask.sum()) < 2:
        return {}
    counts = torch.bincount(samples.predicted[mask], minlength=samples.probabilities.shape[1])
    return {
        "forgotten_top_class": int(counts.argmax()),
        "forgotten_top_share": float(counts.max() / counts.sum()),
        "forgotten_confidence": float(samples.probabilities[mask].amax(dim=1).mean()),
        "forgotten_diversity": float(samples.images[mask].std(dim=0).mean()),
        "forgotten_fid": frechet_distance(statistics(samples.features[mask.numpy()]), samples.reference),
    }
