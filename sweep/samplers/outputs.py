"""What is known of each figure, as a Gaussian process can take it: turned so that less is better, warped, standardised.

A constraint on an objective is no output of its own: the objective's process knows it, and the hypervolume is measured up
to the bound. Any other constraint is an output whose sign matters and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sweep.samplers import Observation, Question
from sweep.samplers.encoding import Array, Encoding
from sweep.samplers.gaussian_process import Data, GaussianProcess, Hyperparameters, Marginal, truncation_sites
from sweep.statistics.estimates import nondominated

FAILURE = "\0failure"  # the output that says whether a trial fails; no metric is called so
COST = "\0cost"  # the output that says what a trial costs


@dataclass(frozen=True)
class Warp:
    """An increasing map that keeps resolution where decisions are made and squashes the tails.

    One-sided (objectives): the identity up to `turn`, the corner of the hypervolume, where values are what is searched;
    logarithmic in units of `scale` above, where all that matters is that they are worse. Two-sided (constraints):
    logarithmic on both sides of 0, as only the sign is asked for (Eriksson and Poloczek, arXiv 2002.08526, eq. 5).
    """

    turn: float
    scale: float
    two_sided: bool = False

    def __call__(self, values: Array) -> Array:
        beyond = np.log1p(np.abs(values - self.turn) / self.scale)
        if self.two_sided:
            return np.sign(values - self.turn) * beyond
        return np.where(values <= self.turn, values, self.turn + self.scale * beyond)

    def slope(self, values: Array) -> Array:
        """The derivative: what a standard error is multiplied by."""
        distance = np.abs(values - self.turn)
        if self.two_sided:
            return np.asarray(1 / (self.scale + distance))
        return np.where(values <= self.turn, 1.0, self.scale / (self.scale + distance))


@dataclass(frozen=True)
class Known:
    """One figure of some trials: row of the trial, value, standard error or nan; and bounds from below."""

    rows: NDArray[np.intp]
    values: Array
    sems: Array
    bounded: NDArray[np.intp]
    bounds: Array


@dataclass(frozen=True)
class Output:
    """One figure's process, and how its standardised values are turned back: w = centre + spread · value."""

    metric: str
    centre: float
    spread: float
    process: GaussianProcess

    def at(self, features: Array) -> Marginal:
        return self.process.at(features)


@dataclass(frozen=True)
class Corner:
    """Where hypervolume is measured up to, in turned units (m,), and the constraints that this already enforces."""

    limits: Array
    enforced: frozenset[str]


def signs(question: Question) -> Array:
    """(m,): what each objective is multiplied by so that less is better."""
    return np.array([o.sign for o in question.objectives])


def objective(question: Question, observations: Sequence[Observation], index: int) -> Known:
    """What is known of an objective, turned so that less is better."""
    metric, sign = question.objectives[index].metric, question.objectives[index].sign
    finished = [(i, o) for i, o in enumerate(observations) if not o.failed]
    has = [(i, o) for i, o in finished if metric in o.figures]
    bounded = [(i, o) for i, o in finished if metric in o.bounds and metric not in o.figures]
    return Known(
        rows=np.array([i for i, _ in has], dtype=np.intp),
        values=np.array([sign * o.figures[metric] for _, o in has]),
        sems=np.array([o.sems.get(metric, 0.0) for _, o in has]),
        bounded=np.array([i for i, _ in bounded], dtype=np.intp),
        bounds=np.array([sign * o.bounds[metric] for _, o in bounded]),
    )


def excess(observations: Sequence[Observation], metric: str, shared: bool) -> Known:
    """What is known of a constraint. A standard error is the figure's where the metric is an objective too: left out."""
    has = [(i, o) for i, o in enumerate(observations) if not o.failed and metric in o.excesses]
    return Known(
        rows=np.array([i for i, _ in has], dtype=np.intp),
        values=np.array([o.excesses[metric] for _, o in has]),
        sems=np.array([0.0 if shared else o.sems.get(metric, 0.0) for _, o in has]),
        bounded=np.zeros(0, dtype=np.intp),
        bounds=np.zeros(0),
    )


def failure(observations: Sequence[Observation]) -> Known:
    """1 where a trial failed, −1 where it did not."""
    n = len(observations)
    labels = np.array([1.0 if o.failed else -1.0 for o in observations])
    nothing = np.zeros(0)
    return Known(np.arange(n), labels, np.zeros(n), np.zeros(0, dtype=np.intp), nothing)


