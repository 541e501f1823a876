"""Exact and standard intervals of what an attack achieves, and the ε that a pair of rates proves."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import beta, norm

CONFIDENCE = 0.95


def binomial(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Clopper and Pearson's exact two-sided interval of a share (1934)."""
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"{hits} of {n} is no share")
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


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
    found = [0.0]
    for share, other in ((tpr[0], fpr[1]), (1 - fpr[1], 1 - tpr[0])):
        if share > delta and other > 0:
            found.append(math.log((share - delta) / other))
    return max(found)


def auc_interval(
    members: np.ndarray, strangers: np.ndarray, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """(AUC, low, high) by DeLong, DeLong and Clarke-Pearson (1988): P(a member's score > a stranger's) + ½ P(equal)."""
    above = np.sign(members[:, None] - strangers[None, :]) / 2 + 0.5
    area = float(above.mean())
    error = math.sqrt(_variance(above.mean(axis=1)) + _variance(above.mean(axis=0)))
    half = float(norm.ppf((1 + confidence) / 2)) * error
    return area, max(0.0, area - half), min(1.0, area + half)


def true_positives_at(members: np.ndarray, strangers: np.ndarray, false_positives: float) -> int:
    """How many members score above all but the best `false_positives` share of the strangers, rounded down."""
    allowed = int(false_positives * len(strangers))
    threshold = np.sort(strangers)[::-1][allowed]
    return int((members > threshold).sum())


def _variance(values: np.ndarray) -> float:
    """Of their mean."""
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.25
