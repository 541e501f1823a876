"""Privacy mechanisms, one file each: how a step's real rows become a gradient of the critics, and which ε that costs.

A mechanism is a function ``(critics, batch, settings, generator) -> gradients``, by parameter's name; its noise is drawn from the
generator. A step reads real rows nowhere else, and neither their loss nor their number is returned, for neither would be private.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainables.federated.accounting import check_delta
from trainables.federated.critics import Critics
from trainables.registry import Registry, configure

Gradients = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Batch:
    """A critic step's n rows: `real` and `made`, parties' parts (n, d_k), `alpha` (n, 1), and `weight` (n,), 0 of one that is
    not in.

    `expected` is B, the rows of a batch on average, by which sums are divided.
    """

    real: list[torch.Tensor]
    made: list[torch.Tensor]
    alpha: torch.Tensor
    weight: torch.Tensor
    expected: int


@dataclass(frozen=True)
class Plan:
    """What ε is accounted for: `steps` critic steps on batches of `batch` out of `rows`, gradients in so many `groups`, and δ.

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
    """The (ε, δ) that a training costs. `epsilon` is proven, or None; `claimed_epsilon` is what the mechanism's authors claim.

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
    gradients: Callable[[Critics, Batch, Any, np.random.Generator], Gradients]
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
