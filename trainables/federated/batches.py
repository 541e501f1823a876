"""Which rows a step sees, by their numbers in the table: a Poisson batch, or so many without replacement."""

from __future__ import annotations

import numpy as np
import torch


def poisson(rows: int, rate: float, generator: np.random.Generator) -> torch.Tensor:
    """(n,) int64: each of so many rows by itself with probability `rate`, in order; n varies, and may be 0."""
    return torch.from_numpy(np.flatnonzero(generator.random(rows) < rate))


def without_replacement(rows: int, batch: int, generator: np.random.Generator) -> torch.Tensor:
    """(batch,) int64: so many different rows. ValueError where there are fewer."""
    if batch > rows:
        raise ValueError(f"a batch of {batch} cannot be drawn from {rows} rows; make it smaller")
    return torch.from_numpy(generator.permutation(rows)[:batch])
