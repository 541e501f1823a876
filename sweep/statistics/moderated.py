"""Intervals that use the seeds of every trial: what one trial varies by between seeds, moderated by what the others do.

Three seeds say little of how much a trial varies between seeds, but trials of a run vary much alike. So one model holds for a
figure of all confirmed trials, y = μ(trial) + k(trial) · (b(seed) + e(trial, seed)):

- **Residual variances** σ²(trial) of e are drawn from a scaled inverse χ², as in the moderated t (Smyth 2004, "Linear models and
  empirical Bayes methods", Statistical Applications in Genetics and Molecular Biology 3). Its scale and its degrees of freedom are
  not estimated but averaged over, by their likelihood: six trials do not tell how unequal their variances are. The more unequal
  they are, the less a trial takes from the others, and a trial alone takes nothing: its interval is Student's.
- **A seed's effect** b is what it does to every trial alike: it draws the same noise for all. It stays in a trial's mean, and its
  variance is known by as many degrees of freedom as there are seeds less one, however many trials share them; a mean's degrees of
  freedom are of both (Satterthwaite 1946). Out of a difference of two trials on the same seeds it drops.
- **A trend** k: noise grows with damage. Of a figure without bounds k² = 1 + (mean / m)², of a share of n samples k² = p(1 − p)/n +
  τ² p²(1 − p)²: its samples' noise and a seed's on the logit scale. m and τ are the most likely of a few.

A share's interval is never narrower than Wilson's over all samples, as that of `sweep.statistics.shares`, nor beyond [0, 1].
How it covers: `benchmarks/intervals.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr, ndtri, stdtr, stdtrit

from sweep.statistics.estimates import Estimate
from sweep.statistics.shares import Point, wilson

Array = NDArray[np.float64]

_FREEDOM = np.array([4.0, 16.0, 1e4])  # of the variances' distribution: very unequal, somewhat, all the same
_WEIGHTS = np.array([0.25, 0.25, 0.5])
_SCALES = np.exp(np.linspace(-3.0, 3.0, 25))  # of its scale, in units of the pooled variance
_TRENDS = (math.inf, 40.0, 20.0, 10.0)  # m, in units of the pooled standard deviation
_LOGIT_NOISE = (0.0, 1.0, 4.0, 16.0, 64.0)  # τ² in units of 1/n
_Z = float(ndtri(0.975))
_LEAST_FREEDOM = 2.0  # of the others, for an interval of a trial on one seed
_PASSES = 2  # in which trials are weighed anew by their variances


@dataclass(frozen=True)
class Variance:
    """A variance and the degrees of freedom by which it is known; 0 of them where nothing says it."""

    value: float
    freedom: float

    def __add__(self, other: Variance) -> Variance:
        """Of the sum of two independent variables, Satterthwaite's degrees of freedom."""
        total = self.value + other.value
        parts = [v.value**2 / v.freedom for v in (self, other) if v.value > 0 and v.freedom > 0]
        return Variance(total, total**2 / sum(parts) if parts else max(self.freedom, other.freedom))

    def over(self, n: float) -> Variance:
        """Of a mean of n."""
        return Variance(self.value / n, self.freedom)

    def reach(self, confidence: float = 0.95) -> float:
        """Half of the width of Student's t interval."""
        return float(stdtrit(self.freedom, 0.5 + confidence / 2)) * math.sqrt(self.value) if self.value > 0 else 0.0

    def below(self, gap: float) -> float:
        """The probability that what is known to this variance lies less than `gap` above its mean."""
        return float(stdtr(self.freedom, gap / math.sqrt(self.value))) if self.value > 0 else float(gap >= 0)


@dataclass(frozen=True)
class _Fit:
    """Of trials in their order, with k = 1: residual variances with their freedom, the seeds' variance with its own, and how
    likely the trials' residuals are."""

    residual: Array  # (T,)
    freedom: Array  # (T,)
    seed: Variance
    of_seed: float  # how much of the residual variance the seeds' variance holds already
    log_likelihood: float


