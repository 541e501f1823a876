"""Mechanisms: one file each, how the critics' gradient is made of a batch of real rows, and what privacy that costs.

A mechanism is a function ``(critics, batch, settings, generator) -> gradients by parameter's name``: all that a step takes of
real rows goes through it. Neither a loss nor the batch's size leaves it, for neither would be private.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from trainables.federated.accounting import check_delta
from trainables.federated.critics import Critics
from trainables.registry import Registry, configure

Gradients = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Batch:
    """A critic step's rows: `real` and `made`, parties' parts (S, d_k), `alpha` (S, 1), and `weight` (S,), 0 of padding.

    `expected` is B, the rows of a batch on average, by which sums are divided.
    """

    real: list[torch.Tensor]
    made: list[torch.Tensor]
    alpha: torch.Tensor
    weight: torch.Tensor
    expected: int


@dataclass(frozen=True)
class Plan:
    """What a training will do: from `rows` private rows, batches of `batch`, so many `steps`, of critics of so many groups.

    ValueError unless 0 < δ < 1 / rows.
    """

    rows: int
    batch: int
    steps: int
    groups: int
    delta: float

    def __post_init__(self) -> None:
        check_delta(self.delta, self.rows)

    @property
    def sampling_rate(self) -> float:
        return self.batch / self.rows


@dataclass(frozen=True)
class Privacy:
    """What a training costs. `epsilon` is proven, or None; `claimed_epsilon` is what the mechanism's authors claim.

    `noise_multiplier` is σ as the mechanism takes it, of one group; `accountant` says who gave ε.
    """

    epsilon: float | None
    claimed_epsilon: float | None
    delta: float
    noise_multiplier: float
    sampling_rate: float
    steps: int
    groups: int
    accountant: str


@dataclass(frozen=True)
class Mechanism:
    """A registered mechanism.

    `released` names the parameters whose gradients its noise covers; what depends on nothing else of the private rows is
    post-processing of them. `poisson`: it needs Poisson batches. `certified`: its ε is proven, of critics and generators.
    """

    name: str
    settings: type[Any]
    gradients: Callable[[Critics, Batch, Any, torch.Generator], Gradients]
    privacy: Callable[[Any, Plan], Privacy]
    calibrated: Callable[[float, Plan], float]  # σ for a wanted ε
    released: Callable[[Critics], list[str]]
    poisson: bool
    certified: bool
    module: str

    def configure(self, values: Mapping[str, Any]) -> Any:
        """The settings with these values; ValueError for a name it does not have, or a value it cannot take."""
        return configure(f"mechanism {self.name!r}", self.settings, values)


MECHANISMS: Registry[Mechanism] = Registry("mechanism", __name__)


def register(
    name: str,
    settings: type[Any],
    *,
    privacy: Callable[[Any, Plan], Privacy],
    calibrated: Callable[[float, Plan], float],
    released: Callable[[Critics], list[str]],
    poisson: bool = False,
    certified: bool = False,
) -> Callable:
    """Register a function ``(critics, batch, settings, generator) -> gradients``."""
    return MECHANISMS.decorator(
        name,
        lambda gradients: Mechanism(
            name, settings, gradients, privacy, calibrated, released, poisson, certified, gradients.__module__
        ),
    )


def mean_gradients(critics: Critics, batch: Batch) -> Gradients:
    """The gradient of the batch's mean loss, of every parameter."""
    names, parameters = zip(*critics.named_parameters(), strict=True)
    losses = critics(batch.real, batch.made, batch.alpha)
    loss = (losses * batch.weight).sum() / batch.weight.sum()
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))
