"""From what was told to processes: which trials are looked at, and hyper-parameters that are fitted now and then.

Everything here is a function of the trials told, in order of their numbers; caches save time and change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sweep.samplers import Observation, Question
from sweep.samplers.encoding import Array, Encoding
from sweep.samplers.gaussian_process import Data, Fit, GaussianProcess, Priors, Trend, fit
from sweep.samplers.outputs import (
    COST,
    FAILURE,
    Corner,
    Known,
    Output,
    Warp,
    corner,
    cost,
    data_of,
    excess,
    excess_warp,
    failure,
    objective,
    objective_warp,
    output,
    signs,
)
from sweep.samplers.tasks import Task, Told, early

FITTED = 200  # trials that hyper-parameters are fitted to
CONDITIONED = 500  # trials that a process is conditioned on
OWN = 300  # of them the arm's own at most, where a process is of all arms
PRICED = 6  # whole trials before their costs are learned


@dataclass(frozen=True)
class Beliefs:
    """The processes of all outputs, the corner of the hypervolume, and the trials they rest on with their features."""

    corner: Corner
    objectives: tuple[Output, ...]
    constraints: tuple[Output, ...]
    failure: Output | None
    cost: Output | None
    observations: tuple[Observation, ...]
    points: Array
    features: Array


@dataclass(frozen=True)
class _Figure:
    """One output before its process: what is known of it and how it is warped."""

    metric: str
    known: Known
    warp: Warp | None


@dataclass(frozen=True)
class _Trials:
    """Observations and their features (n, e)."""

    observations: list[Observation]
    features: Array

    def some(self, question: Question, size: int) -> _Trials:
        """At most `size` of them: see `subset`."""
        rows = subset(question, self.observations, size)
        return _Trials([self.observations[i] for i in rows], self.features[rows])

    def beside(self, others: _Trials) -> _Trials:
        return _Trials([*self.observations, *others.observations], np.concatenate([self.features, others.features]))


def _trials_of(told: Sequence[Told], like: Array) -> _Trials:
    """Trials of several arms; their features are as wide as those of `like`."""
    return _Trials([t.observation for t in told], np.array([t.features for t in told]).reshape(-1, like.shape[1]))


class Learner:
    """Makes beliefs of observations; remembers the last hyper-parameters of each output and what they were fitted to."""

    def __init__(
        self,
        question: Question,
        encoding: Encoding,
        priors: Priors,
        earlier: Sequence[Beliefs] = (),
        task: Task | None = None,
    ) -> None:
        """`earlier` are beliefs of other studies of the same parameters: what new ones start from, metric by metric.

        With a `task`, processes are of all arms' trials and the encoding is the task's; what may be on a front, and the
        corner, are still the arm's own.
        """
        self.question, self.encoding, self.priors, self.task = question, encoding, priors, task
        self._sources: dict[str, tuple[GaussianProcess, ...]] = {}
        for study in earlier:
            apart = [o for o in (study.failure, study.cost) if o]
            for one in (*study.objectives, *study.constraints, *apart):
                self._sources[one.metric] = (*self._sources.get(one.metric, ()), one.process)
        self._fitted: dict[str, tuple[bytes, Fit]] = task.tasks.fits if task else {}  # arms fit the same data

    def beliefs(self, observations: Sequence[Observation], points: Array, told: Sequence[Told] = ()) -> Beliefs:
        """`observations` in order of their numbers, with their points; a subset is used where they are many.

        `told` are all arms' trials, of a learner that has a task.
        """
        features, columns = self.encoding.embed(points)
        rows = subset(self.question, observations, CONDITIONED if self.task is None else OWN)
        own = _Trials([observations[i] for i in rows], features[rows])
        fitted_to = self._fitted_to(_Trials(list(observations), features), told, columns)
        known = own
        if self.task is not None:
            others = _trials_of(self.task.others(told), features).some(self.question, CONDITIONED - len(rows))
            known = own.beside(others)
        ended = any(o.complete for o in own.observations)  # else the other arms' trials suggest a corner
        corner_, outputs = corner(self.question, own.observations if ended else known.observations), []
        for f in _figures(self.question, known.observations, corner_):
            standard = data_of(f.known, f.warp, known.features, self.encoding, columns)
            trend_fit = self._fit(f.metric, fitted_to.get(f.metric, standard.data))
            standard = replace(standard, data=replace(standard.data, trend=trend_fit.trend))
            outputs.append(output(f.metric, f.known, f.warp, known.features, standard, trend_fit.hyperparameters))
        m = len(self.question.objectives)
        apart = {o.metric: o for o in outputs if o.metric in (FAILURE, COST)}
        return Beliefs(
            corner=corner_,
            objectives=tuple(outputs[:m]),
            constraints=tuple(o for o in outputs[m:] if o.metric not in apart),
            failure=apart.get(FAILURE),
            cost=apart.get(COST),
            observations=tuple(own.observations),
            points=points[rows],
            features=own.features,
        )

    def _fitted_to(self, own: _Trials, told: Sequence[Told], columns: NDArray[np.intp]) -> dict[str, Data]:
        """By metric, what hyper-parameters are fitted to: the first trials, of all arms where it has a task.

        With a corner and warps of their own, so that later trials do not change it.
        """
        if self.task is None:
            first = milestone(len(own.observations))
            first_trials = _Trials(own.observations[:first], own.features[:first])
        else:
            first_trials = _trials_of(early(told, milestone), own.features)
        some = first_trials.some(self.question, FITTED)
        return {
            f.metric: data_of(f.known, f.warp, some.features, self.encoding, columns).data
            for f in _figures(self.question, some.observations, corner(self.question, some.observations))
        }

    def _fit(self, metric: str, data: Data) -> Fit:
        """Hyper-parameters, about the trend of earlier studies if the data are likelier that way, and of none if not."""
        content = b"".join(a.tobytes() for a in (data.features, data.values, data.known, data.share))
        kept = self._fitted.get(metric)
        if kept is None or kept[0] != content:
            fitted = fit(data, self.priors)
            sources = self._sources.get(metric, ())
            if sources:
                about = fit(replace(data, trend=Trend(sources)), self.priors)
                fitted = min(fitted, about, key=lambda f: f.surprise)
            kept = self._fitted[metric] = (content, fitted)
        return kept[1]


def _figures(question: Question, observations: Sequence[Observation], corner_: Corner) -> list[_Figure]:
    """Objectives, then constraints that the corner does not enforce and that were ever scored, then failure if it occurs,
    and cost once a few trials have run to their end."""
    modelled = []
    for j, o in enumerate(question.objectives):
        known = objective(question, observations, j)
        modelled.append(_Figure(o.metric, known, objective_warp(known, float(corner_.limits[j]))))
    shared = {o.metric for o in question.objectives}
    for constraint in question.constraints:
        name = constraint.name
        if name not in corner_.enforced:
            known = excess(observations, name, name in shared)
            if len(known.values):
                modelled.append(_Figure(f"excess of {name}", known, excess_warp(known)))
    if any(o.failed for o in observations):
        modelled.append(_Figure(FAILURE, failure(observations), None))
    paid = cost(observations)
    if len(paid.values) >= PRICED:
        modelled.append(_Figure(COST, paid, None))
    return modelled


def milestone(count: int) -> int:
    """How many of the first trials hyper-parameters are fitted to: all at first, later every tenth of what there is."""
    step = max(1, count // 15)
    return count - count % step


def subset(question: Question, observations: Sequence[Observation], size: int) -> NDArray[np.intp]:
    """At most `size` of the trials: two fifths nearest to the front, a fifth the latest, the others spread over the past.

    Rising indices. All of them where they are no more.
    """
    n = len(observations)
    if n <= size:
        return np.arange(n)
    order = np.lexsort((np.arange(n), _distance(question, observations)))
    kept = set(order[: 2 * size // 5].tolist()) | set(range(n - size // 5, n))
    others = [i for i in range(n) if i not in kept]
    wanted = size - len(kept)
    kept |= {others[i] for i in np.linspace(0, len(others) - 1, wanted).round().astype(int)}
    return np.array(sorted(kept), dtype=np.intp)


def _distance(question: Question, observations: Sequence[Observation]) -> Array:
    """How far a trial is from the measured front if it is feasible; after all of those the others, by their violation."""
    n, m = len(observations), len(question.objectives)
    violation = np.zeros(n)
    values = np.full((n, m), np.inf)
    for i, o in enumerate(observations):
        violation[i] = np.inf if o.failed else o.violation
        if o.complete:
            values[i] = [o.figures[x.metric] for x in question.objectives]
    values = np.where(np.isfinite(values), values * signs(question), np.inf)
    feasible = np.flatnonzero((violation <= 0) & np.isfinite(values).all(1))
    distance = np.where(np.isfinite(violation), n + 1 - 1 / (1 + violation), n + 2.0)
    good = values[feasible]
    if len(good):
        spread = np.maximum(np.ptp(good, axis=0), 1e-12)
        front = good[~_dominated(good, good)]
        # the share of the feasible range that a trial lacks in every objective at once: 0 or less on the front
        short = np.array([((row - front) / spread).min(1).max() for row in good])
        distance[feasible] = short
    return distance


def _dominated(values: Array, by: Array) -> NDArray[np.bool_]:
    better = np.zeros(len(values), dtype=bool)
    for row in by:
        better |= (row <= values).all(1) & (row < values).any(1)
    return better
