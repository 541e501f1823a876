"""VFLGAN (Yuan et al. 2024, arXiv 2404.09722): a generator a party on one z, and a server that judges them together.

    x̃_k = G_k(z),  f_k = C_k(x_k)
    L_D = Σ_{h ∈ {S, P_1 … P_M}} w_h ( E h(f(x̃)) - E h(f(x)) ) + λ GP,   w_S = 1, w_Pk = private_weight
    L_G = - E S(f(x̃)) - private_weight Σ_k E P_k(f_k(x̃_k))

With private_weight 0 there are no private heads: the paper's base. Its own penalty is ``parts``, λ from 10 (wine) to 40 (MNIST).
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.federated.parties import Parties
from trainables.federated.synthesizers import Synthesizer, SynthesizerSettings, check_weight, critics_of, register
from trainables.federated.synthesizers._party_generators import PartyGenerators


@dataclass(frozen=True)
class VFLGANSettings(SynthesizerSettings):
    private_weight: float = 1.0  # of the parties' own heads; 0: none

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weight(self, "private_weight")


@register("vflgan", VFLGANSettings)
def vflgan(parties: Parties, settings: VFLGANSettings) -> Synthesizer:
    """A generator, a local critic and a private head for each party, and the server's critic."""
    critics = critics_of(parties, settings, private_weight=settings.private_weight, server=True)
    return Synthesizer(parties, PartyGenerators(parties, settings), critics, settings.latent)
