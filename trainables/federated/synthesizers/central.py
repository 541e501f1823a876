"""WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028) on joined rows: the control that sees all columns.

    L_D = E D(x̃) - E D(x) + λ E (‖∇_x̂ D(x̂)‖₂ - 1)²,   L_G = - E D(x̃)

Its nets have the shape of one party's, with all columns at their ends.
"""

from __future__ import annotations

import torch
from torch import nn

from trainables.federated.networks import PartyGenerator
from trainables.federated.parties import Parties
from trainables.federated.synthesizers import Latents, Synthesizer, SynthesizerSettings, critics_of, register


class Whole(nn.Module):
    """One generator of whole rows, split into the parties' parts."""

    def __init__(self, parties: Parties, settings: SynthesizerSettings) -> None:
        super().__init__()
        self.widths = [party.width for party in parties.members]
        self.generator = PartyGenerator(parties.joined, settings)

    def forward(self, latents: Latents) -> list[torch.Tensor]:
        return list(self.generator(latents.z, latents.gumbel).split(self.widths, dim=1))


@register("central", SynthesizerSettings)
def central(parties: Parties, settings: SynthesizerSettings) -> Synthesizer:
    """One generator and one critic, of all columns."""
    critics = critics_of(parties, settings, joined=True)
    return Synthesizer(parties, Whole(parties, settings), critics, settings.latent)
