"""What the forgotten condition yields now. A replacement that makes blank or noise images is to be seen, not hidden."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from trainables.features._distances import nearest_squared_distance, neighbour_squared_distance
from trainables.metrics import Evaluation, Figure, Figures, Reference, register

FIGURES = (
    Figure(
        "forgotten_top_class",
        description="the class most forgotten-condition samples are given now; of prompts a label's number, -1: none of them",
        whole=True,
    ),
    Figure("forgotten_top_share", description="share of them that it gets", unit="share", samples="forgotten"),
    Figure("forgotten_confidence", description="mean of the classifier's largest probability on them", unit="share"),
    Figure(
        "forgotten_diversity",
        description="mean over pixels of their standard deviation; 0 for one repeated image",
        unit="pixel, [-1, 1]",
    ),
    Figure(
        "forgotten_distance",
        description="their median feature distance to the nearest retained training image",
        unit="that between retained training images",
    ),
)


@register("forgotten", FIGURES)
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
    given, counts = samples.predicted[mask].unique(return_counts=True)
    real = samples.reference.features.astype(np.float64)
    distance = np.median(nearest_squared_distance(samples.features[mask.numpy()], real) ** 0.5)
    return {
        "forgotten_top_class": int(given[counts.argmax()]),
        "forgotten_top_share": float(counts.max() / counts.sum()),
        "forgotten_confidence": float(samples.confidence[mask].mean()),
        "forgotten_diversity": float(samples.images[mask].std(dim=0).mean()),
        "forgotten_distance": float(distance / _between_real(samples.reference)),
    }


@lru_cache(maxsize=2)  # the same in every score of an experiment
def _between_real(reference: Reference) -> float:
    """Median distance of a retained training image to the nearest other one."""
    return float(np.median(neighbour_squared_distance(reference.features.astype(np.float64), 1) ** 0.5))
