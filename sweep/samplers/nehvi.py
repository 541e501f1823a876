"""The sweep's own sampler: noisy expected hypervolume improvement over Gaussian processes, for trees of parameters.

Built for trials that are few, noisy, constrained, stopped early and run side by side: every question ends in one pass over
some hundred candidates, in closed form, so that asking costs tenths of a second on one thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from sweep.errors import UsageError
from sweep.samplers import Observation, Question, check_observation
from sweep.samplers.beliefs import Beliefs, Learner
from sweep.samplers.encoding import Array, Encoding
from sweep.samplers.gaussian_process import Priors
from sweep.samplers.improvement import Improvement
from sweep.samplers.optuna_samplers import OptunaSampler
from sweep.samplers.tasks import Task, Told
from sweep.space import Settings

STARTUP = 6  # trials with a figure before a model chooses
FEWEST = 3  # of an arm's own, where the model is of all arms
DRAWS = 64  # of the processes, at the baseline; a power of 2
GLANCE = 16  # draws for the first look at all candidates
BASELINE = 40  # trials at most that may be on the front
SPREAD = 512  # candidates over the whole tree; a power of 2
NEAR = 384  # candidates near the best trials
REFINED, OFFSPRING = 6, 32  # the best candidates, and how many are drawn around each in a round
SCALES = (0.1, 0.05, 0.02, 0.01)  # of the rounds' steps, in the unit cube
THRIFT = 1.0  # power of a trial's expected cost that its improvement is divided by; benchmarks/search.md compares


class Nehvi:
    """See `sweep.samplers.Sampler`.

    >>> sampler = Nehvi(question, seed=0)              # doctest: +SKIP
    >>> settings = sampler.ask(0)                      # doctest: +SKIP
    >>> sampler.tell(Observation(0, settings, "COMPLETE", {"accuracy": 0.7}))  # doctest: +SKIP
    """

    def __init__(
        self,
        question: Question,
        seed: int = 0,
        startup: int = STARTUP,
        priors: Priors | None = None,
        earlier: Sequence[Sequence[Observation]] = (),
        task: Task | None = None,
    ) -> None:
        """`earlier` are the trials of other studies of the same parameters and metrics, perhaps of other data and bounds.

        They are a prior and no truth: see `sweep.samplers.gaussian_process.Trend`. Trials whose settings are not of this
        tree are left out. With a `task` the arms of a question are modelled together: see `sweep.samplers.tasks`. An arm that
        has an earlier study is modelled by itself all the same, and the others hear of its trials: what a study says of its arm
        is more than what other arms do, and says nothing of them.
        """
        self.question, self.seed, self.startup, self.task = question, seed, startup, task
        self.encoding = Encoding(question.parameters)
        priors = priors or Priors()
        studies = [s for s in (self._study(observations, priors) for observations in earlier) if s]
        self._warm = bool(studies)
        self._common = task.encoding() if task else self.encoding  # where other arms hear of its trials
        self._together = task is not None and not self._warm
        self.encoding = self._common if self._together else self.encoding
        self._learner = Learner(question, self.encoding, priors, studies, task if self._together else None)
        self._heard: list[Told] | None = None
        self._observations: dict[int, Observation] = {}
        self._running: dict[int, Settings] = {}
        self._points: dict[int, Array] = {}
        self._keys: dict[int, bytes] = {}

    def ask(self, number: int) -> Settings:
        """Settings for trial `number`, which runs from now on; the same again if it is running. ValueError if it ended."""
        if number in self._observations:
            raise ValueError(f"trial {number} has ended; ask for one that has not")
        if number not in self._running:
            if self._heard is None:
                self.listen()
            settings = self.encoding.settings(self._choose(number))
            self._heard = None
            self.running(number, settings)
        return dict(self._running[number])

    def listen(self) -> None:
        """Take note of what the other arms were told: the next `ask` knows that and nothing later.

        For who has it asked in another thread: what it chooses is then no matter of when that thread looks.
        """
        self._heard = self.task.tasks.told() if self.task and self._together else []

    def running(self, number: int, settings: Settings) -> None:
        """Settings chosen elsewhere that trial `number` runs with. UsageError where they are not of the tree."""
        if number in self._observations:
            raise ValueError(f"trial {number} has ended and cannot be running")
        self._place(number, settings)
        self._running[number] = dict(settings)

    def tell(self, observation: Observation) -> None:
        """What became of a trial. ValueError for a figure that is not finite or an objective that is missing."""
        check_observation(self.question, observation)
        self._place(observation.number, observation.settings)
        self._observations[observation.number] = observation
        if self.task:
            self.task.tell(observation, self._common.embed(self._points[observation.number][None])[0][0])
        self._running.pop(observation.number, None)

    def expected_gain(self, batch: int) -> float | None:
        """Hypervolume that the model expects of the next `batch` trials, as a share of the present one.

        None before there is a model or a feasible trial.
        """
        self.listen()
        gain = self._gain(batch) if self._modelled() else None
        self._heard = None
        return gain

    def _gain(self, batch: int) -> float | None:
        beliefs, chosen, gain, present = self._beliefs(), self._pending(), 0.0, 0.0
        for step in range(batch):
            search = _Search(self, beliefs, chosen, self._rng(-1 - step))
            present = present or search.improvement.hypervolume
            if present <= 0:
                return None
            point, score = search.best()
            gain += max(score, 0.0)
            chosen = np.concatenate([chosen, point[None]])
        return gain / present

    def _study(self, observations: Sequence[Observation], priors: Priors) -> Beliefs | None:
        """What an earlier study says by itself; None where it has too few trials that this tree has too."""
        some, points = [], []
        for observation in sorted(observations, key=lambda o: o.number):
            check_observation(self.question, observation)
            try:
                points.append(self.encoding.point(observation.settings))
            except UsageError:
                continue  # of a range or an option that this question does not have
            some.append(observation)
        if sum(o.scored for o in some) < STARTUP or not self.encoding.varied:
            return None
        return Learner(self.question, self.encoding, priors).beliefs(some, np.array(points))

    def _choose(self, number: int) -> Array:
        if not self._modelled():
            return self._quasi_random(number)
        if self._warm or any(o.feasible for o in self._observations.values()):
            return self._by_model(number)
        # where other arms know of something feasible their model is asked every other time: this arm may be unlike them
        others_know = any(o.feasible for o in self._others())
        return self._by_model(number) if others_know and number % 2 == 0 else self._hunt(number)

    def _by_model(self, number: int) -> Array:
        point, _ = _Search(self, self._beliefs(), self._pending(), self._rng(number)).best()
        return point

    def _hunt(self, number: int) -> Array:
        """What Optuna's TPE would try: while no trial was feasible, and nothing else is known of where one may be.

        Where nearly all settings break a constraint as badly as can be, a process of it has no slope to follow and is sure
        too soon that there is none; TPE goes by the order of the violations alone. benchmarks/search.md compares.
        """
        tpe = OptunaSampler(self.question, self.seed, "tpe")
        for observation in self._observations.values():
            tpe.tell(observation)
        for other, settings in self._running.items():
            tpe.running(other, settings)
        point = self.encoding.point(tpe.ask(number))
        return self._quasi_random(number) if self.encoding.keys(point[None])[0] in self.tried() else point

    def _modelled(self) -> bool:
        """Whether there is enough to learn from, and anything to choose."""
        known = sum(o.scored for o in self._observations.values())
        if known >= FEWEST and sum(o.scored for o in self._others()) >= self.startup:
            known += self.startup
        return known >= max(self.startup, 2) and bool(self.encoding.varied)

    def _others(self) -> list[Observation]:
        """The trials of the other arms."""
        return [trial.observation for trial in self.task.others(self._heard or [])] if self.task else []

    def _beliefs(self) -> Beliefs:
        numbers = sorted(self._observations)
        points = np.array([self._points[n] for n in numbers])
        return self._learner.beliefs([self._observations[n] for n in numbers], points, self._heard or [])

    def _pending(self) -> Array:
        return np.array([self._points[n] for n in sorted(self._running)]).reshape(-1, self.encoding.width)

    def _quasi_random(self, number: int) -> Array:
        """The number's place in a scrambled Sobol sequence over the tree; the next one where that was tried already."""
        tried = self.tried()
        sequence = qmc.Sobol(self.encoding.width, scramble=True, rng=np.random.default_rng([self.seed, 1]))
        if number:
            sequence.fast_forward(number)
        first = self.encoding.from_cube(sequence.random(1))
        if self.encoding.keys(first)[0] not in tried:
            return first[0]
        others = self.encoding.from_cube(self._rng(number).random((256, self.encoding.width)))
        free = [p for p, key in zip(others, self.encoding.keys(others), strict=True) if key not in tried]
        return free[0] if free else first[0]

    def tried(self) -> set[bytes]:
        """Keys of all settings told or running."""
        return set(self._keys.values())

    def _place(self, number: int, settings: Settings) -> None:
        point = self.encoding.point(settings)
        self._points[number], self._keys[number] = point, self.encoding.keys(point[None])[0]

    def _rng(self, number: int) -> np.random.Generator:
        words = hashlib.sha256(f"{self.seed}/{number}".encode()).digest()
        return np.random.default_rng(list(words[:16]))


