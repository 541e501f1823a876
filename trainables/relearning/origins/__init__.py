"""Where base models come from: one file each, ``(Wanted) -> Artifact``. A recipe's `origin` names the one that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainables.data import Images
from trainables.registry import Registry
from trainables.relearning.experiment import Experiment
from trainables.running.products import Product
from trainables.store import Artifact

# Names of parts that others than their origin ask for.
VAE, PROMPTS, LATENTS = "VAE", "prompts", "latents"


@dataclass(frozen=True)
class Wanted:
    """A model that is to lie in the store under `key`; `which` says what it is to the experiment: ``base``, ``retrain``, …

    `images` gives what a model that is trained here is trained on, as its denoiser takes them; `vae` is the key of what else is
    wanted of a pipeline.
    """

    experiment: Experiment
    which: str
    key: str
    images: Callable[[], Images]
    vae: str = ""


Parts = Callable[[Experiment], Mapping[str, Product]]
"""By name, what an origin makes before any model, and models are made of: products of their own, each a task."""

Encoders = Callable[[Experiment, "Artifact | None"], tuple[list[Any], list[Any]]]
"""(tokenizers, text encoders) of the base model on the CPU; by the keys that a model's artifact names, where one is given."""


@dataclass(frozen=True)
class Origin:
    """What makes a model; of which `parts`, and told prompts by which `encoders`; and in which module, whose code is in its key."""

    make: Callable[[Wanted], Artifact]
    module: str
    parts: Parts
    encoders: Encoders

    def __call__(self, wanted: Wanted) -> Artifact:
        return self.make(wanted)


ORIGINS: Registry[Origin] = Registry("origin of models", __name__)


def _no_parts(experiment: Experiment) -> Mapping[str, Product]:
    return {}


def _no_encoders(experiment: Experiment, artifact: Artifact | None) -> tuple[list[Any], list[Any]]:
    raise ValueError("a model that is told no prompts has no text encoders")


def register(name: str, parts: Parts = _no_parts, encoders: Encoders = _no_encoders) -> Callable:
    """Register a function ``(Wanted) -> Artifact`` that makes the model, what its parts are, and what it is told prompts by."""
    return ORIGINS.decorator(name, lambda make: Origin(make, make.__module__, parts, encoders))


def parts_of(experiment: Experiment) -> Mapping[str, Product]:
    """The parts of the experiment's base model by name; of most there are none."""
    return ORIGINS[experiment.base.origin].parts(experiment)


def goes_with(wanted: Wanted) -> dict[str, str]:
    """Keys, by name, of what makes a pipeline of a model, and of what is no data's: its sidecar names them for whoever reads it."""
    parts = {name: part.key() for name, part in parts_of(wanted.experiment).items() if name not in (PROMPTS, LATENTS)}
    return parts | ({VAE: wanted.vae} if wanted.vae else {})
