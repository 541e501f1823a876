"""Per-record clipping and noise: gradients as of a loop, sensitivity, noise everywhere, Poisson batches; broken ones are caught."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from mechanism_checks import (
    batches_are_poisson,
    every_coordinate_has_noise_of_its_own,
    one_row_moves_each_group_by_the_clip_norm_at_most,
)
from tiny import batch_of, flat, parties_of, synthesizer_of, training_of
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_map

from trainables.federated import batches
from trainables.federated.critics import Critics
from trainables.federated.mechanisms import MECHANISMS, Batch, Gradients, mean_gradients
from trainables.federated.mechanisms.record import clipped_sum, outer_products
from trainables.federated.streams import keyed, normal_like
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


def record(critics: Critics, batch: Batch, clip: float, sigma: float, generator: np.random.Generator) -> Gradients:
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
    critics: Critics, batch: Batch, clip: float, sigma: float, generator: np.random.Generator
) -> Gradients:
    return record(critics, batch, 1e9, sigma * clip / 1e9, generator)


def clipped_as_a_batch(
    critics: Critics, batch: Batch, clip: float, sigma: float, generator: np.random.Generator
) -> Gradients:
    """The mean gradient shortened to C, as if that were what one row can do: a row moves B times it."""
    mean = mean_gradients(critics, batch)
    return {name: gradient * min(1.0, clip / flat(mean).norm().item()) for name, gradient in mean.items()}


def test_a_missing_clip_is_caught() -> None:
    for broken in (without_clipping, clipped_as_a_batch):
        with pytest.raises(AssertionError, match="moves by"):
            one_row_moves_each_group_by_the_clip_norm_at_most(broken)


def scalar_noise(
    critics: Critics, batch: Batch, clip: float, sigma: float, generator: np.random.Generator
) -> Gradients:
    """One number a matrix, as half of the published scripts have it."""
    exact = record(critics, batch, clip, 0.0, generator)
    return {n: g + sigma * clip / batch.expected * generator.standard_normal() for n, g in exact.items()}


def noise_on_one_matrix(
    critics: Critics, batch: Batch, clip: float, sigma: float, generator: np.random.Generator
) -> Gradients:
    """The published mechanism's choice of what is noised."""
    exact, noised = (record(critics, batch, clip, s, generator) for s in (0.0, sigma))
    return {name: (noised if name in critics.first_weights else exact)[name] for name in exact}


def too_little_noise(
    critics: Critics, batch: Batch, clip: float, sigma: float, generator: np.random.Generator
) -> Gradients:
    return record(critics, batch, clip, 0.8 * sigma, generator)


def the_same_noise_again(
    critics: Critics, batch: Batch, clip: float, sigma: float, generator: np.random.Generator
) -> Gradients:
    return record(critics, batch, clip, sigma, keyed("again"))


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


def of_a_fixed_size(rows: int, rate: float, generator: np.random.Generator) -> torch.Tensor:
    return batches.without_replacement(rows, int(rows * rate), generator)


def dropping(rows: int, rate: float, generator: np.random.Generator) -> torch.Tensor:
    """Rows beyond a size that one batch in thirty exceeds are left out."""
    return batches.poisson(rows, rate, generator)[:13]


def in_blocks(rows: int, rate: float, generator: np.random.Generator) -> torch.Tensor:
    """Rows come and go in pairs: the rate is right, and two rows are not independent."""
    pairs = batches.poisson(rows // 2, rate, generator)
    return torch.cat([2 * pairs, 2 * pairs + 1])


@pytest.mark.parametrize(
    ("broken", "said"),
    [(of_a_fixed_size, "sizes of batches"), (dropping, "how often each size comes"), (in_blocks, "sizes|two rows'")],
)
def test_batches_that_are_not_poisson_are_caught(broken, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AssertionError, match=said):
        batches_are_poisson(broken)


def test_an_empty_batch_takes_the_noise_of_every_batch_and_nothing_of_a_row() -> None:
    """A training whose batches are empty but for one in many: its gradient is σ C N(0, I) / B, of the step's stream of noise."""
    training = training_of("record", settings={"clip_norm": 0.5, "noise_multiplier": 2.0}, batch=2)
    training.expected_rows = 10**6
    assert len(training.chosen()) == 0
    gradients, noise = training.critic_gradients(), training._stream("noise")
    assert gradients.keys() == dict(training.synthesizer.critics.named_parameters()).keys()
    for gradient in gradients.values():
        torch.testing.assert_close(gradient, normal_like(gradient, noise) * 0.5 * 2.0 / 2)


@pytest.mark.parametrize("bad", [float("inf"), float("nan"), 1e30])
def test_a_row_whose_gradient_is_not_finite_adds_exactly_0(bad: float) -> None:
    """In its own number, in a made row of it, or so large that floats cannot shorten it: the sum is that of the others."""
    who = parties_of(2)
    critics = synthesizer_of("vflgan", who, critic_bias=True).critics
    batch = batch_of(who, 6)
    for of in ("real", "made"):
        spoiled = [x.clone() for x in getattr(batch, of)]
        spoiled[0][2, 1] = bad
        weight = torch.tensor([1.0, 1, 0, 1, 1, 1])
        expected = clipped_sum(critics, replace(batch, weight=weight), 0.7)
        spoiled_sum = clipped_sum(critics, replace(batch, **{of: spoiled}), 0.7)
        for names in critics.groups.values():
            of_row = flat(spoiled_sum, names) - flat(expected, names)
            assert of_row.norm() <= 0.7 * 1.0001, "a row adds C at most"
        if bad != 1e30:  # of a finite one, a group's gradient may be finite
            assert all(torch.equal(spoiled_sum[name], expected[name]) for name in critics.groups["p0 (1)"])


def test_uses_that_overflow_before_they_cancel_are_clipped() -> None:
    """A real row and its copy, of 10²⁰: each use's outer product is beyond floats, and their difference no number."""
    who = parties_of(2)
    critics = synthesizer_of("vflgan", who, penalty_weight=0.0).critics
    batch = batch_of(who, 3)
    real = [x.clone() for x in batch.real]
    real[0][1] *= 1e25
    copied = replace(batch, real=real, made=[x.clone() for x in real])
    for clipped in clipped_sum(critics, copied, 0.7).values():
        assert torch.isfinite(clipped).all() and clipped.norm() <= 0.7 * 1.2


def test_settings_that_certify_nothing_are_refused() -> None:
    with pytest.raises(
        ValueError, match="clip_norm > 0 and noise_multiplier ≥ 0, both finite, are needed, not 0 and 1"
    ):
        MECHANISMS["record"].configure({"clip_norm": 0.0})
    with pytest.raises(ValueError, match="mechanism 'record' has no setting sigma; it has clip_norm, noise_multiplier"):
        MECHANISMS["record"].configure({"sigma": 1.0})