class _Search:
    """One search for the candidate of the greatest expected improvement."""

    def __init__(self, sampler: Nehvi, beliefs: Beliefs, pending: Array, rng: np.random.Generator) -> None:
        self._encoding, self._beliefs, self._rng = sampler.encoding, beliefs, rng
        self._excluded = sampler.tried() | set(self._encoding.keys(pending) if len(pending) else ())
        rows = baseline(beliefs, BASELINE)
        self._hunting = not any(o.feasible for o in beliefs.observations)
        self._best_trials = beliefs.points[_least_infeasible(beliefs.observations) if self._hunting else rows[:8]]
        places = np.concatenate([beliefs.points[rows], pending])
        keys = self._encoding.keys(places) if len(places) else []
        places = places[sorted({key: i for i, key in reversed(list(enumerate(keys)))}.values())]
        features, _ = self._encoding.embed(places)
        outputs = len(beliefs.objectives) + len(beliefs.constraints)
        sequence = qmc.Sobol(max(outputs * len(places), 1), scramble=True, rng=rng)
        uniform = np.clip(sequence.random(DRAWS), 1e-9, 1 - 1e-9)[:, : outputs * len(places)]
        normals = ndtri(uniform).reshape(DRAWS, outputs, len(places)).transpose(1, 0, 2)
        self.improvement = Improvement(
            beliefs.objectives, beliefs.constraints, beliefs.failure, beliefs.corner.limits, features, normals
        )

    def best(self) -> tuple[Array, float]:
        """The point and its expected improvement."""
        cube = qmc.Sobol(self._encoding.width, scramble=True, rng=self._rng).random(SPREAD)
        candidates = [self._encoding.from_cube(cube)]
        centres = self._best_trials
        if len(centres):
            candidates.append(self._around(centres, NEAR, 0.2))
        points = self._distinct(np.concatenate(candidates))
        scores = self._score(points, GLANCE)
        closer = np.argsort(-scores, kind="stable")[: 4 * REFINED]
        points, scores = points[closer], self._score(points[closer])
        for scale in SCALES:
            order = np.argsort(-scores, kind="stable")[:REFINED]
            refined = self._distinct(self._around(points[order], REFINED * OFFSPRING, scale))
            points, scores = (
                np.concatenate([points[order], refined]),
                np.concatenate([scores[order], self._score(refined)]),
            )
        winner = int(np.argmax(scores))
        return points[winner], float(self.improvement(self._encoding.embed(points[winner : winner + 1])[0])[0])

    def _score(self, points: Array, draws: int | None = None) -> Array:
        """Log expected improvement, by what it costs; where that is out of reach, far below it, the chance of being feasible.

        While no trial was feasible, and an earlier study or the other arms have a model hunt for one all the same, it is the
        improvement on the trial that is nearest to it: see `Improvement.log_nearer`.
        """
        if not len(points):
            return np.zeros(0)
        features, _ = self._encoding.embed(points)
        if self._hunting:
            return self.improvement.log_nearer(features, self._encoding.embed(self._best_trials[:1])[0])
        gain = self.improvement(features, draws)
        log = np.log(np.maximum(gain, 1e-300))
        if gain.max() < 1e-200:
            return -1e4 + self.improvement.log_feasible(features)
        return log - THRIFT * self._log_cost(features)

    def _log_cost(self, features: Array) -> Array:
        """Logarithm of the core-seconds that a whole trial is expected to take; 0 where nothing is known of it."""
        one = self._beliefs.cost
        return one.centre + one.spread * one.at(features).mean if one else np.zeros(len(features))

    def _distinct(self, points: Array) -> Array:
        """Each of the points once, without what was tried; with it where nothing else is left."""
        keys = self._encoding.keys(points)
        first = {key: i for i, key in reversed(list(enumerate(keys)))}
        kept = sorted(i for key, i in first.items() if key not in self._excluded)
        return points[kept] if kept else points[sorted(first.values())]

    def _around(self, centres: Array, count: int, scale: float) -> Array:
        """`count` points near the centres in turn: some entries moved, steps of several sizes, choices made anew at times."""
        width, rng = self._encoding.width, self._rng
        base = centres[np.arange(count) % len(centres)].copy()
        moved = rng.random((count, width)) < rng.choice([1.5 / max(width, 1), 0.4, 1.0], (count, 1))
        moved[np.arange(count), rng.integers(0, width, count)] = True
        step = rng.standard_normal((count, width)) * (scale * 10 ** rng.uniform(-0.7, 0.3, (count, 1)))
        fresh = rng.random((count, width))
        anew = rng.random((count, width)) < 0.3
        for i, dimension in enumerate(self._encoding.dimensions):
            on = moved[:, i]
            if dimension.options:
                on = on & anew[:, i]
                base[on, i] = np.floor(fresh[on, i] * dimension.options)
            else:
                base[on, i] = _reflected(base[on, i] + step[on, i])
        return self._encoding.snap(base)


