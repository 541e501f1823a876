"""Fréchet distance of retained-condition samples to the retained training images (Heusel et al. 2017, arXiv 1706.08500)."""

from __future__ import annotations

import numpy as np

from trainables.metrics import Evaluation, Figures, register


def statistics(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) of features (N, d)."""
    return features.mean(axis=0), np.cov(features, rowvar=False)


def frechet_distance(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """‖μ_a - μ_b‖² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½), as clean-fid computes it."""
    from cleanfid.fid import frechet_distance as clean_fid_distance  # a second of imports, paid where it is used

    return float(clean_fid_distance(*a, *b))


@register("frechet")
def frechet(samples: Evaluation) -> Figures:
    """`fid` over all retained conditions, which come in equal numbers."""
    retained = samples.features[samples.of_retained.numpy()]
    if len(retained) < 2:
        return {}
    reference = samples.reference.mean, samples.reference.covariance
    return {"fid": frechet_distance(statistics(retained), reference)}
