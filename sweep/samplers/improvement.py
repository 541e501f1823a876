"""Noisy expected hypervolume improvement under constraints, over joint draws of the processes.

Daulton, Balandat and Bakshy (arXiv 2105.08195): what is known so far is itself uncertain, so the front is drawn anew in
every sample, from the joint posterior at the trials that may be on it and at those still running. Given a draw there, a
candidate's outputs are independent normals, and its improvement has a closed form: nothing is left to chance but the
draw. All objectives are turned so that less is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.special import log_ndtr, ndtr
from scipy.stats import qmc

from sweep.samplers.encoding import Array
from sweep.samplers.gaussian_process import Marginal
from sweep.samplers.outputs import Output
from sweep.statistics.estimates import areas

_DENSITY = 1 / math.sqrt(2 * math.pi)
_CELLS, _FEW = 256, 16  # places that volumes of three and more objectives are counted at, a power of 2; and draws


@dataclass(frozen=True)
class _Drawn:
    """One output at the baseline: the marginal there, its Cholesky factor, and standard normals (s, b)."""

    output: Output
    places: Marginal
    lower: Array
    normals: Array

    @property
    def values(self) -> Array:
        """(s, b) draws, in the output's own units."""
        drawn = self.places.mean + self.normals @ self.lower.T
        return self.output.centre + self.output.spread * drawn

    def given(self, features: Array, draws: int) -> tuple[Array, Array]:
        """Means (draws, n) and standard deviations (n,) at the features, given the first draws at the baseline."""
        at = self.output.at(features)
        across = self.output.process.covariance(self.places, at)
        weights = solve_triangular(self.lower, across, lower=True, check_finite=False, overwrite_b=True)
        mean = at.mean + self.normals[:draws] @ weights
        variance = np.maximum(at.variance - (weights**2).sum(0), 1e-10)
        return self.output.centre + self.output.spread * mean, self.output.spread * np.sqrt(variance)


