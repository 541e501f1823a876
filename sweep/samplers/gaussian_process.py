"""Gaussian process regression for a few hundred noisy trials: Matérn-5/2, one length scale a parameter, MAP.

Numbers are standardised: outputs of mean 0 and variance 1, parameters in the unit cube. Notation of Rasmussen and
Williams, *Gaussian Processes for Machine Learning* (2006): K, L, α, and eq. 5.9 for the gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.special import log_ndtr

from sweep.samplers.encoding import Array

JITTER = 1e-6  # of a signal variance near 1: keeps K positive definite where settings are repeated
_SQRT5 = math.sqrt(5.0)
_ITERATIONS = 40


@dataclass(frozen=True)
class Priors:
    """Normal priors of the logarithms of a process's hyper-parameters: (mean, standard deviation).

    The length scales' are around what an encoding expects: they grow with the square root of the number of parameters, as
    distances in a cube do (Hvarfner et al., arXiv 2402.02229); the first ten trials then read as a trend, not as noise.
    """

    length_scale: tuple[float, float] = (0.0, 0.9)
    signal: tuple[float, float] = (0.0, 0.7)
    noise: tuple[float, float] = (math.log(0.03), 1.3)

    def of(self, expected: Array) -> tuple[Array, Array]:
        """Means and standard deviations: of the length scales, around those expected, the signal variance and the noise's."""
        means = [*(self.length_scale[0] + expected), self.signal[0], self.noise[0]]
        sds = [self.length_scale[1]] * len(expected) + [self.signal[1], self.noise[1]]
        return np.array(means), np.array(sds)


@dataclass(frozen=True)
class Data:
    """What one output is known by: features (n, e) of parameters with `expected` length scales, values (n,), their noise.

    The variance of value i is `known[i]` + σ²·`share[i]`, with σ² the learned noise variance: a measured value has a share
    of 1, an imputed one of 0.
    """

    features: Array
    columns: NDArray[np.intp]
    expected: Array  # logarithms, one a parameter
    values: Array
    known: Array
    share: Array
    trend: Trend = field(default_factory=lambda: Trend())

    @property
    def groups(self) -> int:
        return len(self.expected)


@dataclass(frozen=True)
class Trend:
    """What the process varies about: a constant, and the means of processes that earlier studies left, all with weights.

    The weights are normal: the constant's N(0, 1), those of `sources` N(1/2 of an equal share, 1). An earlier study is
    believed by half until trials say otherwise, and one that misleads is soon weighted by 0 or less.
    """

    sources: tuple[GaussianProcess, ...] = ()

    @property
    def means(self) -> Array:
        return np.array([0.0] + [0.5 / max(len(self.sources), 1)] * len(self.sources))

    @property
    def variances(self) -> Array:
        return np.ones(1 + len(self.sources))

    def at(self, features: Array) -> Array:
        """(n, 1 + sources): what the weights multiply."""
        return np.stack([np.ones(len(features)), *(s.at(features).mean for s in self.sources)], axis=1)


@dataclass(frozen=True)
class Hyperparameters:
    """Length scales (parameters,), signal variance, noise variance."""

    length_scales: Array
    signal: float
    noise: float


@dataclass(frozen=True)
class Fit:
    """Hyper-parameters found for data about a trend, and the negative log of the posterior there."""

    hyperparameters: Hyperparameters
    trend: Trend
    surprise: float


def fit(data: Data, priors: Priors = Priors()) -> Fit:
    """The maximum a posteriori; the prior's mode where there is nothing to learn from."""
    theta, sds = priors.of(data.expected)
    surprise = 0.0
    if len(data.values) >= 2:
        gaps, columns = _gaps(data), data.trend.at(data.features)
        residual = data.values - columns @ data.trend.means
        optimum = minimize(
            _negative_log_posterior,
            theta,
            args=(gaps, data, residual, (columns * data.trend.variances) @ columns.T, theta, sds),
            jac=True,
            method="L-BFGS-B",
            bounds=[(m - 5 * s, m + 5 * s) for m, s in zip(theta, sds, strict=True)],
            options={"maxiter": _ITERATIONS, "ftol": 1e-5},
        )
        theta, surprise = optimum.x, float(optimum.fun)
    scales = np.exp(theta)
    hyper = Hyperparameters(scales[: data.groups], float(scales[-2]), float(scales[-1]))
    return Fit(hyper, data.trend, surprise)


def _gaps(data: Data) -> Array:
    """(groups, n²): squared distances between trials, parameter by parameter, before their length scales."""
    n = len(data.values)
    gaps = np.zeros((data.groups, n, n))
    for column, group in enumerate(data.columns):
        x = data.features[:, column]
        gaps[group] += (x[:, None] - x[None, :]) ** 2
    return gaps.reshape(data.groups, n * n)


