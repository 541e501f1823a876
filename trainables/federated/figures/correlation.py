"""How wrong the correlations between different parties' columns are, and within parties: of numbers of rows (n, d)."""

from __future__ import annotations

import numpy as np
import torch

from trainables.federated.parties import Parties


def correlation_errors(parties: Parties, synthetic: torch.Tensor, real: torch.Tensor) -> tuple[float, float]:
    """(across, within): the mean |r̃_ij - r_ij| over pairs of columns of different parties, and of one party.

    Pearson's r of the rows' numbers, so that a category counts by each of its indicators; a column that does not vary has
    none, which counts as 0. `within` is nan where no party has two columns.
    """
    holder = np.empty(parties.width, int)
    for number, party in enumerate(parties.members):
        holder[list(party.places)] = number
    differences = np.abs(_correlations(synthetic) - _correlations(real))
    upper = np.triu(np.ones_like(differences, bool), k=1)
    same = holder[:, None] == holder[None, :]
    across, within = differences[upper & ~same], differences[upper & same]
    return tuple(float(pairs.mean()) if len(pairs) else float("nan") for pairs in (across, within))  # type: ignore[return-value]


def _correlations(rows: torch.Tensor) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.corrcoef(rows.double().cpu().numpy(), rowvar=False))
