"""Per-record clipping and noise: gradients as of a loop, sensitivity, noise everywhere, Poisson batches; broken ones are caught."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from mechanism_checks import (
    batches_are_poisson,
    every_coordinate_has_noise_of_its_own,
    one_row_moves_each_group_by_the_clip_norm_at_most,
)
from tiny import batch_of, flat, parties_of, synthesizer_of
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_map

from trainables.federated import batches
from trainables.federated.batches import Chosen, padded_size
from trainables.federated.critics import Critics
from trainables.federated.mechanisms import MECHANISMS, Batch, Gradients, mean_gradients
from trainables.federated.mechanisms.record import clipped_sum, outer_products
from trainables.federated.synthesizers import SYNTHESIZERS


def one_row(batch: Batch, row: int) -> Batch:
    at = slice(row, row + 1)
    return Batch([x[at] for x in batch.real], [x[at] for x in batch.made], batch.alpha[at], batch.weight[at], 1)


def record_gradients(critics: Critics, batch: Batch) -> Gradients:
    """(S, *shape) by parameter's name: each row's gradient, by transforms of a function of one row."""
    parameters = {name: p.detach() for name, p in critics.named_parameters()}

    def loss(parameters: Gradients, *row) -> torch.Tensor:  # type: ignore[no-untyped-def]
        return functional_call(critics, parameters, tree_map(lambda x: x.unsqueeze(0), row)).squeeze(0)

    return vmap(grad(loss), in_dims=(None, 0, 0, 0))(parameters, batch.real, batch.made, batch.alpha)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("penalty", ["parts", "heads"])
@pytest.mark.parametrize("name", SYNTHESIZERS.names())
def test_a_records_gradient_is_that_of_a_loop_over_records(name: str, penalty: str, bias: bool) -> None:
    """Of outer products, of torch.func's vmap(grad), and of autograd on each row alone: the same, its penalty included."""
    who = parties_of(3)
    critics = synthesizer_of(name, who, penalty=penalty, critic_bias=bias, server=(6, 5)).critics.double()
    batch = batch_of(who, 7, dtype=torch.float64)
    outer = outer_products(critics, batch)
    assert list(outer) == [name for name, _ in critics.named_parameters()]
    found = {n: torch.einsum("uio,uij->ioj", *pair) for n, pair in outer.items()}
    found = {n: g.reshape(7, *critics.get_parameter(n).shape) for n, g in found.items()}
    torch.testing.assert_close(found, record_gradients(critics, batch), atol=1e-6, rtol=0)
    for row in range(7):
        expected = mean_gradients(critics, one_row(batch, row))
        torch.testing.assert_close({n: g[row] for n, g in found.items()}, expected, atol=1e-6, rtol=0)
    mean = {n: g.mean(dim=0) for n, g in found.items()}
    torch.testing.assert_close(mean, mean_gradients(critics, batch), atol=1e-6, rtol=0)


def test_a_gradient_in_which_a_real_and_a_made_row_nearly_cancel_is_clipped_as_it_is() -> None:
    """Rows a hundred thousand times as large as what is left of their gradients: a norm from single precision would be noise."""
    who, clip = parties_of(2), 1e-3
    critics = synthesizer_of("vflgan", who, penalty_weight=0.0).critics
    batch = batch_of(who, 6, scale=1e3)
    batch = replace(batch, made=[x * (1 + 1e-5) for x in batch.real])
    found = [clipped_sum(critics, one_row(batch, row), clip) for row in range(6)]
    exact = copy.deepcopy(critics).double()
    for row, clipped in enumerate(found):
        there = tree_map(lambda x: x.double() if isinstance(x, torch.Tensor) else x, vars(one_row(batch, row)))
        gradient = mean_gradients(exact, Batch(**there))
        for names in critics.groups.values():
            norm = flat(gradient, names).norm().item()
            assert flat(clipped, names).norm().item() == pytest.approx(min(norm, clip), rel=0.01)


def test_the_clipped_sum_is_that_of_a_loop_group_by_group() -> None:
    who = parties_of(2)
    critics = synthesizer_of("vflgan", who).critics.double()
    assert [len(names) for names in critics.groups.values()] == [3, 3, 2], "C_1 and P_1, C_2 and P_2, S"
    batch = replace(batch_of(who, 6, dtype=torch.float64), weight=torch.tensor([1, 1, 0, 1, 1, 0]).double())
    expected = {name: torch.zeros_like(p) for name, p in critics.named_parameters()}
    shortened = 0
    for row in (0, 1, 3, 4):
        gradient = mean_gradients(critics, one_row(batch, row))
        for names in critics.groups.values():
            norm = torch.linalg.norm(torch.cat([gradient[name].flatten() for name in names]))
            shortened += bool(norm > 5)
            for name in names:
                expected[name] += gradient[name] * min(1, 5 / norm)
    assert 0 < shortened < 12, "of some groups the norm bites, of some not"
    torch.testing.assert_close(clipped_sum(critics, batch, 5.0), expected, atol=1e-9, rtol=0)


def record(critics: Critics, batch: Batch, clip: float, sigma: float, generator: torch.Generator) -> Gradients:
    mechanism = MECHANISMS["record"]
    settings = mechanism.configure({"clip_norm": clip, "noise_multiplier": sigma})
    return mechanism.gradients(critics, batch, settings, generator)


