"""Improved precision and recall: fidelity and coverage apart (Kynkäänniemi et al. 2019, arXiv 1904.06991).

The manifold of a set of features is the union of balls around them, each as wide as the distance to its k-th nearest
neighbour within the set, k = 3. Precision is the share of samples that lie on the manifold of the real images; recall the
share of real images that lie on the manifold of the samples. A collapsed model keeps precision and loses recall, a noisy
one the other way round; a Fréchet distance tells neither from the other. Both depend on N and on M: compare at equal ones.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from trainables.features._distances import neighbour_squared_distance, squared_distances
from trainables.metrics import Evaluation, Figure, Figures, Reference, register

FIGURES = (
    Figure(
        "precision",
        description="share of retained-condition samples within the manifold of retained training images (k = 3); "
        "compare at equal N",
        unit="share",
        direction="maximise",
        over="retained",
        samples="retained",
    ),
    Figure(
        "recall",
        description="share of retained training images within the manifold of retained-condition samples (k = 3); "
        "compare at equal N",
        unit="share",
        direction="maximise",
        over="retained",
    ),
)
NEIGHBOURS = 3


@register("precision_recall", FIGURES)
def precision_recall(samples: Evaluation) -> Figures:
    """`precision` and `recall` over all retained conditions, against `Reference.sample`."""
    retained = samples.features[samples.of_retained.numpy()]
    reference = samples.reference
    if min(len(retained), len(reference.sample)) <= NEIGHBOURS:
        return {}
    apart = squared_distances(retained, reference.sample)
    return {
        "precision": covered(apart, _reference_radii(reference)),
        "recall": covered(apart.T, neighbour_squared_distance(retained, NEIGHBOURS)),
    }


def covered(apart: np.ndarray, squared_radii: np.ndarray) -> float:
    """Share of the rows that lie in any column's ball; `apart` (rows, columns) and `squared_radii` (columns,) squared."""
    return float((apart <= squared_radii).any(axis=1).mean())


@lru_cache(maxsize=2)  # the same in every score of an experiment
def _reference_radii(reference: Reference) -> np.ndarray:
    return neighbour_squared_distance(reference.sample, NEIGHBOURS)
