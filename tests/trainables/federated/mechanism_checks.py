"""What a mechanism that certifies an ε must do. Each check raises AssertionError for one that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import binom, chi2
from tiny import batch_of, flat, parties_of, synthesizer_of

from trainables.federated.critics import Critics
from trainables.federated.mechanisms import Batch, Gradients
from trainables.federated.streams import keyed

Gradient = Callable[[Critics, Batch, float, float, np.random.Generator], Gradients]
"""``(critics, batch, clip norm C, noise multiplier σ, generator) -> gradients``."""
Draw = Callable[[int, float, np.random.Generator], torch.Tensor]
"""``(rows, rate, generator) -> numbers of a batch's rows``."""

RARE = 1e-6  # a test fails by chance so often


def one_row_moves_each_group_by_the_clip_norm_at_most(gradient: Gradient) -> None:
    """Sensitivity: neighbouring batches, one row added, at scales where gradients are far above and far below C."""
    who, clip = parties_of(3), 0.7
    critics = synthesizer_of("vflgan", who).critics
    for seed in range(20):
        batch = batch_of(who, 9, seed, scale=(0.05, 1.0, 30.0)[seed % 3])
        weight = torch.ones(9)
        weight[seed % 9] = 0
        with_row = gradient(critics, batch, clip, 0.0, keyed())
        without = gradient(critics, replace(batch, weight=weight), clip, 0.0, keyed())
        moved = {name: (with_row[name] - without[name]) * batch.expected for name in with_row}
        for group, names in critics.groups.items():
            assert flat(moved, names).norm() <= clip * 1.0001, f"{group} moves by {flat(moved, names).norm():g}"
        assert flat(moved).norm() <= len(critics.groups) ** 0.5 * clip * 1.0001


def every_coordinate_has_noise_of_its_own(gradient: Gradient) -> None:
    """Without rows, what is left is N(0, (σ C / B)²) in each coordinate: by χ² of all of them, and of their sums.

    A scalar that is broadcast over a matrix has the right size in each coordinate, and a sum that is far too large.
    """
    who, clip, sigma = parties_of(2), 0.5, 2.0
    critics = synthesizer_of("vflgan", who).critics
    empty = replace(batch_of(who, 6), weight=torch.zeros(6))
    deviation = sigma * clip / empty.expected
    generator = keyed("noise")
    draws = max(60, -(-10_000 // sum(p.numel() for p in critics.parameters())))
    drawn = [gradient(critics, empty, clip, sigma, generator) for _ in range(draws)]
    for name, parameter in critics.named_parameters():
        values = torch.stack([one[name].flatten() for one in drawn]).double() / deviation  # (draws, numbers)
        assert (values != 0).all(), f"{name} has a coordinate without noise"
        sums = values.sum(dim=1) / parameter.numel() ** 0.5
        _check_chi2(sums.square().sum().item(), draws, f"{name}: its coordinates' noise is not independent")
        _check_chi2(values.square().sum().item(), values.numel(), f"{name}: size of its noise")
    together = torch.stack([flat(one) for one in drawn]).double() / deviation
    sums = together.sum(dim=1) / together.shape[1] ** 0.5
    _check_chi2(sums.square().sum().item(), draws, "parameters' noise is not independent of one another")
    repeated = (together[1:] * together[:-1]).sum(dim=1) / together.shape[1] ** 0.5
    assert repeated.abs().max() < 6, "two draws are alike"


def batches_are_poisson(draw: Draw) -> None:
    """Sizes vary as binomial ones, every row is in at the rate, and two rows independently of one another."""
    rows, rate, draws = 40, 0.2, 4000
    generator = keyed("batches")
    included = torch.zeros(draws, rows, dtype=torch.float64)
    for number in range(draws):
        taken = draw(rows, rate, generator)
        assert len(taken) == len(taken.unique()), "a row is in twice"
        included[number, taken] = 1
    variance = rate * (1 - rate)
    sizes = included.sum(dim=1)
    _check_chi2((((sizes - rows * rate) ** 2) / (rows * variance)).sum().item(), draws, "sizes of batches")
    expected = draws * binom.pmf(np.arange(rows + 1), rows, rate)
    common = expected >= 5
    counts = np.bincount(sizes.int().numpy(), minlength=rows + 1)
    cells = [np.append(x[common], x[~common].sum()) for x in (counts, expected)]
    _check_chi2(float(((cells[0] - cells[1]) ** 2 / cells[1]).sum()), int(common.sum()), "how often each size comes")
    per_row = ((included.sum(dim=0) - draws * rate) ** 2 / (draws * variance)).sum().item()
    _check_chi2(per_row, rows, "how often each row is in")
    correlation = torch.corrcoef(included.T)[torch.triu_indices(rows, rows, 1).unbind()]
    _check_chi2((draws * correlation.square()).sum().item(), len(correlation), "two rows' inclusions")


def _check_chi2(value: float, freedom: int, what: str) -> None:
    low, high = chi2.ppf(RARE / 2, freedom), chi2.isf(RARE / 2, freedom)
    assert low <= value <= high, f"{what}: χ² of {value:.4g} at {freedom} degrees of freedom"
