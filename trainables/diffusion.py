"""The denoising loss, deterministic sampling, and the one fine-tuning loop that unlearning and attacks share.

Noise and batches are drawn on the CPU from one seeded generator and moved to the device: the same seed means the same
noise on every machine, which is what makes base, unlearned and attacked models comparable (common random numbers).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DModel

from trainables.sampling.noise_schedule import NoiseSchedule
from trainables.sampling.sampler import Sampler
from trainables.store import Tensors
from trainables.training.device import Device
from trainables.training.lora import merge

Loss = Callable[[UNet2DModel, torch.Generator], torch.Tensor]
"""One step's loss, a scalar: given the model being trained and the generator every random choice comes from."""

Gradient = Callable[["FineTuning"], torch.Tensor]
"""One step's gradient, for what is more than one loss: left in the parameters' ``.grad``; returns the loss, detached.

It is given the run itself: model, generator, step, horizon, parameters, averaged weights.
"""


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


def add_noise(schedule: DDIMScheduler, images: torch.Tensor, generator: torch.Generator) -> Noised:
    """`images` (B, C, H, W) noised at timesteps drawn evenly; noise and timesteps come from the CPU generator."""
    noise = torch.randn(images.shape, generator=generator).to(images)
    horizon = schedule.config["num_train_timesteps"]
    timesteps = torch.randint(horizon, (len(images),), generator=generator).to(images.device)
    return Noised(schedule.add_noise(images, noise, timesteps), noise, timesteps)


