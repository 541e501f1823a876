"""Synthesizers: one file each, ``(parties, settings) -> Synthesizer``: which generators, and which critics teach them.

All have the same nets (`trainables.federated.networks`) and the same choice of gradient penalties, so that what differs between
them is the method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainables.federated.critics import Critics
from trainables.federated.networks import Networks
from trainables.federated.parties import Parties
from trainables.federated.penalties import PENALTIES
from trainables.registry import Registry, configure
from trainables.sampling.seeds import stream


@dataclass(frozen=True)
class SynthesizerSettings(Networks):
    """What all synthesizers share: the nets, and how critics are kept smooth."""

    penalty: str = "heads"  # a name of trainables.federated.penalties.PENALTIES
    penalty_weight: float = 10.0  # λ

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.penalty not in PENALTIES:
            raise ValueError(f"penalty {self.penalty!r} is none of {', '.join(PENALTIES)}")
        check_weight(self, "penalty_weight")


def check_weight(settings: SynthesizerSettings, name: str) -> None:
    """ValueError unless this setting is 0 or a positive, finite number."""
    value = getattr(settings, name)
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} {value:g}: must be 0 or a positive, finite number")


def critics_of(
    parties: Parties,
    settings: SynthesizerSettings,
    *,
    private_weight: float = 1.0,
    server: bool = False,
    joined: bool = False,
) -> Critics:
    """The critics of these settings: of each party its own by default. ValueError as `Critics` raises it."""
    return Critics(
        parties,
        settings,
        private_weight=private_weight,
        server=server,
        penalty=settings.penalty,
        penalty_weight=settings.penalty_weight,
        joined=joined,
    )


@dataclass(frozen=True)
class Latents:
    """What rows are made of: `z` (B, Z) normal, and `gumbel` (B, choices) of Gumbel's distribution, for the categories."""

    z: torch.Tensor
    gumbel: torch.Tensor

    def __len__(self) -> int:
        return len(self.z)

    def first(self, n: int) -> Latents:
        return Latents(self.z[:n], self.gumbel[:n])

    def to(self, device: str) -> Latents:
        return Latents(self.z.to(device), self.gumbel.to(device))

    def parts(self, size: int) -> list[Latents]:
        """In turn, so many rows at a time."""
        return [Latents(z, g) for z, g in zip(self.z.split(size), self.gumbel.split(size), strict=True)]


class Synthesizer(nn.Module):
    """Generators, ``(Latents) -> a part (B, d_k) for each party``, and critics. `latent` is how many numbers z has.

    `recipe` says what it is, in words of its name, parties and settings: trainings that differ in it have noise of their own.
    ValueError where a critic normalises over its batch: a row's gradient would depend on the others'.
    """

    def __init__(self, parties: Parties, generators: nn.Module, critics: Critics, latent: int) -> None:
        super().__init__()
        for name, module in critics.named_modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):
                raise ValueError(
                    f"critic {name} has {type(module).__name__}, which mixes the rows of a batch; leave it out"
                )
        self.parties, self.latent = parties, latent
        self.generators, self.critics = generators, critics
        self.recipe = str(self)

    def draw(self, n: int, generator: torch.Generator) -> Latents:
        """Latents of n rows, on the CPU."""
        uniform = torch.finfo(torch.float32)
        z = torch.randn(n, self.latent, generator=generator)
        u = torch.rand(n, sum(party.choices for party in self.parties.members), generator=generator)
        return Latents(z, -torch.log(-torch.log(u.clamp(uniform.tiny, 1 - uniform.eps))))


@dataclass(frozen=True)
class Member:
    """A registered synthesizer: its settings' class, and what makes it; weights are drawn from a seed."""

    name: str
    settings: type[SynthesizerSettings]
    make: Callable[[Parties, Any], Synthesizer]
    module: str

    def configure(self, values: Mapping[str, Any]) -> SynthesizerSettings:
        """The settings with these values; ValueError for a name it does not have, or a value it cannot take."""
        return configure(f"synthesizer {self.name!r}", self.settings, values)

    def begin(self, parties: Parties, settings: SynthesizerSettings, seed: int) -> Synthesizer:
        """A synthesizer on the CPU with weights drawn from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(seed, "weights"))
            synthesizer = self.make(parties, settings)
        synthesizer.recipe = repr((self.name, parties, settings))
        return synthesizer


SYNTHESIZERS: Registry[Member] = Registry("synthesizer", __name__)


def register(name: str, settings: type[SynthesizerSettings]) -> Callable:
    """Register a function ``(parties, settings) -> Synthesizer`` with its settings' class."""
    return SYNTHESIZERS.decorator(name, lambda make: Member(name, settings, make, make.__module__))