def _negative_log_posterior(
    theta: Array, gaps: Array, data: Data, residual: Array, trend: Array, prior_means: Array, prior_sds: Array
) -> tuple[float, Array]:
    """And its gradient. `residual` is what the trend's mean leaves of the values, `trend` (n, n) its covariance."""
    n = len(data.values)
    inverse_squares = np.exp(-2 * theta[:-2])
    signal, noise = math.exp(theta[-2]), math.exp(theta[-1])
    r2 = (inverse_squares @ gaps).reshape(n, n)
    r = np.sqrt(r2)
    decay = np.exp(-_SQRT5 * r)
    covariance = signal * (1 + _SQRT5 * r + 5 / 3 * r2) * decay
    total = covariance + trend
    total.flat[:: n + 1] += data.known + noise * data.share + JITTER
    lower = cholesky(total, lower=True, check_finite=False)
    inverse = cho_solve((lower, True), np.eye(n), check_finite=False)
    alpha = inverse @ residual
    outer = np.outer(alpha, alpha) - inverse
    slope = (outer * (-5 / 6 * signal) * (1 + _SQRT5 * r) * decay).ravel()  # of k by r², weighted
    gradient = np.empty_like(theta)
    gradient[:-2] = -0.5 * (gaps @ slope) * (-2 * inverse_squares)
    gradient[-2] = -0.5 * float(np.sum(outer * covariance))
    gradient[-1] = -0.5 * noise * float(np.diag(outer) @ data.share)
    standard = (theta - prior_means) / prior_sds
    value = 0.5 * residual @ alpha + np.log(np.diag(lower)).sum() + 0.5 * standard @ standard
    return float(value), gradient + standard / prior_sds


class GaussianProcess:
    """A process conditioned on data, at given hyper-parameters."""

    def __init__(self, data: Data, hyperparameters: Hyperparameters) -> None:
        self.hyperparameters = hyperparameters
        self._scales = hyperparameters.length_scales[data.columns] if data.groups else np.ones(0)
        self._features, self._trend = data.features / self._scales, data.trend
        self._columns = data.trend.at(data.features)
        n = len(data.values)
        total = self._kernel(self._features, self._features, self._columns, self._columns)
        total.flat[:: n + 1] += data.known + hyperparameters.noise * data.share + JITTER
        self._lower = cholesky(total, lower=True, check_finite=False) if n else np.zeros((0, 0))
        self._whitened = self._solved(data.values - self._columns @ data.trend.means)

    def _solved(self, right: Array) -> Array:
        return solve_triangular(self._lower, right, lower=True, check_finite=False) if len(right) else right

    def _kernel(self, a: Array, b: Array, trend_a: Array, trend_b: Array) -> Array:
        r2 = np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T, 0.0)
        r = np.sqrt(r2)
        matern = self.hyperparameters.signal * (1 + _SQRT5 * r + 5 / 3 * r2) * np.exp(-_SQRT5 * r)
        return np.asarray(matern + (trend_a * self._trend.variances) @ trend_b.T)

    def at(self, features: Array) -> Marginal:
        """The noise-free function's posterior at (m, e) features."""
        scaled, columns = features / self._scales, self._trend.at(features)
        solved = self._solved(self._kernel(self._features, scaled, self._columns, columns))
        prior = self.hyperparameters.signal + columns**2 @ self._trend.variances
        variance = np.maximum(prior - (solved**2).sum(0), 1e-9)
        return Marginal(scaled, columns, solved, columns @ self._trend.means + self._whitened @ solved, variance)

    def covariance(self, a: Marginal, b: Marginal) -> Array:
        """Posterior covariance between two sets of places."""
        return np.asarray(self._kernel(a.scaled, b.scaled, a.columns, b.columns) - a.solved.T @ b.solved)


@dataclass(frozen=True)
class Marginal:
    """A process at m places: means and variances (m,), and what covariances with other places are made of."""

    scaled: Array
    columns: Array
    solved: Array
    mean: Array
    variance: Array


def truncation_sites(mean: Array, covariance: Array, bounds: Array, noise: float) -> tuple[Array, Array]:
    """Values and variances of the pseudo-observations that say: each y = f + noise is above its bound.

    Expectation propagation (Rasmussen and Williams, section 3.6, with Φ((f − bound)/σ) for the likelihood) for a
    posterior of f with this mean and covariance. A bound that tells nothing gets a huge variance.
    """
    n = len(mean)
    precision, shift = np.full(n, 1e-8), np.zeros(n)
    for _ in range(8):
        root = np.sqrt(precision)
        inner = np.eye(n) + root[:, None] * covariance * root
        half = solve_triangular(cholesky(inner, lower=True), root[:, None] * covariance, lower=True)
        posterior = covariance - half.T @ half
        # (C⁻¹ + T)⁻¹ (C⁻¹ m + ν) = m + Σ (ν − T m)
        at = mean + posterior @ (shift - precision * mean)
        variance = np.maximum(np.diag(posterior), 1e-10)
        cavity_precision = np.maximum(1 / variance - precision, 1e-8)
        cavity_variance = 1 / cavity_precision
        cavity = cavity_variance * (at / variance - shift)
        spread = np.sqrt(cavity_variance + noise)
        z = (cavity - bounds) / spread
        ratio = np.exp(-0.5 * z**2 - 0.5 * math.log(2 * math.pi) - log_ndtr(z))
        tilted = cavity + cavity_variance * ratio / spread
        narrowed = np.maximum(cavity_variance - cavity_variance**2 / spread**2 * ratio * (ratio + z), 1e-10)
        new = np.maximum(1 / narrowed - cavity_precision, 1e-8)
        precision = 0.3 * precision + 0.7 * new
        shift = 0.3 * shift + 0.7 * np.where(new > 1e-8, tilted / narrowed - cavity * cavity_precision, 0.0)
    return shift / precision, 1 / precision
