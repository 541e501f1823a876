"""A tiny experiment on real digits, prepared once, and the trials that the tests run on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import text_experiments
import torch

from trainables.denoisers.recipes import BaseModel, ClassifierRecipe
from trainables.needs import SHARED
from trainables.relearning.experiment import AttackPlan, Experiment, Samples, TrialSpec
from trainables.relearning.products import (
    Workbench,
    make_classifier,
    make_model,
    make_reference,
    make_shared,
    make_synthetic,
    model_key,
)
from trainables.relearning.products.problem import problem_of
from trainables.relearning.products.shared import shared_of
from trainables.relearning.stages.score import make_score
from trainables.unlearning import Problem

SAMPLES = Samples(forgotten=8, per_retained=4)
SEED = 0
Lend = Callable[[str, Callable[[Path], object], Path], None]  # of tests/conftest.py


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory, lend: Lend) -> Experiment:
    """Digits, a base model of 20 steps, and all that a trial needs to find in its store. Tests may add to it."""
    return lent_to(tmp_path_factory.mktemp("store"), lend)


def lent_to(store: Path, lend: Lend) -> Experiment:
    lend("digits", lambda folder: prepared(tiny_on(folder)), store)
    return tiny_on(store)


def tiny_on(store: Path) -> Experiment:
    return Experiment(
        store=str(store),
        base=BaseModel(channels=(8, 16), train_steps=20, batch=32, learning_rate=4e-3, norm_groups=8),
        classifier=ClassifierRecipe(width=8, features=8, train_steps=40),
        sampling_steps=4,
        synthetic_per_condition=4,
    )


def prepared(tiny: Experiment) -> None:
    make_classifier(tiny)
    make_model(tiny, "base")
    make_model(tiny, "retrain")
    make_reference(tiny)
    make_synthetic(tiny)
    make_score(tiny, model_key(tiny, "base"), SAMPLES, SEED)


@pytest.fixture(scope="session")
def text_experiment(tmp_path_factory: pytest.TempPathFactory, lend: Lend) -> Experiment:
    """The digits in styles, a text-to-image model of three steps, its control and a classifier."""

    def experiment_on(store: Path) -> Experiment:
        return text_experiments.experiment_of(text_experiments.TINY, store)

    def make(folder: Path) -> None:
        text_experiments.prepared(experiment_on(folder), "retrain control", "classifier")

    store = tmp_path_factory.mktemp("text_store")
    lend("text", make, store)
    return experiment_on(store)


@pytest.fixture
def another_store(experiment: Experiment, tmp_path: Path) -> Callable[[str], Experiment]:
    """The same experiment on a copy of its store, so that a test may write to it and damage it."""

    def copy(name: str = "copy") -> Experiment:
        return replace(experiment, store=str(shutil.copytree(experiment.store, tmp_path / name)))

    return copy


@pytest.fixture(scope="session")
def bench(experiment: Experiment) -> Workbench:
    return Workbench(experiment)


@pytest.fixture(scope="session")
def problem(bench: Workbench, lend: Lend) -> Problem:
    """What an unlearning method is given: digits, class 3 to forget."""

    def make(folder: Path) -> None:
        here = lent_to(folder, lend)
        for name in SHARED.names():
            make_shared(here, name)

    lend("shared", make, Path(bench.experiment.store))
    return problem_of(bench, {name: shared_of(bench, name) for name in SHARED.names()})


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., TrialSpec]:
    """A trial of four unlearning steps and three attacks of five steps, the last of which does not count."""

    def make(experiment: Experiment, **changes: Any) -> TrialSpec:
        spec = TrialSpec(
            trial_id="trial",
            replicate=0,
            experiment=experiment,
            method="dimum",
            settings={"steps": 4, "batch": 8, "learning_rate": 3e-3, "replacement": "one_image", "ema_decay": 0.5},
            seed=SEED,
            attacks=(
                AttackPlan("gentle", "dimra", {"auxiliary": "retain", "learning_rate": 1e-3, "batch": 8}),
                AttackPlan("public", "dimra", {"auxiliary": "public", "learning_rate": 1e-2, "batch": 8}),
                AttackPlan(
                    "anew", "dimra", {"auxiliary": "public_all", "learning_rate": 3e-2, "batch": 8}, counts=False
                ),
            ),
            rungs=(0, 2, 5),
            samples=SAMPLES,
            attacked_per_retained=2,
        )
        return replace(spec, **changes)

    return make
