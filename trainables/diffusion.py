"""A denoiser's prediction, its loss on noised images, and deterministic sampling.

Noise is drawn on the CPU from a seeded generator and moved to the device: the same seed means the same noise on every
machine, which is what makes base, unlearned and attacked models comparable (common random numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DModel

from trainables.sampling.noise_schedule import NoiseSchedule
from trainables.sampling.sampler import Sampler
from trainables.training.device import Device

Loss = Callable[[UNet2DModel, torch.Generator], torch.Tensor]
"""One step's loss, a scalar: given the model being trained and the generator every random choice comes from."""


Timesteps = Callable[[int, int, torch.Generator], torch.Tensor]
"""Timesteps (n,) int64 for n images from 0 … T - 1: ``(n, T, generator)``."""


class Diverged(RuntimeError):
    """The loss of a fine-tuning run, or what a model predicts after it, is no longer finite."""


def finite(values: torch.Tensor, name: str) -> torch.Tensor:
    """The values (N, …), if each of the N is finite. Raises Diverged, with their `name` and how many are not.

    A run's last step has no loss after it: weights that it blew up show only in what the model predicts.
    """
    broken = int((~torch.isfinite(values)).flatten(1).any(dim=1).sum())
    if broken:
        raise Diverged(f"{broken} of {len(values)} {name} are not finite")
    return values


def noise_schedule(train_timesteps: int = 1000, beta_schedule: str = "linear") -> DDIMScheduler:
    """What models are trained and sampled on; a DDIM scheduler holds both (Song et al. 2021, arXiv 2010.02502)."""
    return NoiseSchedule(train_timesteps, beta_schedule).scheduler()