def baseline(beliefs: Beliefs, size: int) -> np.ndarray:
    """The trials that may be on the front, best first: those least dominated and least infeasible, less a deviation.

    Only COMPLETE ones: a stopped trial will never be reported, however good it may have been. Counted as a member it would
    keep the search away from its neighbourhood, which the gate makes the neighbourhood of every constraint.
    """
    kept = [i for i, o in enumerate(beliefs.observations) if o.complete]
    if not kept:
        return np.zeros(0, dtype=np.intp)
    features = beliefs.features[kept]
    means, hopes, over = [], [], np.zeros(len(kept))
    for limit, one in zip(beliefs.corner.limits, beliefs.objectives, strict=True):
        at = one.at(features)
        mean, sd = one.centre + one.spread * at.mean, one.spread * np.sqrt(at.variance)
        means.append(mean)
        hopes.append(mean - sd)
        over += np.maximum((mean - sd - limit) / sd, 0.0)
    outside = (beliefs.corner.limits < np.array(means).T).any(1)
    for one in beliefs.constraints:
        at = one.at(features)
        mean, sd = one.centre + one.spread * at.mean, one.spread * np.sqrt(at.variance)
        over += np.maximum((mean - sd) / sd, 0.0)
        outside |= mean > 0
    mean_, hope = np.array(means).T, np.array(hopes).T
    spread = np.maximum(mean_.std(0), 1e-12)
    sure = mean_[~outside]
    # how far behind the trial most ahead of it, in its better objective; ≤ 0 on the front
    behind = np.array([((row - sure) / spread).min(1).max() if len(sure) else 0.0 for row in hope])
    order = np.lexsort((np.arange(len(kept)), behind + 10 * over))
    return np.array(kept, dtype=np.intp)[order[:size]]


def _least_infeasible(observations: Sequence[Observation]) -> np.ndarray:
    """The trials that broke the constraints by least, by what was measured: a model takes the first of them for noise."""
    over = [o.violation if o.excesses else np.inf for o in observations]
    return np.argsort(over, kind="stable")[:REFINED]


def _reflected(units: Array) -> Array:
    folded = np.abs(units) % 2.0
    return np.where(folded > 1.0, 2.0 - folded, folded)
