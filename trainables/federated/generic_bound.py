"""The accounting of VFLGAN's authors, for figures that are *claimed*: subsampling without replacement, by the generic bound.

A mechanism of Rényi divergence ε(α) on a batch drawn without replacement, a share γ of the rows, has (Wang, Balle and
Kasiviswanathan 2019, arXiv 1808.00087, Theorem 9), for whole α ≥ 2 and neighbours that replace one row,

    ε'(α) ≤ log( 1 + γ² C(α, 2) min{ 4 (e^ε(2) - 1), 2 e^ε(2) } + Σ_{j=3}^α γ^j C(α, j) 2 e^((j-1) ε(j)) ) / (α - 1)

where ε(∞) = ∞, as of a Gaussian mechanism, whose ε(j) = j / (2 σ²). T steps are (ε, δ)-private with
ε = min_α T ε'(α) + log(1/δ) / (α - 1). The authors apply this to the noise on one matrix of one party; the other weights are
trained on raw rows, so that it certifies neither the generators nor what they make.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gammaln, logsumexp

MOST_ORDER = 512


def claimed_epsilon(noise_multiplier: float, sampling_rate: float, steps: int, delta: float) -> float:
    """ε as the authors' accounting has it, σ = `noise_multiplier`; infinite without noise."""
    if noise_multiplier <= 0:
        return math.inf
    orders = np.arange(2, MOST_ORDER + 1)
    costs = steps * _log_moments(noise_multiplier, sampling_rate) + math.log(1 / delta)
    return float((costs / (orders - 1)).min())


def noise_claimed_for(wanted: float, sampling_rate: float, steps: int, delta: float) -> float:
    """σ at which the claimed ε is `wanted`, to a thousandth, and no more. ValueError where no noise gives it."""
    low, high = 1e-2, 1e-2
    while claimed_epsilon(high, sampling_rate, steps, delta) > wanted:
        low, high = high, 2 * high
        if high > 1e6:
            raise ValueError(f"no noise claims epsilon {wanted:g} at delta {delta:g}; allow a larger epsilon")
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if claimed_epsilon(middle, sampling_rate, steps, delta) <= wanted else (middle, high)
    return high


def _log_moments(noise: float, rate: float) -> np.ndarray:
    """(α - 1) ε'(α) of α = 2 … `MOST_ORDER`, none more than without sampling."""
    orders = np.arange(2, MOST_ORDER + 1)
    j = orders[None, :]
    terms = j * math.log(rate) + math.log(2) + (j - 1) * j / (2 * noise**2)
    terms[:, 0] += _of_two(1 / noise**2)
    sums = logsumexp(np.where(j <= orders[:, None], _LOG_CHOOSE + terms, -np.inf), axis=1)
    return np.minimum(np.logaddexp(0, sums), (orders - 1) * orders / (2 * noise**2))


def _of_two(divergence: float) -> float:
    """log min{4 (e^ε - 1), 2 e^ε} - log 2 e^ε: how much less the term of two is than the others are."""
    return min(math.log(2) + math.log(-math.expm1(-divergence)), 0.0)


def _log_choose() -> np.ndarray:
    """log C(α, j) of α and j = 2 … `MOST_ORDER`; of j > α anything."""
    n, k = np.ogrid[2 : MOST_ORDER + 1, 2 : MOST_ORDER + 1]
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(np.maximum(n - k, 0) + 1)


_LOG_CHOOSE = _log_choose()
