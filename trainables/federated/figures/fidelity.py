"""Fréchet distances of synthetic rows to real ones, of whole rows and of each party's part (`trainables.metrics.frechet`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from trainables.federated.parties import Parties
from trainables.metrics.frechet import frechet_distance, statistics

Features = Callable[[torch.Tensor], np.ndarray]


def frechet(synthetic: torch.Tensor, real: torch.Tensor, features: Features | None = None) -> float:
    """The squared Fréchet distance of two sets of rows (n, d), or of their features. It is biased by n: compare at equal numbers.

    ValueError where either set has fewer than two rows.
    """
    if min(len(synthetic), len(real)) < 2:
        raise ValueError(f"a Fréchet distance needs two rows of each, not {len(synthetic)} and {len(real)}")
    of_synthetic, of_real = (_numbers(rows) if features is None else features(rows) for rows in (synthetic, real))
    return frechet_distance(statistics(of_synthetic), statistics(of_real))


def party_frechets(parties: Parties, synthetic: torch.Tensor, real: torch.Tensor) -> list[float]:
    """The distance of each party's part, in its own columns: how well the marginals are learnt, whatever their coupling."""
    pairs = zip(parties.split(synthetic), parties.split(real), strict=True)
    return [frechet(made, true) for made, true in pairs]


def _numbers(rows: torch.Tensor) -> np.ndarray:
    return rows.double().cpu().numpy()
