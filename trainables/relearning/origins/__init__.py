"""Where base models come from: one file each, ``(Wanted) -> Artifact``. A recipe's `origin` names the one that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainables.data import Images
from trainables.registry import Registry
from trainables.relearning.experiment import Experiment
from trainables.store import Artifact


@dataclass(frozen=True)
class Wanted:
    """A model that is to lie in the store under `key`; `which` says what it is to the experiment: ``base``, ``retrain``, …

    `images` gives what a model that is trained here is trained on; `vae` is the key of what else is wanted of a pipeline.
    """

    experiment: Experiment
    which: str
    key: str
    images: Callable[[], Images]
    vae: str = ""


ORIGINS: Registry[Callable[[Wanted], Artifact]] = Registry("origin of models", __name__)


def register(name: str) -> Callable:
    """Register a function ``(Wanted) -> Artifact`` that makes the model."""
    return ORIGINS.decorator(name, lambda make: make)
