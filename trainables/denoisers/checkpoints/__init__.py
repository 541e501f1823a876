"""Families of checkpoints that are no diffusers pipelines: state dicts of other people's code, turned into one. One file each.

A member reads a network's layout from the names and shapes of its tensors, and gives a denoiser whose ε is the network's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from diffusers import ModelMixin

from trainables.registry import Registry
from trainables.sampling.noise_schedule import NoiseSchedule

Tensors: TypeAlias = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Untold:
    """What tensors do not say of a network. None stands for the family's own.

    `dropout` is that of fine-tuning, and changes no prediction. `null_condition`: whether label dropout trained the condition of
    no class, where a layout always has one. `preconditioning` and `sigma_data` are EDM's (Karras et al. 2022, arXiv 2206.00364).
    """

    image_size: int | None = None
    dropout: float | None = None
    timesteps: int = 1000
    beta_schedule: str = "linear"
    beta_start: float | None = None
    beta_end: float | None = None
    null_condition: bool = False
    preconditioning: str = "edm"
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        for name, value in (("image size", self.image_size), ("timesteps", self.timesteps)):
            if value is not None and value < 1:
                raise ValueError(f"{name} {value}: must be at least 1")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout:g}: must lie from 0 and below 1")
        if not 0 < self.sigma_data < float("inf"):
            raise ValueError(f"sigma data {self.sigma_data:g}: must be a positive number")

    def schedule(self, beta_start: float, beta_end: float) -> NoiseSchedule:
        """The schedule of β asked for, or the family's ends of it; samples are clipped at no step, as none of them does."""
        return NoiseSchedule(
            num_train_timesteps=self.timesteps,
            beta_schedule=self.beta_schedule,
            beta_start=beta_start if self.beta_start is None else self.beta_start,
            beta_end=beta_end if self.beta_end is None else self.beta_end,
            clip_sample=False,
        )


@dataclass(frozen=True)
class Denoiser:
    """A network as a diffusers model, on which schedule its ε is asked for, and what was read from its tensors, in words."""

    model: ModelMixin
    schedule: NoiseSchedule
    said: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """One family: `convert` gives its denoiser, ValueError in one line where tensors are missing, unknown or of a wrong shape."""

    name: str
    convert: Callable[[Tensors, Untold], Denoiser]


FAMILIES: Registry[Family] = Registry("family of checkpoints", __name__)


def register(name: str) -> Callable:
    """Register a function ``(tensors, untold) -> Denoiser`` as a family."""
    return FAMILIES.decorator(name, lambda convert: Family(name, convert))
