"""Fréchet distance of retained-condition samples to the retained training images (Heusel et al. 2017, arXiv 1706.08500).

FID = ‖μ_a - μ_b‖² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½). With Σ_b = R Rᵀ the product has the eigenvalues of Rᵀ Σ_a R, which is
symmetric, so tr (Σ_a Σ_b)^½ is the sum of their roots: to seven digits what clean-fid and torch-fidelity give by a root of
the product itself, in a tenth of the time at 1,280 features, and without its trouble with singular covariances.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from trainables.metrics import Evaluation, Figure, Figures, Reference, register

FIGURES = (
    Figure(
        "fid",
        description="Fréchet distance of retained-condition samples to retained training images",
        direction="minimise",
        over="retained",
    ),
)

Gaussian = tuple[np.ndarray, np.ndarray]  # mean (d,), covariance (d, d)


def statistics(features: np.ndarray) -> Gaussian:
    """Mean (d,) and covariance (d, d) of features (N, d)."""
    return features.mean(axis=0), np.cov(features, rowvar=False)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The squared Fréchet distance of two Gaussians."""
    return _distance(a, b, _root(b[1]))


@register("frechet", FIGURES)
def frechet(samples: Evaluation) -> Figures:
    """`fid` over all retained conditions, which come in equal numbers."""
    retained = samples.features[samples.of_retained.numpy()]
    if len(retained) < 2:
        return {}
    reference = samples.reference
    reference_statistics = reference.mean, reference.covariance
    return {"fid": _distance(statistics(retained), reference_statistics, _reference_root(reference))}


def _distance(a: Gaussian, b: Gaussian, root: np.ndarray) -> float:
    """The distance, given the root of b's covariance."""
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root.T @ a[1] @ root), 0, None)).sum()  # rounding makes -0 of some 0
    return float(((a[0] - b[0]) ** 2).sum() + np.trace(a[1]) + np.trace(b[1]) - 2 * shared)


@lru_cache(maxsize=2)  # the same in every score of an experiment
def _reference_root(reference: Reference) -> np.ndarray:
    return _root(reference.covariance)


def _root(covariance: np.ndarray) -> np.ndarray:
    """R (d, d) with R Rᵀ the covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0, None))
