"""Samplers by name. Each is imported when it is asked for: a sweep of one pays for no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sweep.errors import UsageError, near, need
from sweep.samplers import Observation, Question, Sampler
from sweep.space import SearchSpace

if TYPE_CHECKING:
    from sweep.samplers.tasks import Task


def make(
    name: str,
    question: Question,
    seed: int,
    earlier: Sequence[Sequence[Observation]] = (),
    task: Task | None = None,
) -> Sampler:
    """The sampler called `name` for one arm's question, with `earlier` studies, and other arms' trials, where it learns from such.

    UsageError for an unknown name, or a library that is missing.
    """
    if name not in SAMPLERS:
        raise UsageError(f"sampler {name!r} is unknown; {near(name, SAMPLERS)}")
    if name == "nehvi":
        return _nehvi(question, seed, earlier, task)
    return SAMPLERS[name](question, seed)


def tasks(name: str, space: SearchSpace) -> dict[str, Task]:
    """The arms of a question as tasks of one model, by arm; none where they share nothing or the sampler learns of one alone."""
    if not learns_of_all_arms(name, space):
        return {}
    from sweep.samplers.tasks import Task, Tasks

    together = Tasks({arm.name: arm.parameters for arm in space.arms}, space.shared)
    return {arm.name: Task(together, arm.name) for arm in space.arms}


def learns_of_all_arms(name: str, space: SearchSpace) -> bool:
    """Whether this sampler models the question's arms together."""
    return name == "nehvi" and bool(space.shared) and len(space.arms) > 1


def check_installed(name: str, flag: str = "--sampler") -> None:
    """UsageError where a sampler's library is an extra that is not there; imports nothing."""
    if name == "ax":
        need("ax", "ax", f"{flag} ax: Ax")


def _nehvi(
    question: Question, seed: int, earlier: Sequence[Sequence[Observation]] = (), task: Task | None = None
) -> Sampler:
    from sweep.samplers.nehvi import Nehvi

    return Nehvi(question, seed, earlier=earlier, task=task)


def _optuna(question: Question, seed: int, name: str) -> Sampler:
    from sweep.samplers.optuna_samplers import OptunaSampler

    return OptunaSampler(question, seed, name)


def _qmc(question: Question, seed: int) -> Sampler:
    from sweep.samplers.quasi_random import QuasiRandom

    return QuasiRandom(question, seed)


def _ax(question: Question, seed: int) -> Sampler:
    from sweep.samplers.ax import AxSampler

    return AxSampler(question, seed)


def _random(question: Question, seed: int) -> Sampler:
    from sweep.samplers.quasi_random import Random

    return Random(question, seed)


SAMPLERS: Mapping[str, Callable[[Question, int], Sampler]] = {
    "nehvi": _nehvi,
    **{name: partial(_optuna, name=name) for name in ("tpe", "gp", "nsga2", "nsga3")},
    "ax": _ax,
    "qmc": _qmc,
    "random": _random,
}
