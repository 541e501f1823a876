"""The one fine-tuning loop that base models, unlearning and attacks share: resumable, on seeded batches.

Every random choice of a step comes from one generator on the CPU, which a checkpoint holds: a run that was stopped goes on
as one that was not. On a GPU that holds as far as its kernels are deterministic: torch warns of those that are not
(`trainables.training.device`), and their last digits may differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from diffusers import UNet2DModel

from trainables.diffusion import Diverged, Loss
from trainables.training.device import Device
from trainables.training.flat import Flat
from trainables.training.lora import merge
from trainables.training.precision import check_trained, lower

Gradient = Callable[["FineTuning"], torch.Tensor]
"""One step's gradient, for what is more than one loss: left in the parameters' ``.grad``; returns the loss, detached.

It is given the run itself: model, generator, step, horizon, parameters, averaged weights.
"""

State = Mapping[str, torch.Tensor]
"""A run's checkpoint by name. What a run gives is its own memory, which its next step changes; a file's is read when asked for."""


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
        if not self.grad_clip > 0:
            raise ValueError(
                f"grad_clip must be above 0, not {self.grad_clip}: inf is no clipping, 0 would move nothing"
            )


class Run(Protocol):
    """A resumable run that changes a model: what an unlearning or attack stage drives, whatever happens inside a step.

    Everything a run needs to go on, a teacher or a mask included, must be in `state`, but for what it begins with: it is
    restored into a run begun on the same model. `facts` go into the model's sidecar:
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
    def state(self) -> State: ...
    def restore(self, state: State) -> None: ...


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
    it keeps between steps goes into the checkpoint where it is `Stateful`. `betas` are Adam's.

    From the first step on, weights that do not train are in bf16 where that is computed in, but for those that were asked to
    stay exact; they take no part in a checkpoint, and are the start model's (`trainables.training.precision`).
    """

    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)

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
        self.step = 0
        self.last_loss = float("nan")
        self.generator = torch.Generator().manual_seed(seed)
        self.parameters = parameters if parameters is not None else list(model.parameters())
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        check_trained(self.parameters)
        device.checkpoint(model)
        self._exact: list[torch.nn.Parameter] | None = list(self.parameters)  # None: the others have been lowered
        self.flat = Flat(self.parameters)
        self.optimiser: torch.optim.Optimizer
        if how.optimiser == "adam":
            self.optimiser = self.flat.adam(how.learning_rate, self.betas)
        else:
            self.optimiser = torch.optim.SGD([self.flat.vector], how.learning_rate)
        self._mask = self.flat.of(masks) if masks else None
        self._average = self.flat.vector.detach().clone() if how.ema_decay else None
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
        self._lower_frozen()
        while self.step < until:
            for group in self.optimiser.param_groups:
                group["lr"] = self._learning_rate()
            self.clear_gradient()
            with self._dropout():
                loss = self.gradient(self)
            norm = self.follow_gradient()
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

    def keep_exact(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Have parameters that do not train stay in float32, as they are moved or have been. Ahead of the first step."""
        if self._exact is None:
            raise ValueError("the frozen weights are lowered once the first step is taken")
        self._exact += parameters

    def _lower_frozen(self) -> None:
        if self._exact is not None and self.device.in_half:
            lower(self.model, self._exact)
        self._exact = None

    def clear_gradient(self) -> None:
        """Make the parameters' ``.grad`` 0, ready for a backward pass."""
        self.flat.clear_gradient()

    def free_gradient(self) -> None:
        """Give the gradient's memory back until the next step."""
        self.flat.free_gradient()

    def follow_gradient(self) -> torch.Tensor:
        """Move the weights by the parameters' ``.grad``, masked and clipped; returns its norm before clipping, a scalar."""
        self.flat.gather_gradient()
        if self._mask is not None:
            self.flat.gradient.mul_(self._mask)
        norm = self.flat.clip_gradient(self.how.grad_clip)
        self.optimiser.step()
        return norm

    @property
    def average(self) -> list[torch.Tensor]:
        """The averaged weights, one tensor a parameter; none without an EMA."""
        return [] if self._average is None else self.flat.parts(self._average)

    def trained(self) -> UNet2DModel:
        """The model in plain weights, the averaged ones where there is an EMA. Ends the run: do not advance afterwards."""
        if self._average is not None:
            with torch.no_grad():
                self.flat.vector.copy_(self._average)
        merge(self.model)
        return self.model

    def state(self) -> State:
        """What has moved: trained parameters, optimiser, EMA, generator and step. The rest is the model that the run began on."""
        tensors = {f"model.{name}": value for name, value in self._moving().items()}
        for name, value in self.optimiser.state.get(self.flat.vector, {}).items():
            if value.ndim:  # of every weight: written a parameter at a time
                tensors |= {f"optimiser.{i}.{name}": part for i, part in enumerate(self.flat.parts(value))}
            else:
                tensors[f"optimiser.{name}"] = value
        tensors |= {f"average.{i}": v for i, v in enumerate(self.average)}
        tensors["generator"] = self.generator.get_state()
        tensors["step"] = torch.tensor(self.step)
        tensors["last_loss"] = torch.tensor(self.last_loss)
        tensors["bad_step"] = self._bad_step
        if isinstance(self.gradient, Stateful):
            tensors |= {f"gradient.{k}": v for k, v in self.gradient.state().items()}
        return {name: value.detach() for name, value in tensors.items()}

    def restore(self, state: State) -> None:
        """Continue exactly where `state` was taken, on the model that its run began on. Nothing of `state` is held on to."""
        for name, value in self._moving().items():
            value.copy_(state[f"model.{name}"])
        for index, average in enumerate(self.average):
            average.copy_(state[f"average.{index}"])
        self._restore_optimiser(state)
        carried = {n.removeprefix("gradient."): state[n].clone() for n in state if n.startswith("gradient.")}
        self.generator.set_state(state["generator"].clone())
        self.step, self.last_loss = int(state["step"]), float(state["last_loss"])
        self._bad_step = state["bad_step"].to(self._bad_step.device, copy=True)
        if isinstance(self.gradient, Stateful):
            self.gradient.restore(carried)

    def _restore_optimiser(self, state: State) -> None:
        """Its moments and count; a run that never stepped has none."""
        vector, held = self.flat.vector, {}
        parts: dict[str, list[torch.Tensor]] = {}
        for name in state:
            kind, _, rest = name.partition(".")
            if kind != "optimiser":
                continue
            number, _, entry = rest.rpartition(".")
            if not number:
                held[entry] = state[name].to(vector.device, copy=True)
                continue
            if entry not in held:
                held[entry] = torch.zeros_like(vector, requires_grad=False)
                parts[entry] = self.flat.parts(held[entry])
            parts[entry][int(number)].copy_(state[name])
        if held:
            self.optimiser.state[vector] = held

    def _moving(self) -> dict[str, torch.Tensor]:
        """The tensors of the model that a step may change, by name: the trained parameters, and buffers, which are small."""
        trained = {id(p) for p in self.parameters}
        still = {n for n, p in self.model.named_parameters(remove_duplicate=False) if id(p) not in trained}
        return {name: value for name, value in self.model.state_dict().items() if name not in still}

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

    def _update_average(self) -> None:
        if self._average is not None:
            # A short run is not an average of its start.
            decay = min(self.how.ema_decay, (1 + self.step) / (10 + self.step))
            self._average.lerp_(self.flat.vector.detach(), 1 - decay)

    def _learning_rate(self) -> float:
        if self.how.schedule == "constant":
            return self.how.learning_rate
        warm = 0.1 * self.how.steps
        if self.step < warm:
            return self.how.learning_rate * min(1.0, (self.step + 1) / warm)
        share = (self.step - warm) / max(self.how.steps - warm, 1)
        return self.how.learning_rate * 0.5 * (1 + float(np.cos(np.pi * share)))