def cost(observations: Sequence[Observation]) -> Known:
    """Logarithms of the core-seconds of trials that ran to their end: what a stopped one would have cost is not known."""
    has = [(i, o) for i, o in enumerate(observations) if o.complete and o.core_s > 0]
    n, nothing = len(has), np.zeros(0)
    rows = np.array([i for i, _ in has], dtype=np.intp)
    values = np.log([o.core_s for _, o in has])
    return Known(rows, values, np.zeros(n), np.zeros(0, dtype=np.intp), nothing)


def corner(question: Question, observations: Sequence[Observation]) -> Corner:
    """The corner: the question's, drawn in to the bounds of constrained objectives, or one that the trials suggest."""
    limits = np.full(len(question.objectives), np.inf)
    if question.reference is not None:
        limits = signs(question) * np.array(question.reference)
    enforced = set()
    for j, o in enumerate(question.objectives):
        for constraint in question.constraints:
            beyond = constraint.metric == o.metric and constraint.side == o.worse_side
            if beyond and constraint.bound is not None:
                limits[j] = min(limits[j], o.sign * constraint.bound)
                enforced.add(constraint.name)
    if np.isinf(limits).any():
        suggested = _suggested(question, observations)
        limits = np.where(np.isinf(limits), suggested, limits)
    return Corner(limits, frozenset(enforced))


def _suggested(question: Question, observations: Sequence[Observation]) -> Array:
    """A tenth of its range beyond the worst of the non-dominated trials, feasible ones if there are any."""
    complete = [o for o in observations if o.complete]
    feasible = [o for o in complete if o.feasible]
    some = feasible or complete
    if not some:
        return np.zeros(len(question.objectives))
    values = np.array([[o.figures[m.metric] for m in question.objectives] for o in some]) * signs(question)
    front = values[nondominated(values, ["minimise"] * values.shape[1])]
    wide = np.ptp(front, axis=0)
    return np.asarray(front.max(0) + 0.1 * np.where(wide > 0, wide, np.abs(front.max(0)) + 1e-9))


def objective_warp(known: Known, limit: float) -> Warp:
    """Linear up to the corner; the tail in units of how far the best trials are from it."""
    if not len(known.values):
        return Warp(limit, 1.0)
    inside = limit - known.values.min()
    outside = known.values[known.values > limit] - limit
    scale = inside if inside > 0 else 0.25 * float(np.quantile(outside, 0.25)) if len(outside) else 1.0
    return Warp(limit, max(scale, 1e-9))


def excess_warp(known: Known) -> Warp:
    sizes = np.abs(known.values[known.values != 0])
    return Warp(0.0, float(np.median(sizes)) if len(sizes) else 1.0, two_sided=True)


def data_of(
    known: Known, warp: Warp | None, features: Array, encoding: Encoding, columns: NDArray[np.intp]
) -> Standard:
    values = warp(known.values) if warp else known.values
    slope = warp.slope(known.values) if warp else np.ones(len(values))
    centre = float(values.mean()) if len(values) else 0.0
    spread = float(values.std()) if len(values) else 1.0
    spread = spread if spread > 1e-12 else 1.0
    data = Data(
        features=features[known.rows],
        columns=columns,
        expected=encoding.expected,
        values=(values - centre) / spread,
        known=(known.sems * slope / spread) ** 2,
        share=np.ones(len(values)),
    )
    return Standard(data, centre, spread)


@dataclass(frozen=True)
class Standard:
    """Standardised data, and what they were standardised by."""

    data: Data
    centre: float
    spread: float


def output(
    metric: str, known: Known, warp: Warp | None, features: Array, standard: Standard, hyper: Hyperparameters
) -> Output:
    """The process of one figure, bounds included: of a trial that was stopped, f + noise is above what it had."""
    data = standard.data
    process = GaussianProcess(data, hyper)
    if len(known.bounded):
        places = process.at(features[known.bounded])
        bounds = (warp(known.bounds) if warp else known.bounds) - standard.centre
        sites, variances = truncation_sites(
            places.mean, process.covariance(places, places), bounds / standard.spread, hyper.noise
        )
        telling = variances < 1e4
        data = replace(
            data,
            features=np.concatenate([data.features, features[known.bounded][telling]]),
            values=np.concatenate([data.values, sites[telling]]),
            known=np.concatenate([data.known, variances[telling]]),
            share=np.concatenate([data.share, np.zeros(int(telling.sum()))]),
        )
        process = GaussianProcess(data, hyper)
    return Output(metric, standard.centre, standard.spread, process)
