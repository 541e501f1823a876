"""A generator for each party, as synthesizers have them whose parties share no layer."""

from __future__ import annotations

import torch
from torch import nn

from trainables.federated.networks import Networks, PartyGenerator
from trainables.federated.parties import Parties
from trainables.federated.synthesizers import Latents


class PartyGenerators(nn.Module):
    """x̃_k = G_k(z) of every party: on one z, or with `separate_latents` each on its own part of it, of M equal ones."""

    def __init__(self, parties: Parties, networks: Networks, separate_latents: bool = False) -> None:
        super().__init__()
        self.separate_latents = separate_latents
        self.choices = [party.choices for party in parties.members]
        self.party = nn.ModuleList(PartyGenerator(party, networks) for party in parties.members)

    def forward(self, latents: Latents) -> list[torch.Tensor]:
        """Parts (B, d_k)."""
        parties = len(self.party)
        each = latents.z.chunk(parties, dim=1) if self.separate_latents else (latents.z,) * parties
        noise = latents.gumbel.split(self.choices, dim=1)
        return [generator(z, g) for generator, z, g in zip(self.party, each, noise, strict=True)]