class Improvement:
    """Expected improvement of hypervolume, up to `limits`, over what is drawn at the `baseline` features (b, e)."""

    def __init__(
        self,
        objectives: Sequence[Output],
        constraints: Sequence[Output],
        failure: Output | None,
        limits: Array,
        baseline: Array,
        normals: Array,
    ) -> None:
        self._failure, self._limits = failure, limits
        drawn = [_drawn(o, baseline, normals[k]) for k, o in enumerate([*objectives, *constraints])]
        self._objectives, self._constraints = drawn[: len(objectives)], drawn[len(objectives) :]
        values = np.stack([d.values for d in self._objectives], axis=2)  # (s, b, m)
        inside = np.all(values < limits, axis=2)
        for constraint in self._constraints:
            inside &= constraint.values <= 0
        self._fronts = [front(v[on]) for v, on in zip(values, inside, strict=True)]

    @property
    def hypervolume(self) -> float:
        """Mean over the draws of the hypervolume at the baseline."""
        return float(np.mean([areas(f, self._limits) for f in self._fronts]))

    def __call__(self, features: Array, draws: int | None = None) -> Array:
        """(n,) expected improvement at the features, times the chance that the trial holds its constraints and ends.

        Over the first `draws` alone where that is enough, to choose what is worth a closer look.
        """
        fronts = self._fronts[:draws] if len(self._limits) < 3 else self._fronts[:_FEW]
        given = [d.given(features, len(fronts)) for d in self._objectives]
        if len(given) == 1:
            best = np.array([[f[0, 0] if len(f) else self._limits[0]] for f in fronts])
            gain = _shortfall(best, *given[0])[:, 0]
        elif len(given) == 2:
            gain = self._area(fronts, *given)
        else:
            gain = self._volume(fronts, given)
        for constraint in self._constraints:
            mean, sd = constraint.given(features, len(fronts))
            gain = gain * ndtr(-mean / sd)
        score: Array = gain.mean(0)
        return score * self._ends(features)

    def log_feasible(self, features: Array) -> Array:
        """(n,) log probability of being feasible and inside the corner: what is left where no improvement is in reach."""
        total = np.log(np.maximum(self._ends(features), 1e-300))
        for limit, one in zip(self._limits, self._objectives, strict=True):
            mean, sd = one.given(features, len(self._fronts))
            total = total + log_ndtr((limit - mean) / sd).mean(0)
        for one in self._constraints:
            mean, sd = one.given(features, len(self._fronts))
            total = total + log_ndtr(-mean / sd).mean(0)
        return np.asarray(total)

    def log_nearer(self, features: Array, incumbent: Array) -> Array:
        """(n,) log expected gain in what the incumbent, (1, e) features, violates most, times the chances that nothing else
        is violated by more than there.

        What is to be asked for while nothing is feasible: the chance of being feasible is then that of a far tail, which is
        largest where least is known, at the rim of the space, and not where trials come closer to feasible.
        """
        bounds = [(d, float(limit)) for d, limit in zip(self._objectives, self._limits, strict=True)]
        bounds += [(d, 0.0) for d in self._constraints]
        over = []
        for drawn, bound in bounds:
            at = drawn.output.at(incumbent)
            over.append((drawn.output.centre + drawn.output.spread * float(at.mean[0]) - bound) / drawn.output.spread)
        worst, gain = int(np.argmax(over)), np.ones(1)
        for k, (drawn, bound) in enumerate(bounds):
            mean, sd = drawn.given(features, len(self._fronts))
            there = bound + max(over[k], 0.0) * drawn.output.spread
            if k == worst:
                gain = gain * _shortfall(np.full((len(mean), 1), there), mean, sd)[:, 0] / drawn.output.spread
            else:
                gain = gain * ndtr((there - mean) / sd)
        return np.log(np.maximum(gain.mean(0) * self._ends(features), 1e-300))

    def _ends(self, features: Array) -> Array:
        """Probability that a trial does not fail, of a process of 1 for failure and −1 for none."""
        if self._failure is None:
            return np.ones(len(features))
        at = self._failure.at(features)
        noise = self._failure.process.hyperparameters.noise
        mean = self._failure.centre + self._failure.spread * at.mean
        return np.asarray(ndtr(-mean / (self._failure.spread * np.sqrt(at.variance + noise))))

    def _area(self, fronts: list[Array], first: tuple[Array, Array], second: tuple[Array, Array]) -> Array:
        """Σ over strips between neighbours on the front: expected width gained times expected height gained."""
        strips = max(len(f) for f in fronts) + 1
        right = np.full((len(fronts), strips), self._limits[0])
        ceiling = np.full((len(fronts), strips), self._limits[1])
        for s, f in enumerate(fronts):
            right[s, : len(f)] = f[:, 0]
            ceiling[s, 1 : len(f) + 1] = f[:, 1]
        width = np.diff(_shortfall(right, *first), axis=1, prepend=0.0)
        return np.asarray(np.einsum("skn,skn->sn", width, _shortfall(ceiling, *second)))

    def _volume(self, fronts: list[Array], given: list[tuple[Array, Array]]) -> Array:
        """The same for any number of objectives: the chance of dominating each of some places that nothing dominates."""
        lows = np.array(
            [min(float((mean - sd).min()), limit) for (mean, sd), limit in zip(given, self._limits, strict=True)]
        )
        cube = qmc.Sobol(len(lows), scramble=True, rng=np.random.default_rng(0)).random(_CELLS)  # the same every time
        places = lows + (self._limits - lows) * cube
        candidates = len(given[0][1])
        gain = np.zeros((len(fronts), candidates))
        for s, f in enumerate(fronts):
            free = places[~np.any(np.all(f[None] <= places[:, None], axis=2), axis=1)] if len(f) else places
            chance = np.ones((len(free), candidates))
            for j, (mean, sd) in enumerate(given):
                chance *= ndtr((free[:, j, None] - mean[s]) / sd)
            gain[s] = chance.sum(axis=0)
        return gain * float(np.prod(self._limits - lows)) / _CELLS


def front(values: Array) -> Array:
    """The non-dominated rows of (n, m), in rising order of the first column; equal rows once."""
    kept: list[NDArray[np.float64]] = []
    for row in values[np.lexsort(values.T[::-1])]:
        if values.shape[1] == 2:
            if not kept or row[1] < kept[-1][1]:
                kept.append(row)
        elif not any((k <= row).all() for k in kept):
            kept.append(row)
    return np.array(kept).reshape(len(kept), values.shape[1])


def _drawn(output: Output, baseline: Array, normals: Array) -> _Drawn:
    places = output.at(baseline)
    covariance = output.process.covariance(places, places)
    covariance.flat[:: len(baseline) + 1] += 1e-6
    lower = cholesky(covariance, lower=True, check_finite=False) if len(baseline) else np.zeros((0, 0))
    return _Drawn(output, places, lower, normals[:, : len(baseline)])


def _shortfall(thresholds: Array, mean: Array, sd: Array) -> Array:
    """E[(t − y)⁺] for y normal: thresholds (s, k), mean (s, n), sd (n,) → (s, k, n)."""
    u = (thresholds[:, :, None] - mean[:, None, :]) / sd
    return np.asarray(sd * (_DENSITY * np.exp(-0.5 * u**2) + u * ndtr(u)))
