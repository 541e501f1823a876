"""Exact and standard intervals of what an attack achieves, and the ε that a pair of rates proves."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import beta

CONFIDENCE = 0.95


def binomial(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Clopper and Pearson's exact two-sided interval of a share (1934)."""
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"{hits} of {n} is no share")
    return effective_interval(hits / n, 0.0, n, n, confidence)


def epsilon_of_rates(
    true_positives: int,
    members: int,
    false_positives: int,
    strangers: int,
    delta: float = 0.0,
    confidence: float = CONFIDENCE,
) -> float:
    """ε ≥ log((TPR - δ) / FPR), from the exact intervals of both rates, or the same of the negatives (Jagielski et al. 2020,
    arXiv 2006.07709); 0 where they prove nothing. Of 30 and 30 models a perfect attack proves 2.03, of 1000 and 1000 5.60.
    """
    tpr, fpr = binomial(true_positives, members, confidence), binomial(false_positives, strangers, confidence)
    bounds = [0.0]
    for share, other in ((tpr[0], fpr[1]), (1 - fpr[1], 1 - tpr[0])):
        if share > delta and other > 0:
            bounds.append(math.log((share - delta) / other))
    return max(bounds)


def auc_interval(
    members: np.ndarray, strangers: np.ndarray, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """(AUC, low, high): P(a member's score > a stranger's) + ½ P(equal), and `effective_interval` of it.

    The variance is DeLong, DeLong and Clarke-Pearson's (1988). A normal interval of it is [1, 1] where scores are separated, as if
    sixty rows had told everything. There, min(m, n) pairs of a member and a stranger who are in no other are independent, and all
    right: Clopper and Pearson's interval of them is exact. Elsewhere there are no more pairs than Hanley and McNeil's variance
    (1982, Radiology 143) is worth, for DeLong's falls to nothing where scores are nearly separated.
    """
    above = np.sign(members[:, None] - strangers[None, :]) / 2 + 0.5
    area, (m, n) = float(above.mean()), above.shape
    variance = _variance(above.mean(axis=1)) + _variance(above.mean(axis=0))
    shared = ((m + n) / 2 - 1) * ((1 - area) / (2 - area) + area / (1 + area))
    return area, *effective_interval(area, variance, min(m, n), m * n / (1 + shared), confidence)


def clustered_interval(hits: np.ndarray, size: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """`effective_interval` of a share of guesses that come in clusters: `hits` (c,) of so many right in each, clusters independent.

    The variance is that of clusters' shares; where all are alike, each cluster counts as one guess. Never as more than there are.
    """
    shares = np.asarray(hits) / size
    return effective_interval(float(shares.mean()), _variance(shares), len(shares), len(shares) * size, confidence)


def effective_interval(
    share: float, variance: float, least: float, most: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Clopper and Pearson's interval of an estimated share with as many guesses as its variance is worth, p (1 - p) / variance.

    (Korn and Graubard 1998, Survey Methodology 24.) No more guesses than `most`; where the variance is 0, `least`.
    """
    guesses = min(share * (1 - share) / variance, most) if variance > 0 else least
    hits, tail = share * guesses, (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, guesses - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, guesses - hits)) if hits < guesses else 1.0
    return low, high


def _variance(values: np.ndarray) -> float:
    """Of their mean."""
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.25