def test_one_row_moves_each_group_by_the_clip_norm_at_most() -> None:
    one_row_moves_each_group_by_the_clip_norm_at_most(record)


def test_every_coordinate_has_noise_of_its_own() -> None:
    every_coordinate_has_noise_of_its_own(record)


def test_batches_are_poisson() -> None:
    batches_are_poisson(batches.poisson)


def without_clipping(
    critics: Critics, batch: Batch, clip: float, sigma: float, generator: torch.Generator
) -> Gradients:
    return record(critics, batch, 1e9, sigma * clip / 1e9, generator)


def clipped_as_a_batch(
    critics: Critics, batch: Batch, clip: float, sigma: float, generator: torch.Generator
) -> Gradients:
    """The mean gradient shortened to C, as if that were what one row can do: a row moves B times it."""
    mean = mean_gradients(critics, batch)
    return {name: gradient * min(1.0, clip / flat(mean).norm().item()) for name, gradient in mean.items()}


def test_a_missing_clip_is_caught() -> None:
    for broken in (without_clipping, clipped_as_a_batch):
        with pytest.raises(AssertionError, match="moves by"):
            one_row_moves_each_group_by_the_clip_norm_at_most(broken)


def scalar_noise(critics: Critics, batch: Batch, clip: float, sigma: float, generator: torch.Generator) -> Gradients:
    """One number a matrix, as half of the published scripts have it."""
    exact = record(critics, batch, clip, 0.0, generator)
    return {n: g + sigma * clip / batch.expected * torch.randn(1, generator=generator) for n, g in exact.items()}


def noise_on_one_matrix(
    critics: Critics, batch: Batch, clip: float, sigma: float, generator: torch.Generator
) -> Gradients:
    """The published mechanism's choice of what is noised."""
    exact, noised = (record(critics, batch, clip, s, generator) for s in (0.0, sigma))
    return {name: (noised if name in critics.first_weights else exact)[name] for name in exact}


def too_little_noise(
    critics: Critics, batch: Batch, clip: float, sigma: float, generator: torch.Generator
) -> Gradients:
    return record(critics, batch, clip, 0.8 * sigma, generator)


def the_same_noise_again(
    critics: Critics, batch: Batch, clip: float, sigma: float, generator: torch.Generator
) -> Gradients:
    return record(critics, batch, clip, sigma, torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (scalar_noise, "coordinates' noise is not independent"),
        (noise_on_one_matrix, "without noise"),
        (too_little_noise, "size of its noise"),
        (the_same_noise_again, "not independent|two draws are alike"),
    ],
)
def test_broken_noise_is_caught(broken, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AssertionError, match=said):
        every_coordinate_has_noise_of_its_own(broken)


def of_a_fixed_size(rows: int, rate: float, size: int, generator: torch.Generator) -> Chosen:
    chosen = torch.randperm(rows, generator=generator)[: int(rows * rate)]
    padding = torch.zeros(size - len(chosen), dtype=torch.int64)
    return Chosen(torch.cat([chosen, padding]), torch.cat([torch.ones(len(chosen)), torch.zeros(len(padding))]))


def dropping(rows: int, rate: float, size: int, generator: torch.Generator) -> Chosen:
    """Rows beyond the padded size are left out."""
    chosen = batches.poisson(rows, rate, size, generator)
    return Chosen(chosen.rows[:size], chosen.weight[:size])


def in_blocks(rows: int, rate: float, size: int, generator: torch.Generator) -> Chosen:
    """Rows come and go in pairs: the rate is right, and two rows are not independent."""
    pairs = batches.poisson(rows // 2, rate, size, generator)
    taken = pairs.rows[pairs.weight > 0]
    both = torch.cat([2 * taken, 2 * taken + 1])
    slots = size * max(1, -(-len(both) // size))
    weight = torch.zeros(slots)
    weight[: len(both)] = 1
    return Chosen(torch.cat([both, torch.zeros(slots - len(both), dtype=torch.int64)]), weight)


@pytest.mark.parametrize("broken", [of_a_fixed_size, dropping, in_blocks])
def test_batches_that_are_not_poisson_are_caught(broken) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AssertionError):
        batches_are_poisson(broken)


def test_the_padded_size_is_exceeded_once_in_a_billion() -> None:
    from scipy.stats import binom

    for batch, rows in ((8, 40), (64, 1078), (256, 60000)):
        assert binom.sf(padded_size(batch), rows, batch / rows) < 1e-8


def test_an_empty_batch_still_takes_its_noise() -> None:
    who = parties_of(2)
    critics = synthesizer_of("vflgan", who).critics
    batch = replace(batch_of(who, 5), weight=torch.zeros(5))
    gradients = record(critics, batch, 1.0, 1.0, torch.Generator().manual_seed(0))
    assert all((gradient != 0).all() for gradient in gradients.values())


def test_settings_that_certify_nothing_are_refused() -> None:
    with pytest.raises(
        ValueError, match="clip_norm > 0 and noise_multiplier ≥ 0, both finite, are needed, not 0 and 1"
    ):
        MECHANISMS["record"].configure({"clip_norm": 0.0})
    with pytest.raises(ValueError, match="mechanism 'record' has no setting sigma; it has clip_norm, noise_multiplier"):
        MECHANISMS["record"].configure({"sigma": 1.0})