def predict(model: UNet2DModel, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
    """ε_θ(x_t, t, c), in float32 or better; an unconditional model is not told c."""
    labels = {} if model.class_embedding is None else {"class_labels": conditions}
    epsilon = model(noisy, timesteps, **labels).sample
    return epsilon.to(torch.promote_types(epsilon.dtype, torch.float32))


@dataclass(frozen=True)
class Noised:
    """A batch on its way to noise: x_t = √ᾱ_t · x + √(1 - ᾱ_t) · ε. All (B, …), on one device."""

    images: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor

    def loss(self, model: UNet2DModel, conditions: torch.Tensor, target: torch.Tensor | None = None) -> torch.Tensor:
        """‖target - ε_θ(x_t, t, c)‖², a mean over elements; the target is the noise unless another is given."""
        return F.mse_loss(
            predict(model, self.images, self.timesteps, conditions), self.noise if target is None else target
        )


def even_timesteps(n: int, horizon: int, generator: torch.Generator) -> torch.Tensor:
    """(n,) timesteps, each evenly from all, whatever the others are."""
    return torch.randint(horizon, (n,), generator=generator)


def stratified_timesteps(n: int, horizon: int, generator: torch.Generator) -> torch.Tensor:
    """(n,) timesteps, one from each n-th of the schedule, in random order.

    Each by itself is even, so a loss's mean is what it is with `even_timesteps`; its noise is less, for no batch is all at one
    end of the schedule (Kingma et al. 2021, arXiv 2107.00630, appendix I.1).
    """
    places = torch.randperm(n, generator=generator) + torch.rand((), generator=generator)
    return (places * (horizon / n)).long().clamp(max=horizon - 1)  # rounding may reach the end


def add_noise(
    schedule: DDIMScheduler, images: torch.Tensor, generator: torch.Generator, timesteps: Timesteps = even_timesteps
) -> Noised:
    """`images` (B, C, H, W) noised at timesteps drawn for them; noise and timesteps come from the CPU generator."""
    noise = torch.randn(images.shape, generator=generator).to(images)
    horizon = schedule.config["num_train_timesteps"]
    at = timesteps(len(images), horizon, generator).to(images.device)
    return Noised(schedule.add_noise(images, noise, at), noise, at)


def denoising_loss(
    model: UNet2DModel,
    schedule: DDIMScheduler,
    images: torch.Tensor,
    conditions: torch.Tensor,
    generator: torch.Generator,
    weights: torch.Tensor | None = None,
    timesteps: Timesteps = even_timesteps,
) -> torch.Tensor:
    """DSM(θ) = E ‖ε - ε_θ(x_t, t, c)‖², a mean over elements (Ho et al. 2020, arXiv 2006.11239, Eq. 14).

    `images` (B, C, H, W) in [-1, 1] and `conditions` (B,) on the model's device; `weights` (B,) multiplies each image's
    mean over elements, for a batch that mixes two losses in one pass.
    """
    noised = add_noise(schedule, images, generator, timesteps)
    prediction = predict(model, noised.images, noised.timesteps, conditions)
    error = F.mse_loss(prediction, noised.noise, reduction="none").mean(dim=(1, 2, 3))
    return (error if weights is None else error * weights).mean()


def starting_noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """x_T, float32 on the CPU: the same for every model sampled with this seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def predict_guided(
    model: UNet2DModel,
    noisy: torch.Tensor,
    timestep: torch.Tensor,
    conditions: torch.Tensor,
    null: int,
    guidance: float,
) -> torch.Tensor:
    """ε_∅ + w (ε_c - ε_∅): classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598); w = 1 is ε_c alone."""
    if guidance == 1:
        return predict(model, noisy, timestep, conditions)
    both = torch.cat([torch.full_like(conditions, null), conditions])
    unconditional, conditional = predict(model, torch.cat([noisy, noisy]), timestep, both).chunk(2)
    return unconditional + guidance * (conditional - unconditional)


def clamped(images: torch.Tensor) -> torch.Tensor:
    """Finished samples of a model of pixels: within [-1, 1]."""
    return images.clamp(-1, 1)


def sample(
    model: UNet2DModel,
    schedule: DDIMScheduler,
    noise: torch.Tensor,
    conditions: torch.Tensor,
    sampler: Sampler | int,
    device: Device,
    batch: int = 512,
    null_condition: int = 0,
    finish: Callable[[torch.Tensor], torch.Tensor] = clamped,
) -> Iterator[torch.Tensor]:
    """Deterministic sampling from `noise` (N, C, H, W) under `conditions` (N,): yields batches (B, C, H, W) in [-1, 1].

    A number in the sampler's place is that many steps of DDIM. `null_condition` is for guidance; `finish` makes images of
    what a chain ends with, of latents a VAE. Restarting at any multiple of `batch` gives the same: nothing random is drawn.
    Raises Diverged where samples are not finite.
    """
    how = Sampler(steps=sampler) if isinstance(sampler, int) else sampler
    model.eval()
    for start in range(0, len(noise), batch):
        images = noise[start : start + batch].to(device.name)
        labels = conditions[start : start + batch].to(device.name)
        scheduler = how.scheduler(schedule)  # a batch's own: a multistep sampler remembers what it saw
        eta = {"eta": 0.0} if how.kind == "ddim" else {}
        with torch.inference_mode(), device.autocast():
            for timestep in scheduler.timesteps:
                prediction = predict_guided(model, images, timestep, labels, null_condition, how.guidance).float()
                images = scheduler.step(prediction, timestep, images, **eta).prev_sample
            images = finish(images)
        yield finite(images.float().cpu(), "samples of the model")


def sample_one_step(
    model: UNet2DModel,
    schedule: DDIMScheduler,
    noise: torch.Tensor,
    conditions: torch.Tensor,
    timestep: int,
    device: Device,
    batch: int = 512,
    finish: Callable[[torch.Tensor], torch.Tensor] = clamped,
) -> Iterator[torch.Tensor]:
    """A one-step generator's images from `noise` (N, C, H, W): batches (B, C, H, W) in [-1, 1]; raises Diverged likewise."""
    model.eval()
    for start in range(0, len(noise), batch):
        part = slice(start, start + batch)
        with torch.inference_mode(), device.autocast():
            images = generate_in_one_step(
                model, schedule, noise[part].to(device.name), conditions[part].to(device.name), timestep
            )
            images = finish(images.float())
        yield finite(images.cpu(), "samples of the model")


def generate_in_one_step(
    model: UNet2DModel, schedule: DDIMScheduler, noise: torch.Tensor, conditions: torch.Tensor, timestep: int
) -> torch.Tensor:
    """G_θ(z, c) = (z - √(1 - ᾱ_t) ε_θ(z, t, c)) / √ᾱ_t at one fixed t: the denoiser's own guess, taken for the image.

    Differentiable. As in score identity distillation (Zhou et al. 2024, arXiv 2404.04057), whose t is in the middle of the
    schedule: at its end √ᾱ_t is near 0 and the guess is all amplified error.
    """
    alpha = schedule.alphas_cumprod[timestep].to(noise)
    times = torch.full((len(noise),), timestep, device=noise.device)
    return (noise - (1 - alpha).sqrt() * predict(model, noise, times, conditions)) / alpha.sqrt()
