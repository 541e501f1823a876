"""What a simulated trial is: stages in order, each with a cost and with what becomes known when it ends.

A trial of a real sweep is unlearn → score → attack rungs k = 1, 3, …, 63 of each attack in turn. `fid_delta` and
`unlearning_accuracy` are known after the score; robustness only after the last rung of the last attack, but every rung
bounds it. The same is true here. A `Problem` gives the noise-free `Means` of a trial; what a trial measures is drawn
around them with the recorded sweep's kinds of noise, and `truth` is made from the means alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from sweep.records import COMPLETE, FAIL
from sweep.relearning.columns import RELEARNED
from sweep.relearning.knowledge import Knowledge
from sweep.samplers import Question
from sweep.space import Arm, Attack, Constraint, Objective, SearchSpace, Settings
from sweep.space.question import excesses

RUNGS = (0, 1, 3, 7, 15, 31, 63)  # attack steps at which an attacked model is scored
ATTACKS = ("dimra-retain-3e-4", "dimra-retain-1e-3")
OBJECTIVES = (Objective("robustness", "maximise"), Objective("fid_delta", "minimise"))
DIRECTIONS = tuple(o.direction for o in OBJECTIVES)
FID, UNLEARNED, ROBUSTNESS = "fid_delta", "unlearning_accuracy", "robustness"
GLANCE_N = 32  # samples of the forgotten condition at the first glance (trainables.relearning.stages.glance)
RETAINED, PER_RETAINED = 9, 50  # conditions that stay, of the digits question, and samples that a score draws of each


@dataclass(frozen=True)
class Stage:
    """One stage: its cost in core-seconds, the figures known when it ends, or one rung's relearning accuracy.

    `samples` is the N of the forgotten condition the figures are over; `attack` is empty for unlearn and score.
    """

    name: str
    core_s: float
    figures: Mapping[str, float] = field(default_factory=dict)
    samples: int = 0
    attack: str = ""
    step: int = 0
    accuracy: float = float("nan")


@dataclass(frozen=True)
class StagedTrial:
    """Everything that would happen to one trial if nobody stopped it; `state` is COMPLETE or, after the last stage, FAIL."""

    settings: Settings
    stages: tuple[Stage, ...]
    state: str = COMPLETE

    @property
    def core_s(self) -> float:
        return sum(stage.core_s for stage in self.stages)


@dataclass(frozen=True)
class Partial:
    """What is known of a trial so far. `curves` maps an attack to {attack step: relearning accuracy}, step 0 included;
    `samples` is the N of the forgotten condition that its figures are over, `stage` the last that ended."""

    settings: Settings
    figures: Mapping[str, float]
    curves: Mapping[str, Mapping[int, float]]
    rungs: tuple[int, ...]
    samples: int
    core_s: float
    stage: str

    def curve_rows(self) -> list[dict[str, Any]]:
        """The curves as rows of the curves table: the attacks all count."""
        return [
            {"metric": RELEARNED, "attack": attack, "attack_step": step, "value": value, "counts": True}
            for attack, curve in self.curves.items()
            for step, value in curve.items()
        ]

    @property
    def robustness_bound(self) -> float:
        """The robustness that this trial cannot exceed: 1 - the largest AURC that is certain already.

        Rungs not reached could still show a relearning accuracy of 0, so they count as 0. 1 before the score.
        """
        return 1.0 - max((certain_aurc(curve, self.rungs) for curve in self.curves.values()), default=0.0)


@dataclass(frozen=True)
class Means:
    """A trial without noise: figures, relearning accuracy (attacks, rungs - 1), core-seconds of every stage in order."""

    fid_delta: float
    unlearning_accuracy: float
    accuracy: np.ndarray
    core_s: np.ndarray
    fails: float = 0.0  # probability


@dataclass(frozen=True)
class Noise:
    """What varies between runs of the same settings on other seeds.

    `fid_delta`: normal with variance `fid_delta_sd`² + (`fid_delta_relative_sd` · fid_delta)². Accuracies: binomial over
    `samples`, around probabilities whose logits share one normal shift of SD `logit_sd` per trial. Costs: log-normal.
    The defaults are those of the digits question: SD of fid_delta .95 over 5 sampling seeds.
    """

    fid_delta_sd: float = 0.95
    fid_delta_relative_sd: float = 0.05
    logit_sd: float = 0.3
    cost_sd: float = 0.05
    samples: int = 128

    def fid_delta_at(self, mean: float) -> float:
        return float(np.hypot(self.fid_delta_sd, self.fid_delta_relative_sd * mean))


@dataclass(frozen=True)
class Truth:
    """A trial's noise-free figures, and whether they hold every constraint."""

    robustness: float
    fid_delta: float
    unlearning_accuracy: float
    feasible: bool


