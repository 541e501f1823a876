"""Samplers people use already, behind this project's protocol `sweep.samplers.Sampler`.

Optuna's run on a study in memory, asked and told, each with its library's own settings except where said. Constraints are
told as Optuna 5 takes them (`trial.set_constraint`, ≤ 0 holds); a stopped trial is PRUNED with its constraints, a failed one
FAIL. Ax and Syne Tune are optional: `ax_client` and `syne_moasha` import them when they are asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from benchmarks.search.judges import Judge
from benchmarks.search.staged import OBJECTIVES, Problem
from sweep.errors import UsageError, near
from sweep.records import COMPLETE, FAIL, PRUNED
from sweep.samplers import Observation, Sampler
from sweep.space import Settings

_DIRECTIONS = {"maximise": StudyDirection.MAXIMIZE, "minimise": StudyDirection.MINIMIZE}
_STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAIL: TrialState.FAIL}

optuna.logging.set_verbosity(optuna.logging.ERROR)  # QMC and GP warn of conditional parameters, trial by trial


class OptunaSampler:
    """An Optuna sampler on a study of its own, in memory."""

    def __init__(self, problem: Problem, sampler: BaseSampler) -> None:
        self.arm = problem.arm
        directions = [_DIRECTIONS[o.direction] for o in OBJECTIVES]
        self.study = optuna.create_study(sampler=sampler, directions=directions)
        self._open: dict[int, Trial] = {}

    def ask(self, number: int) -> Settings:
        with (
            warnings.catch_warnings()
        ):  # GP and QMC say at every trial that a conditional parameter is drawn independently
            warnings.simplefilter("ignore")
            trial = self._open[number] = self.study.ask()
            return self.arm.suggest(trial)

    def running(self, number: int, settings: Settings) -> None:
        self.study.enqueue_trial(settings)
        self.ask(number)

    def tell(self, observation: Observation) -> None:
        trial = self._open.pop(observation.number)
        if observation.state != FAIL:
            for metric, excess in observation.excesses.items():
                trial.set_constraint(metric, excess)
        complete = observation.state == COMPLETE
        values = [observation.figures[o.metric] for o in OBJECTIVES] if complete else None
        self.study.tell(trial, values, state=_STATES[observation.state])


def _tpe(problem: Problem, seed: int, trials: int) -> Sampler:
    return OptunaSampler(problem, optuna.samplers.TPESampler(seed=seed))


def _gp(problem: Problem, seed: int, trials: int) -> Sampler:
    return OptunaSampler(problem, optuna.samplers.GPSampler(seed=seed))


def _nsga2(problem: Problem, seed: int, trials: int) -> Sampler:
    """A population of 16, as the project's own NSGA-II has: Optuna's 50 would be one random generation of a short sweep."""
    return OptunaSampler(
        problem, optuna.samplers.NSGAIISampler(seed=seed, population_size=max(4, min(16, trials // 2)))
    )


def _random(problem: Problem, seed: int, trials: int) -> Sampler:
    return OptunaSampler(problem, optuna.samplers.RandomSampler(seed=seed))


def _qmc(problem: Problem, seed: int, trials: int) -> Sampler:
    """Scrambled Sobol; Optuna draws choices and conditional parameters at random beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
    return OptunaSampler(problem, sampler)


def _ax(problem: Problem, seed: int, trials: int) -> Sampler:
    from benchmarks.search.ax_client import AxSampler

    return AxSampler(problem, seed)


def _moasha(problem: Problem, seed: int, trials: int) -> Sampler:
    from benchmarks.search.syne_moasha import Moasha

    return Moasha(problem, seed)


def _nehvi(problem: Problem, seed: int, trials: int) -> Sampler:
    """The project's own. Imported here so that a tree without it runs everything else."""
    try:
        from sweep.samplers.nehvi import Nehvi
    except ImportError as error:
        raise UsageError(f"--strategy nehvi: this tree has no sampler of that name ({error})") from None
    return Nehvi(problem.question(trials), seed)


SAMPLERS: dict[str, Callable[[Problem, int, int], Sampler]] = {
    "tpe": _tpe,
    "nsga2": _nsga2,
    "gp": _gp,
    "random": _random,
    "qmc": _qmc,
    "ax": _ax,
    "moasha": _moasha,
    "nehvi": _nehvi,
}


def make(name: str, problem: Problem, seed: int, trials: int) -> tuple[Sampler, Judge | None]:
    """The sampler called `name` for about `trials` trials, and the judge it brings along, if it stops trials itself."""
    if name not in SAMPLERS:
        raise UsageError(f"--strategy {name}: no such sampler; {near(name, SAMPLERS)}")
    sampler = SAMPLERS[name](problem, seed, trials)
    return sampler, getattr(sampler, "judge", None)
