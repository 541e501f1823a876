"""A WGAN-GP a party, each on its own noise: the control that sees no dependence between parties, and can make none.

x̃_k = G_k(z_k),  z_1 … z_M independent;   L_D,k = E D_k(x̃_k) - E D_k(x_k) + λ GP_k;   L_G,k = - E D_k(x̃_k)

The setting `latent` is of each party's z_k.
"""

from __future__ import annotations

from trainables.federated.parties import Parties
from trainables.federated.synthesizers import Synthesizer, SynthesizerSettings, critics_of, register
from trainables.federated.synthesizers._party_generators import PartyGenerators


@register("independent", SynthesizerSettings)
def independent(parties: Parties, settings: SynthesizerSettings) -> Synthesizer:
    """A generator and a critic for each party, none of which hears of another."""
    generators = PartyGenerators(parties, settings, separate_latents=True)
    return Synthesizer(parties, generators, critics_of(parties, settings), settings.latent * len(parties))
