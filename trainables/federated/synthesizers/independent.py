"""A WGAN-GP a party, each on its own noise: the control that sees no dependence between parties, and can make none.

x̃_k = G_k(z_k),  z_1 … z_M independent;   L_D,k = E D_k(x̃_k) - E D_k(x_k) + λ GP_k;   L_G,k = - E D_k(x̃_k)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from trainables.federated.networks import PartyGenerator
from trainables.federated.parties import Parties
from trainables.federated.synthesizers import Latents, Synthesizer, SynthesizerSettings, critics_of, register


@dataclass(frozen=True)
class IndependentSettings(SynthesizerSettings):
    """The shared ones; `latent` is each party's own."""


class OwnLatents(nn.Module):
    """G_k(z_k) of every party; z is all of theirs."""

    def __init__(self, parties: Parties, settings: IndependentSettings) -> None:
        super().__init__()
        self.choices = [party.choices for party in parties.members]
        self.party = nn.ModuleList(PartyGenerator(party, settings) for party in parties.members)

    def forward(self, latents: Latents) -> list[torch.Tensor]:
        own = latents.z.chunk(len(self.party), dim=1)
        noise = latents.gumbel.split(self.choices, dim=1)
        return [generator(z, g) for generator, z, g in zip(self.party, own, noise, strict=True)]


@register("independent", IndependentSettings)
def independent(parties: Parties, settings: IndependentSettings) -> Synthesizer:
    """A generator and a critic for each party, none of which hears of another."""
    critics = critics_of(parties, settings)
    return Synthesizer(parties, OwnLatents(parties, settings), critics, settings.latent * len(parties))