def denoising_loss(
    model: UNet2DModel,
    schedule: DDIMScheduler,
    images: torch.Tensor,
    conditions: torch.Tensor,
    generator: torch.Generator,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """DSM(θ) = E ‖ε - ε_θ(x_t, t, c)‖², a mean over elements (Ho et al. 2020, arXiv 2006.11239, Eq. 14).

    `images` (B, C, H, W) in [-1, 1] and `conditions` (B,) on the model's device; `weights` (B,) multiplies each image's
    mean over elements, for a batch that mixes two losses in one pass.
    """
    noised = add_noise(schedule, images, generator)
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


@dataclass(frozen=True)
class Optimisation:
    """How a fine-tuning run moves the weights; `steps` is its horizon."""

    learning_rate: float
    steps: int
    optimiser: str = "adam"
    grad_clip: float = 1.0
    ema_decay: float = 0.0  # 0: the last weights; otherwise their exponential moving average
    schedule: str = "constant"  # or "one-cycle" (Smith 2018, arXiv 1708.07120), which needs the horizon

    def __post_init__(self) -> None:
        if self.optimiser not in ("adam", "sgd"):
            raise ValueError(f"optimiser {self.optimiser!r} is neither 'adam' nor 'sgd'")
        if self.schedule not in ("constant", "one-cycle"):
            raise ValueError(f"schedule {self.schedule!r} is neither 'constant' nor 'one-cycle'")
        if self.learning_rate <= 0 or self.steps < 0 or not 0 <= self.ema_decay < 1:
            raise ValueError(f"learning_rate > 0, steps ≥ 0 and 0 ≤ ema_decay < 1 are needed, not {self}")


class Run(Protocol):
    """A resumable run that changes a model: what an unlearning or attack stage drives, whatever happens inside a step.

    Everything a run needs to go on, a teacher or a mask included, must be in `state`. `facts` go into the model's sidecar:
    ``one_step`` is the timestep of a one-step generator, which is sampled by its own sampler.
    """

    model: UNet2DModel
    step: int
    last_loss: float

    @property
    def steps(self) -> int:
        """The horizon: the run is over at this step."""
        ...

    @property
    def facts(self) -> dict[str, Any]: ...

    def advance(self, until: int, deadline: float = ...) -> bool: ...
    def trained(self) -> UNet2DModel: ...
    def state(self) -> Tensors: ...
    def restore(self, state: Tensors) -> None: ...


@runtime_checkable
class Stateful(Protocol):
    """A gradient that keeps tensors between steps, such as a teacher's weights or a past average."""

    def state(self) -> dict[str, torch.Tensor]: ...
    def restore(self, state: dict[str, torch.Tensor]) -> None: ...


def descend(loss: Loss | None) -> Gradient:
    """The plain gradient of a loss."""
    if loss is None:
        raise ValueError("a fine-tuning run needs a loss or a gradient")

    def gradient(run: FineTuning) -> torch.Tensor:
        with run.device.autocast():
            value = loss(run.model, run.generator)
        value.backward()
        return value.detach()

    return gradient


class FineTuning:
    """A resumable fine-tuning run: `advance` trains until a step or a deadline; `state` and `restore` are its checkpoint.

    Only `parameters` move, and of them only what `masks` (same shapes, 0 or 1) leave free. With an EMA the trained model
    is read by `trained`, which puts the averaged weights in place. `gradient` stands for the loss's own backward pass; what
    it keeps between steps goes into the checkpoint where it is `Stateful`.
    """

    def __init__(
        self,
        model: UNet2DModel,
        loss: Loss | None,
        how: Optimisation,
        seed: int,
        device: Device,
        parameters: list[torch.nn.Parameter] | None = None,
        gradient: Gradient | None = None,
        masks: list[torch.Tensor] | None = None,
    ) -> None:
        self.model, self.how, self.device = model, how, device
        self.gradient = gradient or descend(loss)
        self.masks = masks or []
        self.step = 0
        self.last_loss = float("nan")
        self.generator = torch.Generator().manual_seed(seed)
        self.parameters = parameters if parameters is not None else list(model.parameters())
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.optimiser: torch.optim.Optimizer
        if how.optimiser == "adam":
            self.optimiser = torch.optim.Adam(self.parameters, how.learning_rate)
        else:
            self.optimiser = torch.optim.SGD(self.parameters, how.learning_rate)
        self.average = [p.detach().clone() for p in self.parameters] if how.ema_decay else []
        self._seed = seed
        self._drops = any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in model.modules())
        self._bad_step = torch.tensor(0, device=self.parameters[0].device)  # the first step that was not finite

    @property
    def steps(self) -> int:
        return self.how.steps

    @property
    def facts(self) -> dict[str, Any]:
        return {}

    def advance(self, until: int, deadline: float = float("inf")) -> bool:
        """Train until step `until` or the monotonic clock passes `deadline`; True when the step was reached.

        Raises Diverged where the loss stops being finite.
        """
        self.model.train()
        while self.step < until:
            for group in self.optimiser.param_groups:
                group["lr"] = self._learning_rate()
            self.optimiser.zero_grad(set_to_none=True)
            with self._dropout():
                loss = self.gradient(self)
            self._mask_gradients()
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.how.grad_clip)
            self.optimiser.step()
            self.step += 1
            self._update_average()
            is_finite = torch.isfinite(loss) & torch.isfinite(norm)
            self._bad_step = torch.where(is_finite | (self._bad_step > 0), self._bad_step, self.step)
            if self.step % 10 == 0 or self.step == until:  # reading the loss makes a GPU wait, so not at every step
                self.last_loss = loss.item()
                if bad := int(self._bad_step):
                    raise Diverged(f"the loss or its gradient stopped being finite at step {bad} of {self.steps}")
            if time.monotonic() > deadline and self.step < until:  # after a step: every call gets on
                return False
        return True

    def trained(self) -> UNet2DModel:
        """The model in plain weights, the averaged ones where there is an EMA. Ends the run: do not advance afterwards."""
        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.average, strict=bool(self.average)):
                parameter.copy_(average)
        merge(self.model)
        return self.model

    def state(self) -> Tensors:
        """Model, optimiser, EMA, generator and step as arrays by name."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for index, parameter in enumerate(self.parameters):
            for name, value in self.optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value)
        tensors |= {f"average.{i}": v for i, v in enumerate(self.average)}
        tensors["generator"] = self.generator.get_state()
        tensors["step"] = torch.tensor(self.step)
        tensors["last_loss"] = torch.tensor(self.last_loss)
        tensors["bad_step"] = self._bad_step
        if isinstance(self.gradient, Stateful):
            tensors |= {f"gradient.{k}": v for k, v in self.gradient.state().items()}
        return {k: v.detach().cpu().numpy().copy() for k, v in tensors.items()}

    def restore(self, state: Tensors) -> None:
        """Continue exactly where `state` was taken."""
        tensors = {k: torch.from_numpy(np.array(v)) for k, v in state.items()}
        self.model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        for index, parameter in enumerate(self.parameters):
            prefix = f"optimiser.{index}."
            entries = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if entries:
                moved = {k: v.to(parameter.device) if v.ndim else v for k, v in entries.items()}
                self.optimiser.state[parameter] = moved
        for index, average in enumerate(self.average):
            average.copy_(tensors[f"average.{index}"])
        self.generator.set_state(tensors["generator"])
        self.step, self.last_loss = int(tensors["step"]), float(tensors["last_loss"])
        self._bad_step = tensors["bad_step"].to(self._bad_step.device)
        if isinstance(self.gradient, Stateful):
            carried = {k.removeprefix("gradient."): v for k, v in tensors.items() if k.startswith("gradient.")}
            self.gradient.restore(carried)

    @contextmanager
    def _dropout(self) -> Iterator[None]:
        """Around a step of a model that has dropout, which draws from the global generator: seeded by the step.

        Else a run that is stopped and gone on with would be another than one that is not, under the same key.
        """
        if not self._drops:
            yield
            return
        here = self.parameters[0].device
        with torch.random.fork_rng(devices=[here] if here.type == "cuda" else []):
            torch.manual_seed((self._seed * 1_000_003 + self.step) % 2**63)
            yield

    def _mask_gradients(self) -> None:
        for parameter, mask in zip(self.parameters, self.masks, strict=bool(self.masks)):
            if parameter.grad is not None:
                parameter.grad.mul_(mask)

    def _update_average(self) -> None:
        if self.average:
            decay = min(
                self.how.ema_decay, (1 + self.step) / (10 + self.step)
            )  # a short run is not an average of its start
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    def _learning_rate(self) -> float:
        if self.how.schedule == "constant":
            return self.how.learning_rate
        warm = 0.1 * self.how.steps
        if self.step < warm:
            return self.how.learning_rate * min(1.0, (self.step + 1) / warm)
        share = (self.step - warm) / max(self.how.steps - warm, 1)
        return self.how.learning_rate * 0.5 * (1 + float(np.cos(np.pi * share)))
