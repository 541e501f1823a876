"""A denoiser's prediction, its loss on noised images, and deterministic sampling.

A network predicts ε or v, as its schedule says; `predict` returns its own output, and losses compare that with a target of
the same kind. Of what a network predicts at one (x_t, t), any affine combination whose coefficients sum to 1, as guidance's
and ESD's do, says the same in both: ε = √ᾱ_t v + √(1 - ᾱ_t) x_t. Only the weight over t differs: ‖Δε‖² = ᾱ_t ‖Δv‖².

Noise is drawn on the CPU from a seeded generator and moved to the device: the same seed means the same noise on every
machine, which is what makes base, unlearned and attacked models comparable (common random numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DModel

from trainables.sampling.at_once import images_at_once, samples_at_once
from trainables.sampling.noise_schedule import VELOCITY, NoiseSchedule
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


def conditioned(model: torch.nn.Module) -> bool:
    """Whether the model is told a condition: a row of its class embedding, or of its table of prompts."""
    return hasattr(model, "prompts") or model.class_embedding is not None


def predict(model: UNet2DModel, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
    """ε_θ(x_t, t, c), or v_θ, in float32 or better; an unconditional model is not told c."""
    labels = {"class_labels": conditions} if conditioned(model) else {}
    output = model(noisy, timesteps, **labels).sample
    return output.to(torch.promote_types(output.dtype, torch.float32))


def predicts_velocity(schedule: DDIMScheduler) -> bool:
    """Whether models on this schedule predict v rather than ε."""
    return schedule.config["prediction_type"] == VELOCITY


def target_of(
    schedule: DDIMScheduler, images: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """What a network is to predict of x (B, …) noised by ε (B, …) at t (B,): ε, or v = √ᾱ_t ε - √(1 - ᾱ_t) x."""
    return schedule.get_velocity(images, noise, timesteps) if predicts_velocity(schedule) else noise


def epsilon_of(
    prediction: torch.Tensor, noisy: torch.Tensor, timesteps: torch.Tensor, schedule: DDIMScheduler
) -> torch.Tensor:
    """ε_θ of a network's own output at x_t (B, …) and t (B,): itself, or √ᾱ_t v_θ + √(1 - ᾱ_t) x_t. Differentiable."""
    if not predicts_velocity(schedule):
        return prediction
    alpha_bar = schedule.alphas_cumprod.to(prediction)[timesteps.to(prediction.device)]
    alpha_bar = alpha_bar.reshape(-1, *[1] * (prediction.ndim - 1))
    return alpha_bar.sqrt() * prediction + (1 - alpha_bar).sqrt() * noisy


def check_one_step(schedule: DDIMScheduler) -> None:
    """ValueError unless a one-step generator can be made of models on this schedule."""
    if predicts_velocity(schedule):
        raise ValueError("one-step generation (sfd) is of models that predict ε, and this one predicts v: take another")


@dataclass(frozen=True)
class Noised:
    """A batch on its way to noise: x_t = √ᾱ_t · x + √(1 - ᾱ_t) · ε. All (B, …), on one device.

    `images` are x_t; `target` is what a network on this schedule is to predict of them: `noise`, or the velocity.
    """

    images: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    target: torch.Tensor

    def where(self, rows: torch.Tensor) -> Noised:
        """Those of the batch at these rows."""
        return Noised(self.images[rows], self.noise[rows], self.timesteps[rows], self.target[rows])

    def errors(self, model: UNet2DModel, conditions: torch.Tensor) -> torch.Tensor:
        """(B,) of each image ‖target - ε_θ(x_t, t, c)‖² (of v where that is predicted), a mean over elements."""
        prediction = predict(model, self.images, self.timesteps, conditions)
        return F.mse_loss(prediction, self.target, reduction="none").mean(dim=(1, 2, 3))

    def loss(self, model: UNet2DModel, conditions: torch.Tensor, target: torch.Tensor | None = None) -> torch.Tensor:
        """‖target - ε_θ(x_t, t, c)‖² (of v where that is predicted), a mean over elements; `target` may be another one."""
        prediction = predict(model, self.images, self.timesteps, conditions)
        return F.mse_loss(prediction, self.target if target is None else target)


