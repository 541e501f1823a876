"""What a model makes when asked: samples under given conditions, drawn as the experiment draws them."""

from __future__ import annotations

import torch
from diffusers import UNet2DModel

from trainables.diffusion import clamped, sample, starting_noise
from trainables.relearning.experiment import Experiment, stream
from trainables.relearning.products.models import teacher_of
from trainables.relearning.workbench import Workbench


def generate(experiment: Experiment, model: UNet2DModel, conditions: torch.Tensor, seed: int) -> torch.Tensor:
    """Samples (N, C, H, W) of `model` under `conditions` (N,), from this seed's noise: images in [-1, 1], or latents."""
    noise, schedule = starting_noise((len(conditions), *experiment.model_shape), seed), experiment.noise_schedule()
    how, null = experiment.sampling, experiment.null_condition
    finish = torch.clone if experiment.in_latents else clamped
    drawn = sample(model, schedule, noise, conditions, how, experiment.device, null_condition=null, finish=finish)
    return torch.cat(list(drawn))


def generated_by_base(bench: Workbench, condition: int, n: int) -> torch.Tensor:
    """n images (n, C, H, W) of θ₀ for one condition, always the same."""
    seed = stream(bench.experiment.base_seed, "generated", str(condition))
    return generate(bench.experiment, teacher_of(bench), torch.full((n,), condition), seed)