@dataclass(frozen=True)
class Problem:
    """A question whose every trial can be simulated. `reference` is the corner of hypervolumes, (robustness, fid_delta)."""

    name: str
    arm: Arm
    means: Callable[[Settings], Means]
    fid_budget: float
    reference: tuple[float, float]
    noise: Noise = field(default_factory=Noise)
    least_unlearned: float = 0.95
    rungs: tuple[int, ...] = RUNGS
    attacks: tuple[str, ...] = ATTACKS
    gate_sd: float = 0.95  # the standard deviation of fid_delta that the gate is told
    identity: str = ""  # of the recording, where there is one: figures of two recordings do not compare

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        return Constraint(FID, at_most=self.fid_budget), Constraint(UNLEARNED, at_least=self.least_unlearned)

    def question(self, trials: int) -> Question:
        return Question(self.arm.parameters, OBJECTIVES, self.constraints, self.reference, trials)

    def excesses(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Violation of every constraint in units of its bound; empty before the score."""
        return excesses(self.space, figures)

    def truth(self, settings: Settings) -> Truth:
        """The noise-free figures: robustness is 1 - the largest AURC of the noise-free curves, rung 0 included."""
        means = self.means(settings)
        curves = np.column_stack([np.full(len(self.attacks), 1 - means.unlearning_accuracy), means.accuracy])
        robustness = 1 - float((curves @ aurc_weights(self.rungs)).max())
        figures = {FID: means.fid_delta, UNLEARNED: means.unlearning_accuracy}
        feasible = all(excess <= 0 for excess in self.excesses(figures).values())
        return Truth(robustness, means.fid_delta, means.unlearning_accuracy, feasible)

    def run(self, settings: Settings, seed: int | Sequence[int], glance: bool = False) -> StagedTrial:
        """One trial on one seed. With `glance`, the score is in two stages: the first GLANCE_N samples of the forgotten
        condition, which say what they can of unlearning_accuracy, then all the others.

        The final figures are the same either way: the glance's samples are among the score's.
        """
        return draw(self, self.means(settings), settings, np.random.default_rng(seed), glance)

    @cached_property
    def space(self) -> SearchSpace:
        """The question as the project's own readers take it."""
        attacks = tuple(Attack(name, "dimra", {}) for name in self.attacks)
        return SearchSpace(
            self.name, self.name, (self.arm,), OBJECTIVES, self.constraints, attacks, attacks, self.rungs
        )  # fmt: skip

    def knowledge(self, samples: int) -> Knowledge:
        """What the rows of a trial say whose score is over `samples` of the forgotten condition."""
        return Knowledge(self.rungs, self.gate_sd, samples)


def draw(problem: Problem, means: Means, settings: Settings, rng: np.random.Generator, glance: bool) -> StagedTrial:
    """A trial's stages drawn around its means; see Noise. A glance costs the score's share of samples that it draws."""
    noise, n = problem.noise, problem.noise.samples
    few = min(GLANCE_N, n // 2)
    cost = means.core_s * np.exp(noise.cost_sd * rng.standard_normal(len(means.core_s)))
    shift = noise.logit_sd * rng.standard_normal()
    fid = means.fid_delta + noise.fid_delta_at(means.fid_delta) * rng.standard_normal()
    shown = shifted(np.array(1 - means.unlearning_accuracy), shift)
    at_glance, of_rest = rng.binomial(few, shown), rng.binomial(n - few, shown)
    relearned = rng.binomial(n, shifted(means.accuracy, shift)) / n
    failed = bool(rng.random() < means.fails)
    figures: dict[str, float] = {FID: float(fid), UNLEARNED: 1 - float(at_glance + of_rest) / n}
    stages = [Stage("unlearn", float(cost[0]))]
    share = few / (n + RETAINED * PER_RETAINED) if glance else 0.0
    if glance:
        stages.append(Stage("glance", float(cost[1] * share), {UNLEARNED: 1 - float(at_glance) / few}, few))
    stages.append(Stage("score", float(cost[1] * (1 - share)), figures, n))
    place = 2
    for attack, accuracies in zip(problem.attacks, relearned, strict=True):
        for step, accuracy in zip(problem.rungs[1:], accuracies, strict=True):
            name = f"{attack}@{step}"
            stages.append(Stage(name, float(cost[place]), {}, n, attack, step, float(accuracy)))
            place += 1
    return StagedTrial(settings, tuple(stages), FAIL if failed else COMPLETE)


def known_after(problem: Problem, trial: StagedTrial, done: int) -> Partial:
    """What is known once the first `done` stages have ended."""
    figures: dict[str, float] = {}
    curves: dict[str, dict[int, float]] = {}
    samples = 0
    for stage in trial.stages[:done]:
        if stage.figures:
            figures, samples = dict(stage.figures), stage.samples
        if stage.name == "score":
            curves = {attack: {0: 1 - figures[UNLEARNED]} for attack in problem.attacks}
        elif stage.attack:
            curves[stage.attack][stage.step] = stage.accuracy
    whole = len(problem.rungs)
    if trial.state == COMPLETE and curves and all(len(curve) == whole for curve in curves.values()):
        figures[ROBUSTNESS] = 1 - max(certain_aurc(curve, problem.rungs) for curve in curves.values())
    spent = sum(stage.core_s for stage in trial.stages[:done])
    name = trial.stages[done - 1].name if done else ""
    return Partial(trial.settings, figures, curves, problem.rungs, samples, spent, name)


@lru_cache
def aurc_weights(rungs: tuple[int, ...]) -> np.ndarray:
    """Weights (rungs,) whose product with a curve is its AURC: the trapezoid rule over log₂(k+1), divided by log₂(K+1)."""
    x = np.log2(np.asarray(rungs, dtype=float) + 1)
    gaps = np.diff(x)
    weights = (np.append(gaps, 0) + np.insert(gaps, 0, 0)) / 2 / x[-1]
    weights.setflags(write=False)  # one array for all callers
    return weights


@lru_cache
def _weight_at(rungs: tuple[int, ...]) -> dict[int, float]:
    return dict(zip(rungs, aurc_weights(rungs).tolist(), strict=True))


def certain_aurc(curve: Mapping[int, float], rungs: tuple[int, ...]) -> float:
    """The AURC that a curve has at least, whatever the rungs it lacks will show; its AURC where it lacks none."""
    weight = _weight_at(rungs)
    return sum(weight[step] * accuracy for step, accuracy in curve.items())


def shifted(probability: np.ndarray, shift: float) -> np.ndarray:
    """Probabilities with their logits moved by `shift`; 0 and 1 stay."""
    odds = np.exp(shift)
    return np.clip(probability * odds / (1 - probability + probability * odds), 0.0, 1.0)
