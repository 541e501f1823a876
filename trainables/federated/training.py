"""The training of a synthesizer: resumable, bit by bit, at any step; all that it takes of real rows goes through its mechanism.

Each step is a critic step; every so many of them the generators take one, on the same z. Randomness has streams of its own for
batches, z, α and the mechanism's noise, and each step's begins anew from the seed and the step's number. So a checkpoint needs no
generator, and two trainings that differ in their rows alone meet the same noise.

One row more or less must change what a step gives by that row's own gradient, and nothing else. So a step makes a fixed number of
rows, of z that no real row has a part in (their number and company would reach them by BatchNorm), and whether a real row is in
the batch, which made row it is compared with, and its α are all drawn by its number in the table. Two real rows may meet the same
made one. The generators' step takes the first B of that z: never as many as were in the batch, which is private.

Noise and batches are of a stream of this seed *and* these settings. Two trainings with the same noise would, side by side, show
what is beneath it: their differences have none.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from trainables.diffusion import Diverged, finite
from trainables.federated.batches import poisson, without_replacement
from trainables.federated.mechanisms import Batch, Gradients, Mechanism, Plan, Privacy
from trainables.federated.streams import keyed, unknown
from trainables.federated.synthesizers import Latents, Synthesizer
from trainables.sampling.seeds import stream
from trainables.training.device import Device
from trainables.training.flat import Flat

State = Mapping[str, torch.Tensor]
AT_ONCE = 4096  # rows that are synthesised at a time
MADE_PER_ROW = 2  # how many rows a step makes for each real one of a Poisson batch, which takes any of them
LOOK_EVERY = 10  # steps between two looks at whether weights are finite, which makes a GPU wait


@dataclass(frozen=True)
class Schedule:
    """How long and how fast critics and generators learn: Adam, β of (.5, .999)."""

    steps: int = 2000  # T, of the critics
    batch: int = 64  # B; of Poisson batches, on average
    critic_per_generator: int = 5  # critic steps for one of the generators
    learning_rate: float = 1e-3  # of the generators
    critic_ratio: float = 1.0  # times that, of the critics
    ema_decay: float = 0.0  # of the generators' weights; 0: the last ones

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.critic_per_generator < 1:
            raise ValueError(
                f"steps ≥ 1, batch ≥ 2 and critic_per_generator ≥ 1 are needed, not {self.steps}, {self.batch} and "
                f"{self.critic_per_generator}"
            )
        rates = self.learning_rate, self.critic_ratio
        if not all(0 < rate < math.inf for rate in rates) or not 0 <= self.ema_decay < 1:
            raise ValueError(
                f"learning_rate > 0, critic_ratio > 0 and 0 ≤ ema_decay < 1 are needed, not {self.learning_rate:g}, "
                f"{self.critic_ratio:g} and {self.ema_decay:g}"
            )


BETAS = (0.5, 0.999)


class Training:
    """Trains a synthesizer on private rows (N, d): `advance` until a step or a deadline; `state` and `restore` are its checkpoint.

    `expected_rows` is the N of the sampling rate B / N: where a coin decides which rows are in, their number is private and a
    constant stands for it (default: the number of rows). A mechanism without Poisson batches draws from the rows that there are.
    `secret`: batches and noise come from the system's entropy, for a release that nobody can redraw from its seed. Such a training
    is not repeatable; where it goes on from a checkpoint, nobody may have seen what it had made since. Otherwise ε holds against
    whoever does not know the seed, and one seed with the same settings is for one table.
    ValueError where a batch is no part of the rows.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        rows: torch.Tensor,
        mechanism: Mechanism,
        settings: Any,
        schedule: Schedule,
        seed: int,
        device: Device | None = None,
        expected_rows: int = 0,
        secret: bool = False,
    ) -> None:
        self.device = device or Device()
        self.synthesizer = synthesizer.to(self.device.name).train()
        self.mechanism, self.settings, self.schedule = mechanism, settings, schedule
        self.seed, self.secret = seed, secret
        self.expected_rows = expected_rows or len(rows)
        available = self.expected_rows if mechanism.poisson else len(rows)
        if schedule.batch >= available:
            raise ValueError(f"batch {schedule.batch} is no part of {available} rows; make it smaller")
        self.rows = len(rows)
        made_of = repr((synthesizer.recipe, mechanism.name, settings, schedule, expected_rows))
        self._settings = hashlib.sha256(made_of.encode()).hexdigest()
        self.parts = [part.to(self.device.name) for part in synthesizer.parties.split(rows)]
        self.step = 0
        self._critics = Flat(list(synthesizer.critics.parameters()))
        self._generators = Flat(list(synthesizer.generators.parameters()))
        self._adam_of_critics = self._critics.adam(schedule.learning_rate * schedule.critic_ratio, BETAS)
        self._adam_of_generators = self._generators.adam(schedule.learning_rate, BETAS)
        self._average = {name: value.clone() for name, value in self._moving().items()} if schedule.ema_decay else {}
        self._bad_step = torch.tensor(0, device=self.device.name)  # the first one after which weights were not finite

    @property
    def steps(self) -> int:
        """The horizon T."""
        return self.schedule.steps

    def advance(self, until: int, deadline: float = float("inf")) -> bool:
        """Train until step `until` or the monotonic clock passes `deadline`; True when the step was reached.

        Raises Diverged where weights stop being finite. ValueError beyond the horizon, which is what privacy is accounted for.
        """
        if until > self.steps:
            raise ValueError(f"step {until} is beyond the {self.steps} steps that this training is accounted for")
        while self.step < until:
            self.take_critic_step(self.critic_gradients())
            if self.step % self.schedule.critic_per_generator == 0:
                self.take_generator_step()
            self.step += 1
            self._check_finite(self.step == until)
            if time.monotonic() > deadline and self.step < until:  # after a step: every call gets on
                return False
        return True

    @property
    def made_rows(self) -> int:
        """S, how many rows a step makes: whatever the batch has."""
        return self.schedule.batch * (MADE_PER_ROW if self.mechanism.poisson else 1)

    def chosen(self) -> torch.Tensor:
        """(n,) int64, the numbers of the rows of this step's batch."""
        generator = self._stream("batch", secret=self.secret)
        if not self.mechanism.poisson:
            return without_replacement(self.rows, self.schedule.batch, generator)
        return poisson(self.rows, self.schedule.batch / self.expected_rows, generator)

    def batch(self) -> Batch:
        """This step's rows, real and made. Of an empty batch, one row of weight 0: its noise is taken all the same."""
        rows = self.chosen()
        weight = torch.ones(len(rows))
        if len(rows) == 0:
            rows, weight = torch.zeros(1, dtype=torch.int64), torch.zeros(1)
        with torch.no_grad(), untracked(self.synthesizer.generators):
            made = self.synthesizer.generators(self.latents(self.made_rows))
        partners = self._partners(rows).to(self.device.name)
        alpha = torch.from_numpy(self._stream("alpha").random((self.rows, 1), dtype=np.float32))[rows]
        rows = rows.to(self.device.name)
        return Batch(
            real=[part[rows] for part in self.parts],
            made=[part[partners] for part in made],
            alpha=alpha.to(self.device.name),
            weight=weight.to(self.device.name),
            expected=self.schedule.batch,
        )

    def _partners(self, rows: torch.Tensor) -> torch.Tensor:
        """(n,) which of the step's made rows each of these rows meets."""
        if not self.mechanism.poisson:  # each its own, as there are as many
            return torch.arange(self.made_rows)
        return torch.from_numpy(self._stream("partner").integers(self.made_rows, size=self.rows))[rows]

    def critic_gradients(self) -> Gradients:
        """What this step's mechanism gives of the batch, by parameter's name."""
        noise = self._stream("noise", secret=self.secret)
        return self.mechanism.gradients(self.synthesizer.critics, self.batch(), self.settings, noise)

    def take_critic_step(self, gradients: Gradients) -> None:
        """Move the critics by these."""
        names = [name for name, _ in self.synthesizer.critics.named_parameters()]
        self._critics.vector.grad = self._critics.of([gradients[name] for name in names])
        self._adam_of_critics.step()

    def take_generator_step(self) -> None:
        """Move the generators by L_G, on the first B of the step's z."""
        latents = self.latents(self.made_rows).first(self.schedule.batch)
        loss = self.synthesizer.critics.generator_loss(self.synthesizer.generators(latents))
        gradients = torch.autograd.grad(loss, self._generators.parameters)
        self._generators.vector.grad = self._generators.of(list(gradients))
        self._adam_of_generators.step()
        self._update_average()

    def latents(self, n: int) -> Latents:
        """The step's z, so many rows. It is no secret: no privacy rests on it."""
        generator = torch.Generator().manual_seed(stream(self.seed, "z", str(self.step)))
        return self.synthesizer.draw(n, generator).to(self.device.name)

    def privacy(self, delta: float) -> Privacy:
        """What the whole training costs."""
        return self.mechanism.privacy(self.settings, self.plan(delta))

    def plan(self, delta: float) -> Plan:
        """What the mechanism's accounting needs to know of this training, for (ε, δ)-privacy. ValueError unless 0 < δ < 1/N."""
        groups = len(self.synthesizer.critics.groups)
        rows = self.expected_rows if self.mechanism.poisson else self.rows
        return Plan(rows, self.schedule.batch, self.steps, groups, delta)

    def synthesise(self, n: int, seed: int) -> torch.Tensor:
        """Rows (n, d) of the generators as they are, with their averaged weights where there are such; see `synthesise`."""
        with self._averaged():
            return synthesise(self.synthesizer, n, seed, self.device)

    def trained(self) -> Synthesizer:
        """The synthesizer, its generators averaged where they are to be. Ends the training: do not advance afterwards."""
        self._swap_in_average()
        return self.synthesizer.eval()

    def state(self) -> State:
        """Weights, moments, averages and the step: nothing of the rows, nor of which are in. Its own memory: copy or write it."""
        tensors = {f"model.{name}": value for name, value in self.synthesizer.state_dict().items()}
        for kind, optimiser, flat in self._optimisers():
            tensors |= {f"{kind}.{name}": value for name, value in optimiser.state.get(flat.vector, {}).items()}
        tensors |= {f"average.{name}": value for name, value in self._average.items()}
        tensors |= {"step": torch.tensor(self.step), "bad_step": self._bad_step}
        return {name: value.detach() for name, value in tensors.items()}

    def restore(self, state: State) -> None:
        """Go on exactly where `state` was taken, with the same rows, settings and seed. Nothing of `state` is held on to."""
        with torch.no_grad():
            for name, value in self.synthesizer.state_dict().items():
                value.copy_(state[f"model.{name}"])
            for name, average in self._average.items():
                average.copy_(state[f"average.{name}"])
        for kind, optimiser, flat in self._optimisers():
            held = {
                n.removeprefix(f"{kind}."): state[n].to(self.device.name, copy=True)
                for n in state
                if n.startswith(f"{kind}.")
            }
            optimiser.state.clear()
            if held:
                optimiser.state[flat.vector] = held
        self.step = int(state["step"])
        self._bad_step = state["bad_step"].to(self.device.name, copy=True)

    def _stream(self, purpose: str, secret: bool = False) -> np.random.Generator:
        """The stream of one purpose at this step."""
        return unknown() if secret else keyed(str(self.seed), self._settings, purpose, str(self.step))

    def _optimisers(self) -> Iterator[tuple[str, torch.optim.Optimizer, Flat]]:
        yield "critics", self._adam_of_critics, self._critics
        yield "generators", self._adam_of_generators, self._generators

    def _moving(self) -> dict[str, torch.Tensor]:
        """The generators' weights and running statistics, which an average is over."""
        values = self.synthesizer.generators.state_dict()
        return {name: value for name, value in values.items() if value.is_floating_point()}

    @torch.no_grad()
    def _update_average(self) -> None:
        taken = self.step // self.schedule.critic_per_generator + 1
        decay = min(self.schedule.ema_decay, taken / (9 + taken))  # a short training is not an average of its start
        now = self._moving() if self._average else {}
        for name, average in self._average.items():
            average.lerp_(now[name], 1 - decay)

    @torch.no_grad()
    def _swap_in_average(self) -> dict[str, torch.Tensor]:
        """Put the averages in the generators' place; what was there."""
        now = self._moving() if self._average else {}
        before = {name: value.clone() for name, value in now.items()}
        for name, value in now.items():
            value.copy_(self._average[name])
        return before

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        before = self._swap_in_average()
        try:
            yield
        finally:
            now = self._moving()
            with torch.no_grad():
                for name, value in before.items():
                    now[name].copy_(value)

    def _check_finite(self, last: bool) -> None:
        """Of weights, which may be looked at: a loss of real rows may not."""
        well = torch.isfinite(self._critics.vector.sum()) & torch.isfinite(self._generators.vector.sum())
        self._bad_step = torch.where(well | (self._bad_step > 0), self._bad_step, self.step)
        if last or self.step % LOOK_EVERY == 0:
            bad = int(self._bad_step)
            if bad:
                raise Diverged(f"weights of critics or generators stopped being finite at step {bad} of {self.steps}")


def synthesise(synthesizer: Synthesizer, n: int, seed: int, device: Device | None = None) -> torch.Tensor:
    """Rows (n, d) float32 on the CPU, drawn from a seed: the same rows for the same weights, each made by itself.

    Raises Diverged where one is not finite.
    """
    generator = torch.Generator().manual_seed(stream(seed, "synthesis"))
    latents = synthesizer.draw(n, generator)
    generators, was_training = synthesizer.generators, synthesizer.generators.training
    generators.eval()
    try:
        with torch.inference_mode():
            made = [
                synthesizer.parties.join(generators(part.to((device or Device()).name))).float().cpu()
                for part in latents.parts(AT_ONCE)
            ]
    finally:
        generators.train(was_training)
    return finite(torch.cat(made).clone(), "synthetic rows")


@contextmanager
def untracked(generators: nn.Module) -> Iterator[None]:
    """Around a pass in training mode that leaves BatchNorm's running statistics as they are."""
    norms = [module for module in generators.modules() if isinstance(module, nn.BatchNorm1d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