@dataclass(frozen=True)
class Moderated:
    """One figure of several trials, by seed, with intervals that hold for each; `share` says that it lies within [0, 1].

    Every method takes a trial's name. None where it has no point, and, but for `estimate`, where it has fewer than two. A trial
    on one seed has an interval where the others tell what seeds do; whether it keeps a bound it never decides.
    """

    points: Mapping[str, Mapping[int, Point]]
    share: bool = False

    def estimate(self, trial: str) -> Estimate | None:
        """The mean over the trial's seeds with its 95 % interval."""
        points = self.points.get(trial, {})
        if not points:
            return None
        mean = _mean(points)
        variance = self.variance(trial) or self._variance_of_one(trial)
        if variance is None:
            return Estimate(mean, None, None, len(points))
        half = variance.reach()
        lower, upper = mean - half, mean + half
        if samples := _samples(points):
            hits = sum(p.value * p.samples for p in points.values())
            low, high = wilson(np.array(hits / samples), np.array(samples), _Z)
            lower, upper = min(lower, float(low)), max(upper, float(high))
        interval = Estimate(mean, lower, upper, len(points))
        return interval.as_share() if self.share else interval

    def probability_below(self, trial: str, bound: float) -> float | None:
        """How probable it is that the mean over all seeds is at most `bound`.

        Of a share of samples it is never surer than the normal distribution with the samples' own standard error, two hits and
        two misses added (Agresti and Coull 1998), makes it.
        """
        variance = self.variance(trial)
        if variance is None:
            return None
        points = self.points[trial]
        gap = bound - _mean(points)
        chances = [variance.below(gap)]
        if samples := _samples(points):
            share = _shrunk(_mean(points), samples)
            chances.append(float(ndtr(gap / math.sqrt(share * (1 - share) / (samples + 4)))))
        return min(chances, key=lambda p: abs(p - 0.5))

    def difference(self, a: str, b: str) -> Estimate | None:
        """Mean of a − b over the seeds both have, with its 95 % interval; what a seed does to both alike drops out.

        Where the trend has a seed do more to one than to the other, (kₐ − k_b) b of it stays, with the seeds' variance.
        Of shares never narrower than the least that their samples leave open: see `sweep.statistics.shares`.
        """
        shared = sorted(self.points.get(a, {}).keys() & self.points.get(b, {}).keys())
        if not shared:
            return None
        mean = float(np.mean([self.points[a][s].value - self.points[b][s].value for s in shared]))
        if len(shared) < 2:
            return Estimate(mean, None, None, len(shared))
        fit, k = self._fitted
        unlike = float(k[self._trials[a]] - k[self._trials[b]]) ** 2
        varies = self._residual(a) + self._residual(b) + Variance(fit.seed.value * unlike, fit.seed.freedom)
        half = varies.over(len(shared)).reach()
        if samples := sum(min(self.points[a][s].samples, self.points[b][s].samples) for s in shared):
            low, high = (float(end) for end in wilson(np.array(abs(mean)), np.array(samples), _Z))
            half = max(half, high - abs(mean), abs(mean) - low)
        if self.share:
            return Estimate(mean, max(mean - half, -1.0), min(mean + half, 1.0), len(shared))
        return Estimate(mean, mean - half, mean + half, len(shared))

    def variance(self, trial: str) -> Variance | None:
        """Of the mean over the trial's seeds."""
        n = len(self.points.get(trial, {}))
        if n < 2:
            return None
        return self._between(self._residual(trial), trial).over(n)

    def _variance_of_one(self, trial: str) -> Variance | None:
        """Of a trial on one seed, by what the others vary; None where they say little of it."""
        variance = self._between(self._residual(trial), trial)
        return variance if self._residual(trial).freedom >= _LEAST_FREEDOM else None

    def own_freedom(self, trial: str) -> int:
        """The degrees of freedom that the trial's own seeds give; what `variance` has beyond them, the other trials do."""
        return max(len(self.points.get(trial, {})) - 1, 0)

    @cached_property
    def _trials(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(t for t, points in self.points.items() if points)}

    def _residual(self, trial: str) -> Variance:
        """What the trial alone varies by from seed to seed, the seeds' effects left out."""
        i, (fit, k) = self._trials[trial], self._fitted
        return Variance(float(fit.residual[i] * k[i] ** 2), float(fit.freedom[i]))

    def _between(self, residual: Variance, trial: str) -> Variance:
        """What it varies by from seed to seed, the seeds' effects counted in."""
        fit, k = self._fitted
        scale = float(k[self._trials[trial]]) ** 2
        rest = max(residual.value - fit.of_seed * scale, 0.0)
        return Variance(fit.seed.value * scale, fit.seed.freedom) + Variance(rest, residual.freedom)

    @cached_property
    def _fitted(self) -> tuple[_Fit, Array]:
        """The most likely of the trends, fitted, and its k (T,)."""
        rows = [(self._trials[t], s, p.value) for t, points in self.points.items() for s, p in points.items()]
        trial, seed, value = (np.array(column) for column in zip(*rows, strict=True))
        _, seed = np.unique(seed, return_inverse=True)
        fits = [(_fit(value / k[trial], trial, seed, k), k) for k in self._trends(trial, value)]
        return max(fits, key=lambda one: one[0].log_likelihood)

    def _trends(self, trial: NDArray[np.intp], value: Array) -> list[Array]:
        """Each k (T,) that may be, the first of them the plainest: of two as likely it is taken."""
        count = np.bincount(trial)
        means = np.bincount(trial, value) / count
        samples = np.array([_samples(self.points[t]) for t in self._trials], dtype=float)
        if self.share and (samples > 0).all():
            shrunk = (means * samples + 2) / (samples + 4)
            spread, n = shrunk * (1 - shrunk), samples / count
            trends = [np.sqrt(spread / n * (1 + noise * spread)) for noise in _LOGIT_NOISE]
            return [k / np.exp(np.log(k).mean()) for k in trends]
        within = np.bincount(trial, (value - means[trial]) ** 2)
        varied = within[count > 1] / (count[count > 1] - 1)
        typical = math.sqrt(float(np.median(varied))) if len(varied) else 0.0
        if self.share or typical == 0:
            return [np.ones(len(count))]
        return [np.sqrt(1 + (means / (trend * typical)) ** 2) for trend in _TRENDS]


