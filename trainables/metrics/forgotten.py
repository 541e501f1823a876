"""What the forgotten condition yields now. A replacement that makes blank or noise images is to be seen, not hidden."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import KDTree

from trainables.metrics import Evaluation, Figures, register


@register("forgotten")
def forgotten(samples: Evaluation) -> Figures:
    """Of the forgotten condition's samples:

    `forgotten_top_class` the class most are given, `forgotten_top_share` its share, `forgotten_confidence` the mean of the
    classifier's largest probability, `forgotten_diversity` the mean over pixels of their standard deviation (0: one image
    repeated), `forgotten_distance` their median feature distance to the nearest retained training image, in units of the
    same between retained training images (1: as near as real ones; noise and blank images lie farther).
    """
    mask = samples.of_forgotten
    if int(mask.sum()) < 2 or not samples.prompted:
        return {}
    counts = torch.bincount(samples.predicted[mask])
    real = KDTree(samples.reference.features)
    distance = np.median(real.query(samples.features[mask.numpy()])[0])
    between_real = np.median(
        real.query(samples.reference.features, k=2)[0][:, 1]
    )  # the first neighbour is the image itself
    return {
        "forgotten_top_class": int(counts.argmax()),
        "forgotten_top_share": float(counts.max() / counts.sum()),
        "forgotten_confidence": float(samples.confidence[mask].mean()),
        "forgotten_diversity": float(samples.images[mask].std(dim=0).mean()),
        "forgotten_distance": float(distance / between_real),
    }
