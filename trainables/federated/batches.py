"""Which rows a step sees: a Poisson batch, padded, or so many without replacement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Chosen:
    """The rows of a batch, by number: `rows` (S,) int64, and `weight` (S,) 1 of a row, 0 of the padding that follows them."""

    rows: torch.Tensor
    weight: torch.Tensor


def padded_size(batch: int) -> int:
    """S for Poisson batches of so many rows on average: B + 6 √B + 6, which one batch in 10⁹ exceeds."""
    return batch + math.ceil(6 * math.sqrt(batch)) + 6


def poisson(rows: int, rate: float, size: int, generator: torch.Generator) -> Chosen:
    """Each of so many rows by itself with probability `rate`, padded to a multiple of `size`.

    A batch that is larger than `size` is padded to twice as much, and so on: rows are never left out of it, for that would be
    another mechanism than the one accounted for.
    """
    drawn = torch.rand(rows, generator=generator, dtype=torch.float64) < rate
    chosen = drawn.nonzero().squeeze(1)
    slots = size * max(1, math.ceil(len(chosen) / size))
    padding = torch.zeros(slots - len(chosen), dtype=torch.int64)
    weight = torch.zeros(slots)
    weight[: len(chosen)] = 1
    return Chosen(torch.cat([chosen, padding]), weight)


def without_replacement(rows: int, batch: int, generator: torch.Generator) -> Chosen:
    """So many different rows. ValueError where there are fewer."""
    if batch > rows:
        raise ValueError(f"a batch of {batch} cannot be drawn from {rows} rows; make it smaller")
    return Chosen(torch.randperm(rows, generator=generator)[:batch], torch.ones(batch))