def noised_by(schedule: DDIMScheduler, images: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> Noised:
    """`images` (B, C, H, W) noised by the noise (B, C, H, W) at the timesteps (B,)."""
    noisy = schedule.add_noise(images, noise, timesteps)
    return Noised(noisy, noise, timesteps, target_of(schedule, images, noise, timesteps))


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
    return noised_by(schedule, images, noise, at)


def denoising_loss(
    model: UNet2DModel,
    schedule: DDIMScheduler,
    images: torch.Tensor,
    conditions: torch.Tensor,
    generator: torch.Generator,
    weights: torch.Tensor | None = None,
    timesteps: Timesteps = even_timesteps,
) -> torch.Tensor:
    """DSM(θ) = E ‖ε - ε_θ(x_t, t, c)‖², a mean over elements (Ho et al. 2020, arXiv 2006.11239, Eq. 14); E ‖v - v_θ‖² of v.

    `images` (B, C, H, W) in [-1, 1] and `conditions` (B,) on the model's device; `weights` (B,) multiplies each image's
    mean over elements, for a batch that mixes two losses in one pass.
    """
    error = add_noise(schedule, images, generator, timesteps).errors(model, conditions)
    return (error if weights is None else error * weights).mean()


def batch_for(model: torch.nn.Module, shape: tuple[int, ...]) -> int:
    """How many samples (…, H, W) go through a denoiser in one pass that no gradient is kept of."""
    return samples_at_once(shape, width_of(model))


def gradient_batch_for(model: torch.nn.Module, shape: tuple[int, ...]) -> int:
    """How many images (…, H, W) go through a denoiser in one pass that a gradient is taken of."""
    return images_at_once(shape, width_of(model))


def width_of(model: torch.nn.Module) -> int:
    """Channels of a denoiser's first maps; of a transformer, whose tokens are patches, as many as a place has of them."""
    config: Any = model.config
    if "patch_size" in config:
        return int(config["num_attention_heads"] * config["attention_head_dim"] // config["patch_size"] ** 2)
    return int(config["block_out_channels" if "block_out_channels" in config else "widths"][0])


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
    """ε_∅ + w (ε_c - ε_∅), or the same of v: classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).

    w = 1 is ε_c alone.
    """
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
    batch: int = 0,
    null_condition: int = 0,
    finish: Callable[[torch.Tensor], torch.Tensor] = clamped,
) -> Iterator[torch.Tensor]:
    """Deterministic sampling from `noise` (N, C, H, W) under `conditions` (N,): yields batches (B, C, H, W) in [-1, 1].

    A number in the sampler's place is that many steps of DDIM; 0 in the batch's, as many as fit. `null_condition` is for
    guidance; `finish` makes images of what a chain ends with, of latents a VAE. Restarting at any multiple of `batch` gives
    the same: nothing random is drawn. Raises Diverged where samples are not finite.
    """
    how = Sampler(steps=sampler) if isinstance(sampler, int) else sampler
    batch = batch or batch_for(model, noise.shape)
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
    batch: int = 0,
    finish: Callable[[torch.Tensor], torch.Tensor] = clamped,
) -> Iterator[torch.Tensor]:
    """A one-step generator's images from `noise` (N, C, H, W): batches (B, C, H, W) in [-1, 1]; raises Diverged likewise."""
    batch = batch or batch_for(model, noise.shape)
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
    schedule: at its end √ᾱ_t is near 0 and the guess is all amplified error. ValueError for models that predict v.
    """
    check_one_step(schedule)
    alpha = schedule.alphas_cumprod[timestep].to(noise)
    times = torch.full((len(noise),), timestep, device=noise.device)
    return (noise - (1 - alpha).sqrt() * predict(model, noise, times, conditions)) / alpha.sqrt()
