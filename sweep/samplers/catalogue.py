"""Samplers by name, a line each. One is imported when it is asked for: a sweep of one pays for no other, and a plan for none."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.errors import UsageError, near, need
from sweep.samplers import Observation, Question, Sampler
from sweep.space import SearchSpace

if TYPE_CHECKING:
    from sweep.samplers.tasks import Task


@dataclass(frozen=True)
class Listed:
    """A sampler before it is imported: the module of this room that it is in, what makes it there, and what it can do.

    It is made of ``(question, seed)``. One that `learns_of_earlier_runs` takes their studies as ``earlier``, one that
    `learns_of_all_arms` its arm's ``task``; one that `foresees_gain` has an ``expected_gain``.
    """

    module: str
    factory: str
    foresees_gain: bool = False
    learns_of_earlier_runs: bool = False
    learns_of_all_arms: bool = False
    extra: str = ""  # of this project, which installs a library called alike
    library: str = ""  # what that is, in words


SAMPLERS: Mapping[str, Listed] = {
    "nehvi": Listed("nehvi", "Nehvi", foresees_gain=True, learns_of_earlier_runs=True, learns_of_all_arms=True),
    "tpe": Listed("optuna_samplers", "tpe"),
    "gp": Listed("optuna_samplers", "gp"),
    "nsga2": Listed("optuna_samplers", "nsga2"),
    "nsga3": Listed("optuna_samplers", "nsga3"),
    "ax": Listed("ax", "AxSampler", extra="ax", library="Ax"),
    "qmc": Listed("quasi_random", "QuasiRandom"),
    "random": Listed("quasi_random", "Random"),
}


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
    one = listed(name)
    further: dict[str, Any] = {}
    if one.learns_of_earlier_runs:
        further["earlier"] = earlier
    if one.learns_of_all_arms:
        further["task"] = task
    factory = getattr(importlib.import_module(f"sweep.samplers.{one.module}"), one.factory)
    sampler: Sampler = factory(question, seed, **further)
    return sampler


def listed(name: str) -> Listed:
    """UsageError for an unknown name."""
    if name not in SAMPLERS:
        raise UsageError(f"sampler {name!r} is unknown; {near(name, SAMPLERS)}")
    return SAMPLERS[name]


def tasks(name: str, space: SearchSpace) -> dict[str, Task]:
    """The arms of a question as tasks of one model, by arm; none where they share nothing or the sampler learns of one alone."""
    if not learns_of_all_arms(name, space):
        return {}
    from sweep.samplers.tasks import Task, Tasks

    together = Tasks({arm.name: arm.parameters for arm in space.arms}, space.shared)
    return {arm.name: Task(together, arm.name) for arm in space.arms}


def learns_of_all_arms(name: str, space: SearchSpace) -> bool:
    """Whether this sampler models the question's arms together."""
    return listed(name).learns_of_all_arms and bool(space.shared) and len(space.arms) > 1


def check_installed(name: str, flag: str = "--sampler") -> None:
    """UsageError where a sampler's library is an extra that is not there; imports nothing."""
    one = listed(name)
    if one.extra:
        need(one.extra, one.extra, f"{flag} {name}: {one.library}")
