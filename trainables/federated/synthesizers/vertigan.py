"""VertiGAN (Jiang, Zhang, Zhou, Grossklags, PoPETs 2023(2)), reconstructed: no code of it is public.

One generator with an output a party, T shared and H_k the party's, and a local discriminator D_k = P_k ∘ C_k at each:

    x̃_k = H_k(T(z));   L_D,k = E D_k(x̃_k) - E D_k(x_k) + λ GP_k;   L_G = - Σ_k E D_k(x̃_k)

T gets the mean of the parties' gradients, which is federated averaging with one local step; H_k has its own. T is all hidden
layers but the last, H_k the last one and the output. No loss sees two parties' columns of one row: any coupling of the right
marginals is a minimum, and what dependence there is comes from what T happens to share.
"""

from __future__ import annotations

import torch
from torch import nn

from trainables.federated.networks import Networks, OutputLayer, hidden
from trainables.federated.parties import Parties, Party
from trainables.federated.synthesizers import Latents, Synthesizer, SynthesizerSettings, critics_of, register


class Head(nn.Module):
    """H_k: what T gives (B, W), and Gumbel noise, → the party's part (B, d_k)."""

    def __init__(self, party: Party, inputs: int, widths: tuple[int, ...], networks: Networks) -> None:
        super().__init__()
        self.body = nn.Sequential(*hidden(inputs, widths, first=False), nn.Linear((inputs, *widths)[-1], party.width))
        self.output = OutputLayer(party.outputs, networks.temperature, networks.hard)

    def forward(self, shared: torch.Tensor, gumbel: torch.Tensor) -> torch.Tensor:
        return self.output(self.body(shared), gumbel)


class SharedTrunk(nn.Module):
    """H_k(T(z)) of every party. Backwards, T gets the parties' gradients' mean."""

    def __init__(self, parties: Parties, settings: SynthesizerSettings) -> None:
        super().__init__()
        widths = settings.generator
        shared, further = (widths[:-1], widths[-1:]) if len(widths) > 1 else (widths, ())
        self.choices = [party.choices for party in parties.members]
        self.trunk = nn.Sequential(*hidden(settings.latent, shared))
        self.party = nn.ModuleList(Head(party, shared[-1], further, settings) for party in parties.members)

    def forward(self, latents: Latents) -> list[torch.Tensor]:
        shared = self.trunk(latents.z)
        averaged = shared.detach() + (shared - shared.detach()) / len(self.party)  # its own value, a mean's gradient
        noise = latents.gumbel.split(self.choices, dim=1)
        return [head(averaged, g) for head, g in zip(self.party, noise, strict=True)]


@register("vertigan", SynthesizerSettings)
def vertigan(parties: Parties, settings: SynthesizerSettings) -> Synthesizer:
    """The global generator, and a discriminator for each party."""
    critics = critics_of(parties, settings)
    return Synthesizer(parties, SharedTrunk(parties, settings), critics, settings.latent)