def _fit(z: Array, trial: NDArray[np.intp], seed: NDArray[np.intp], k: Array) -> _Fit:
    """The model of z (N,) = y / k by trial and seed, each trial weighed by its own moderated variance."""
    trials = len(k)
    contrasts = _contrasts(int(seed.max()) + 1)
    design = np.zeros((len(z), trials + contrasts.shape[1]))
    design[np.arange(len(z)), trial] = 1.0
    design[:, trials:] = contrasts[seed]
    weights = np.ones(trials)
    for _ in range(_PASSES + 1):
        weighted = design.T * weights[trial]
        inverse = np.linalg.pinv(weighted @ design, hermitian=True)
        coefficients = inverse @ (weighted @ z)
        squares = np.bincount(trial, (z - design @ coefficients) ** 2, trials).astype(np.float64)
        leverage = np.bincount(trial, ((design @ inverse) * design).sum(axis=1) * weights[trial], trials)
        freedom = np.maximum(np.bincount(trial, minlength=trials) - leverage, 0.0).astype(np.float64)
        residual, known, log_likelihood = _moderate(squares, freedom)
        if not residual.any():
            break
        weights = 1 / residual
    effects, n = coefficients[trials:], max(contrasts.shape[1], 1)
    effects[np.abs(effects) < 1e-12 * np.abs(z).max()] = 0.0  # of rounding alone
    held = float(np.trace(inverse[trials:, trials:])) / n if residual.any() else 0.0
    seeds = Variance(float(effects @ effects) / n, float(contrasts.shape[1]))
    # What z is likely by is less likely of y by k a degree of freedom.
    return _Fit(residual, known, seeds, held, log_likelihood - float(freedom @ np.log(k)))


def _moderate(squares: Array, freedom: Array) -> tuple[Array, Array, float]:
    """Sums of squares (T,) of so many degrees of freedom (T,) as moderated variances, their freedom, and the log likelihood.

    A variance is the inverse of its mean precision, its freedom that of the χ² whose precision varies as much. All are 0 where
    nothing varies, or nothing is left to vary.
    """
    known = freedom > 1e-9
    if not known.any() or squares[known].sum() <= 0:
        return np.zeros(len(squares)), np.zeros(len(squares)), 0.0
    pooled = squares[known].sum() / freedom[known].sum()
    d, scale = _FREEDOM[:, None, None], pooled * _SCALES[None, :, None]
    of_each = (
        gammaln((freedom + d) / 2)
        - gammaln(d / 2)
        - freedom / 2 * np.log(d * scale)
        - (freedom + d) / 2 * np.log1p(squares / (d * scale))
    )
    log_posterior = of_each[..., known].sum(axis=-1) + np.log(_WEIGHTS)[:, None]
    peak = float(log_posterior.max())
    weights = np.exp(log_posterior - peak)
    likelihood = peak + math.log(float(weights.sum()))
    weights = (weights / weights.sum())[..., None]
    shape, rate = (d + freedom) / 2 + 0 * scale, (d * scale + squares) / 2
    precision = (weights * shape / rate).sum(axis=(0, 1))
    spread = (weights * (shape / rate**2 + (shape / rate) ** 2)).sum(axis=(0, 1)) - precision**2
    return 1 / precision, 2 * precision**2 / spread, likelihood


def _contrasts(n: int) -> Array:
    """(n, n - 1): orthonormal columns that sum to 0, by which effects of n seeds are told (Helmert's)."""
    columns = np.zeros((n, n - 1))
    for j in range(1, n):
        columns[:j, j - 1], columns[j, j - 1] = 1.0, -j
        columns[:, j - 1] /= math.sqrt(j * (j + 1))
    return columns


def _mean(points: Mapping[int, Point]) -> float:
    return float(np.mean([p.value for p in points.values()]))


def _samples(points: Mapping[int, Point]) -> int:
    """The samples of a share in all; 0 where it is of none."""
    return sum(p.samples for p in points.values())


def _shrunk(share: float, samples: int) -> float:
    return (share * samples + 2) / (samples + 4)
