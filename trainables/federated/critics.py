"""What looks at real rows: local critics C_k of the parties' parts, and heads that tell real rows from made ones.

With f_k = C_k(x_k) the heads are private ones P_k(f_k), one a party, and the server's S([f_1 … f_M]). Of a made row x̃:

    L_D = Σ_h w_h ( E h(f(x̃)) - E h(f(x)) ) + λ E GP,     w_S = 1, w_Pk = the private weight
    L_G = - Σ_h w_h E h(f(x̃))

(WGAN-GP, Gulrajani et al. 2017, arXiv 1704.00028; with both kinds of heads VFLGAN, Yuan et al. 2024, arXiv 2404.09722.)
Every loss is a mean of the rows' own, so a row's gradient is that of its own loss: nothing here normalises over a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from trainables.federated.networks import Networks, local_critic, private_head, server_critic
from trainables.federated.parties import Parties
from trainables.federated.penalties import PENALTIES, Head
from trainables.federated.perceptrons import Perceptron

SERVER = "server"


class Critics(nn.Module):
    """Local critics with private heads (`private_weight` > 0), the server's (`server`), or both.

    `joined`: one local critic sees whole rows. ValueError where there is no head, or no such penalty.
    """

    def __init__(
        self,
        parties: Parties,
        networks: Networks,
        *,
        private_weight: float,
        server: bool,
        penalty: str,
        penalty_weight: float,
        joined: bool = False,
    ) -> None:
        super().__init__()
        if penalty not in PENALTIES:
            raise ValueError(f"penalty {penalty!r} is none of {', '.join(PENALTIES)}")
        if private_weight < 0 or penalty_weight < 0 or (private_weight == 0 and not server):
            raise ValueError(
                f"weights of losses are 0 or more, with one head at least; not {private_weight:g}, {penalty_weight:g}"
            )
        self.joined, self.penalty, self.penalty_weight = joined, penalty, penalty_weight
        widths = [parties.width] if joined else [party.width for party in parties.members]
        names = ["all"] if joined else [party.name for party in parties.members]
        self.names = tuple(f"{name} ({number})" for number, name in enumerate(names, 1))
        self.local = nn.ModuleList(local_critic(width, networks) for width in widths)
        self.private = nn.ModuleList(private_head(networks) for _ in widths if private_weight)
        self.server = server_critic(len(widths), networks) if server else None
        weights = [private_weight] * len(self.private) + [1.0] * server
        self.register_buffer("weights", torch.tensor(weights), persistent=False)

    @property
    def groups(self) -> dict[str, list[str]]:
        """Names of the parameters that are clipped together: a party's local critic and head; the server's critic."""
        by_group: dict[str, list[str]] = {name: [] for name in self.names}
        for name, _ in self.named_parameters():
            kind, number = name.split(".")[:2]
            by_group.setdefault(SERVER if kind == "server" else self.names[int(number)], []).append(name)
        return by_group

    @property
    def first_weights(self) -> list[str]:
        """Names of each local critic's first weight, which is multiplied by the data themselves."""
        return [f"local.{number}.0.weight" for number in range(len(self.local))]

    def inputs(self, parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What the local critics see of the parties' parts (B, d_k)."""
        return [torch.cat(list(parts), dim=1)] if self.joined else list(parts)

    def heads(self) -> list[Head]:
        """Each head, with the numbers of the local critics that it hears, in the order of `weights`."""
        heads: list[Head] = [(head, (k,)) for k, head in enumerate(self.private)]  # type: ignore[misc]
        if self.server is not None:
            heads.append((self.server, tuple(range(len(self.local)))))
        return heads

    def features(self, parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """f_k (B, features) of the parties' parts."""
        return [local(x) for local, x in zip(self.local, self.inputs(parts), strict=True)]

    def values(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """(B,) Σ_h w_h h(f(x)): the higher, the more like a real row."""
        features = self.features(parts)
        values = [head(torch.cat([features[k] for k in heard], dim=1)) for head, heard in self.heads()]
        weights = self.get_buffer("weights").to(values[0].dtype)
        return torch.cat(values, dim=1) @ weights

    def forward(self, real: Sequence[torch.Tensor], made: Sequence[torch.Tensor], alpha: torch.Tensor) -> torch.Tensor:
        """(B,) each row's L_D, of a real and a made row; `alpha` (B, 1) in [0, 1], one a row for all parties."""
        rows = len(alpha)
        values = self.values([torch.cat([x, x_made]) for x, x_made in zip(real, made, strict=True)])
        mixed = [alpha * x + (1 - alpha) * x_made for x, x_made in zip(real, made, strict=True)]
        local: list[Perceptron] = list(self.local)  # type: ignore[arg-type]
        penalty = PENALTIES[self.penalty](local, self.heads(), self.inputs(mixed))
        return values[rows:] - values[:rows] + self.penalty_weight * penalty

    def generator_loss(self, made: Sequence[torch.Tensor]) -> torch.Tensor:
        """L_G, a scalar, of made rows."""
        return -self.values(made).mean()
