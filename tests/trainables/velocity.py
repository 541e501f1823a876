"""A network's v-twin: the same function, read as a model that predicts v = (ε - √(1 - ᾱ_t) x_t) / √ᾱ_t."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import UNet2DModel

from trainables.sampling.noise_schedule import NoiseSchedule
from trainables.unlearning import Problem


@dataclass
class Output:
    """What a model gives."""

    sample: torch.Tensor


class VelocityTwin(UNet2DModel):
    """A UNet whose ε becomes v. With `weighted`, gradients through it are multiplied by ᾱ_t of each image.

    ‖Δε‖² = ᾱ_t ‖Δv‖²: so weighted, a loss that says the same of ε and of v has the same gradient in the weights.
    """

    schedule = NoiseSchedule()
    weighted = False

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, **conditions: Any) -> Output:  # type: ignore[override]
        epsilon = super().forward(sample, timestep, **conditions).sample
        bars = self.schedule.scheduler().alphas_cumprod.to(epsilon)
        alpha_bar = bars[timestep].expand(len(sample))[:, None, None, None]
        if self.weighted and epsilon.requires_grad:
            epsilon.register_hook(lambda gradient: gradient * alpha_bar)
        return Output((epsilon - (1 - alpha_bar).sqrt() * sample) / alpha_bar.sqrt())


def twin_of(model: UNet2DModel, schedule: NoiseSchedule | None = None, weighted: bool = False) -> VelocityTwin:
    """The v-twin of an ε network on a schedule, with weights of its own."""
    config = {name: value for name, value in model.config.items() if not name.startswith("_")}
    twin = VelocityTwin(**config)
    if next(model.parameters()).dtype == torch.float64:
        twin.double()
    twin.load_state_dict(model.state_dict())
    twin.schedule, twin.weighted = schedule or NoiseSchedule(), weighted
    return twin.train(model.training)


def as_velocity(problem: Problem) -> Problem:
    """The problem on θ₀'s v-twin."""
    base = twin_of(problem.base).requires_grad_(False)
    return replace(problem, base_model=lambda: base, schedule=NoiseSchedule(prediction_type="v_prediction").scheduler())
