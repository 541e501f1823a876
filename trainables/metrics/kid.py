"""Kernel inception distance: an unbiased FID for few samples (Bińkowski et al. 2018, arXiv 1801.01401).

KID = MMD² with the kernel k(x, y) = (xᵀy/d + 1)³, its unbiased estimate

    Σ_{i≠j} k(x_i, x_j) / N(N-1)  +  Σ_{i≠j} k(y_i, y_j) / M(M-1)  -  2 Σ_{i,j} k(x_i, y_j) / NM,

x the samples' features (N, d), y the reference's (M, d). The paper averages over random subsets to save memory; here it is
over all N samples at once against `Reference.sample`, which never changes, so the figure is deterministic. Its
expectation does not depend on N or M, and where the two distributions are equal it is 0: it can come out below.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from trainables.metrics import Evaluation, Figure, Figures, Reference, register

FIGURES = (
    Figure(
        "kid",
        description="kernel inception distance of the same two sets: unbiased at any N, so the one to trust at small N",
        unit="MMD² of the cubic kernel",
        direction="minimise",
        over="retained",
    ),
)


@register("kid", FIGURES)
def kid(samples: Evaluation) -> Figures:
    """`kid` over all retained conditions, which come in equal numbers."""
    retained = samples.features[samples.of_retained.numpy()]
    reference = samples.reference
    if len(retained) < 2 or len(reference.sample) < 2:
        return {}
    between = _kernel(retained, reference.sample).mean()
    return {"kid": float(_within(retained) + _within_reference(reference) - 2 * between)}


@lru_cache(maxsize=2)  # the same in every score of an experiment
def _within_reference(reference: Reference) -> float:
    return _within(reference.sample)


def _within(features: np.ndarray) -> float:
    """Mean of k over pairs of different rows."""
    values = _kernel(features, features)
    n = len(features)
    return float((values.sum() - np.trace(values)) / (n * (n - 1)))


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) values of k; ``x * x * x`` because a power of floats is thirty times as slow."""
    base = a @ b.T / a.shape[1] + 1
    return base * base * base
