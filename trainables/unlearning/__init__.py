"""Unlearning methods: one file each, all ``loss(problem, settings) -> Loss``.

Most methods are a loss to fine-tune the base model with: given a `Problem`, it returns the function of (model, generator)
that one optimiser step minimises. One that is more (bi-level, closed-form, distilling) registers how it begins a `Run`
instead. Its settings are a frozen dataclass that extends `FineTuningSettings`. Every loss is a mean
over elements, so that weights compare across methods and image sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DModel

from trainables.data import Images
from trainables.diffusion import Device, FineTuning, Loss, Optimisation, Run
from trainables.models import TRAINED_PARAMETERS, trained_parameters
from trainables.registry import Registry, configure


@dataclass(frozen=True)
class Problem:
    """What a method may see: the frozen base model θ₀, what to forget, what to keep, and the feature network.

    `forget` and `retain` are on the CPU; methods move what they train on. `generated` returns n images (n, C, H, W) that
    the base model makes for a condition.
    """

    base: UNet2DModel
    schedule: DDIMScheduler
    forget: Images
    retain: Images
    condition: int
    null_condition: int
    features: Callable[[torch.Tensor], np.ndarray]
    generated: Callable[[int, int], torch.Tensor]
    device: Device


@dataclass(frozen=True)
class FineTuningSettings:
    """What every fine-tuning method shares.

    The learning rate warms up and decays to 0 over the run: at a constant one the last steps' noise costs more FID than
    forgetting does (on digits, DiMUM at 1e-3 for 100 steps: `fid_delta` 23.0 constant, 5.9 decayed).
    """

    learning_rate: float = 3e-4
    steps: int = 100
    batch: int = 64
    trained_parameters: str = "all"  # or "condition_mid": the condition embedding and the mid block
    ema_decay: float = 0.0
    schedule: str = "one-cycle"  # or "constant"

    def __post_init__(self) -> None:
        self.optimisation()  # refuses what no optimiser can do
        if self.trained_parameters not in TRAINED_PARAMETERS:
            raise ValueError(
                f"trained_parameters {self.trained_parameters!r} is none of {', '.join(TRAINED_PARAMETERS)}"
            )
        if self.batch < 2:
            raise ValueError(f"a batch of {self.batch} cannot hold both kinds of image")

    def optimisation(self) -> Optimisation:
        return Optimisation(self.learning_rate, self.steps, ema_decay=self.ema_decay, schedule=self.schedule)


@dataclass(frozen=True)
class Method:
    """A registered method: its settings' class, and how it begins a run on a copy of the start model.

    `loss` is there where the method is no more than a loss to fine-tune with.
    """

    name: str
    settings: type[FineTuningSettings]
    begin: Callable[[UNet2DModel, Problem, Any, int], Run]
    module: str
    loss: Callable[[Problem, Any], Loss] | None = None

    def configure(self, values: Mapping[str, Any]) -> FineTuningSettings:
        """The settings with these values; ValueError for a name the method does not have."""
        return configure(f"method {self.name!r}", self.settings, values)


METHODS: Registry[Method] = Registry("unlearning method", __name__)


def register(name: str, settings: type[FineTuningSettings]) -> Callable:
    """Register ``loss(problem, settings) -> Loss`` as the method `name`: fine-tuning with that loss."""

    def method(loss: Callable[[Problem, Any], Loss]) -> Method:
        def begin(model: UNet2DModel, problem: Problem, values: FineTuningSettings, seed: int) -> Run:
            parameters = trained_parameters(model, values.trained_parameters)
            return FineTuning(model, loss(problem, values), values.optimisation(), seed, problem.device, parameters)

        return Method(name, settings, begin, loss.__module__, loss)

    return METHODS.decorator(name, method)


def register_run(name: str, settings: type[FineTuningSettings]) -> Callable:
    """Register ``begin(model, problem, settings, seed) -> Run`` as the method `name`: for what is more than one loss."""
    return METHODS.decorator(name, lambda begin: Method(name, settings, begin, begin.__module__))


def split_batch(batch: int, share: float) -> int:
    """How many of a batch's images are for the forgotten condition: at least one of each kind."""
    if batch < 2:
        raise ValueError(f"a batch of {batch} cannot hold both kinds of image")
    return min(max(round(batch * share), 1), batch - 1)


def mixture_weights(forgotten: int, kept: int, forget_weight: float, retain_weight: float) -> torch.Tensor:
    """(B,) weights under which a batch's mean is w_f · mean(forgotten part) + w_r · mean(kept part)."""
    size = forgotten + kept
    ones = [
        torch.full((forgotten,), forget_weight * size / forgotten),
        torch.full((kept,), retain_weight * size / kept),
    ]
    return torch.cat(ones)


def balance(ratio: float) -> tuple[float, float]:
    """(λ_f, λ_r) with λ_f / λ_r = `ratio` and λ_f + λ_r = 1: only the ratio matters to Adam, so only it is searched."""
    if ratio <= 0:
        raise ValueError(f"a ratio of loss weights must be positive, not {ratio}")
    return ratio / (1 + ratio), 1 / (1 + ratio)
