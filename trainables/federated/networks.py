"""The nets of VFLGAN (Yuan et al. 2024, arXiv 2404.09722) as its public code builds them: small perceptrons.

Two of its habits are kept by name. `BATCH_NORM_EPS` is .8: it stands where BatchNorm takes ε, though it looks like a momentum.
And critics have no biases unless asked for. Generators alone have BatchNorm: they see noise only, while a critic that
normalised over its batch would mix the records of which each gradient is to be one's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from trainables.federated.parties import Output, Party
from trainables.federated.perceptrons import SLOPE, Linear, Perceptron

BATCH_NORM_EPS = 0.8


@dataclass(frozen=True)
class Networks:
    """Sizes of the nets, and how categories are drawn."""

    latent: int = 32  # numbers of z
    generator: tuple[int, ...] = (64, 128, 256)  # hidden layers of a party's generator
    critic: tuple[int, ...] = (128,)  # hidden layers of a local critic
    features: int = 64  # what a local critic gives of a party's part
    server: tuple[int, ...] = (64,)  # hidden layers of the server's critic
    critic_bias: bool = False
    temperature: float = 1.0  # of the Gumbel-softmax
    hard: bool = True  # categories as vectors of one 1, with the gradient of the softmax

    def __post_init__(self) -> None:
        for name in ("generator", "critic", "server"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        sizes = (self.latent, self.features, *self.generator, *self.critic, *self.server)
        if min(sizes) < 1 or not self.generator:
            raise ValueError(
                f"sizes of nets are whole numbers, 1 or more, and a generator has a hidden layer; not {self}"
            )
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature {self.temperature:g}: must be positive")


def hidden(inputs: int, widths: Sequence[int], first: bool = True) -> list[nn.Module]:
    """A generator's blocks: linear without bias, BatchNorm but in the very `first`, leaky rectifier."""
    layers: list[nn.Module] = []
    for number, width in enumerate(widths):
        layers.append(nn.Linear(inputs, width, bias=False))
        if number or not first:
            layers.append(nn.BatchNorm1d(width, eps=BATCH_NORM_EPS))
        layers.append(nn.LeakyReLU(SLOPE))
        inputs = width
    return layers


def local_critic(inputs: int, networks: Networks) -> Perceptron:
    """C_k: (B, d_k) → (B, features), rectified at its end too."""
    return Perceptron(inputs, (*networks.critic, networks.features), 0, networks.critic_bias)


def private_head(networks: Networks) -> Linear:
    """P_k: (B, features) → (B, 1)."""
    return Linear(networks.features, 1, bias=networks.critic_bias)


def server_critic(parties: int, networks: Networks) -> Perceptron:
    """S: features of all parties (B, M · features) → (B, 1)."""
    return Perceptron(parties * networks.features, networks.server, 1, networks.critic_bias)


class OutputLayer(nn.Module):
    """What a generator's last layer gives (B, d_k), made a party's part: tanh, as it is, or Gumbel-softmax (B, d_k).

    A choice is softmax((logits + g) / τ), g of Gumbel's distribution (Jang et al. 2017, arXiv 1611.01144); `hard` gives the
    vector with one 1 instead, with that softmax's gradient. The noise (B, choices) is drawn by the caller.
    """

    def __init__(self, outputs: Sequence[Output], temperature: float, hard: bool) -> None:
        super().__init__()
        self.outputs, self.temperature, self.hard = tuple(outputs), temperature, hard

    def forward(self, raw: torch.Tensor, gumbel: torch.Tensor) -> torch.Tensor:
        parts, noise = [], 0
        for output, values in zip(self.outputs, raw.split([o.width for o in self.outputs], dim=1), strict=True):
            if output.kind == "bounded":
                parts.append(torch.tanh(values))
            elif output.kind == "free":
                parts.append(values)
            else:
                parts.append(self._choice(values + gumbel[:, noise : noise + output.width]))
                noise += output.width
        return torch.cat(parts, dim=1)

    def _choice(self, disturbed: torch.Tensor) -> torch.Tensor:
        soft = (disturbed / self.temperature).softmax(dim=1)
        if not self.hard:
            return soft
        one = F.one_hot(soft.argmax(dim=1), soft.shape[1]).to(soft)
        return one + (soft - soft.detach())  # exactly 0 and 1, with a gradient


class PartyGenerator(nn.Module):
    """G_k: z (B, latent) and Gumbel noise (B, choices) → the party's part (B, d_k)."""

    def __init__(self, party: Party, networks: Networks) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *hidden(networks.latent, networks.generator), nn.Linear(networks.generator[-1], party.width)
        )
        self.output = OutputLayer(party.outputs, networks.temperature, networks.hard)

    def forward(self, z: torch.Tensor, gumbel: torch.Tensor) -> torch.Tensor:
        return self.output(self.body(z), gumbel)
