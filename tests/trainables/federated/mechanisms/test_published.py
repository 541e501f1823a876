"""The published mechanism is its hook; it is no certificate, and says so."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import batch_of, parties_of, rows_of, synthesizer_of, training_of

from trainables.federated.generic_bound import claimed_epsilon
from trainables.federated.mechanisms import MECHANISMS, Plan, mean_gradients
from trainables.federated.mechanisms.published import clipped_and_noised
from trainables.federated.streams import keyed
from trainables.federated.training import Schedule, Training


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_it_is_the_published_hook_on_the_total_gradient(scale: float) -> None:
    """Written down anew as a hook of the leaf, which sees real rows, made rows and penalty together; in float64, to 1e-6."""
    who, sigma = parties_of(2), 1.39
    critics = synthesizer_of("vflgan", who).critics.double()
    batch = batch_of(who, 16, scale=scale, dtype=torch.float64)
    mechanism = MECHANISMS["published"]
    gradients = mechanism.gradients(critics, batch, mechanism.configure({"noise_multiplier": sigma}), keyed("hook"))
    generator = keyed("hook")
    shapes = {name: critics.get_parameter(name).shape for name in critics.first_weights}
    noise = {name: torch.from_numpy(generator.standard_normal(shape)) for name, shape in shapes.items()}

    def hook(name: str):  # type: ignore[no-untyped-def]
        def func(grad: torch.Tensor) -> torch.Tensor:
            clip_norm = 1.5 / 16
            coefficient = min(clip_norm / (grad.norm(p=2) + 1e-10), torch.ones(()))
            return grad * coefficient + clip_norm * 2 * sigma * noise[name]

        return func

    assert critics.first_weights == ["local.0.0.weight", "local.1.0.weight"]
    for name in critics.first_weights:
        critics.get_parameter(name).register_hook(hook(name))
    critics(batch.real, batch.made, batch.alpha).mean().backward()
    for name, parameter in critics.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-6, rtol=0)


def test_whatever_the_gradient_it_moves_the_release_by_twice_the_clip_at_most() -> None:
    values = [clipped_and_noised(1e3 * torch.randn(4, 5), 10, 0.0, keyed()) for _ in range(20)]
    assert all(value.norm() <= 0.15 * 1.0001 for value in values)


def test_its_epsilon_is_claimed_and_none_is_proven() -> None:
    mechanism = MECHANISMS["published"]
    privacy = mechanism.privacy(mechanism.configure({"noise_multiplier": 0.802}), Plan(60000, 64, 281100, 3, 1e-5))
    assert privacy.epsilon is None and privacy.claimed_epsilon == pytest.approx(9.993, abs=1e-3)
    assert not mechanism.certified and "authors" in privacy.accountant
    assert mechanism.calibrated(9.993, Plan(60000, 64, 281100, 3, 1e-5)) == pytest.approx(0.802, rel=2e-3)
    none = MECHANISMS["none"]
    assert none.privacy(none.configure({}), Plan(100, 10, 5, 3, 1e-3)).epsilon == math.inf
    with pytest.raises(ValueError, match="mechanism 'none' adds no noise"):
        none.calibrated(1.0, Plan(100, 10, 5, 3, 1e-3))


def test_its_clip_is_no_setting() -> None:
    with pytest.raises(ValueError, match="mechanism 'published' has no setting clip_norm"):
        MECHANISMS["published"].configure({"clip_norm": 1.0})


def test_noise_that_claims_a_vanishing_epsilon_leaves_most_of_the_critics_learning_from_raw_rows() -> None:
    """At σ = 1000 it claims next to nothing, and all that is not a first weight gets the very gradients it would without."""
    training = training_of("published", settings={"noise_multiplier": 1e3})
    claimed = training.privacy(1e-3).claimed_epsilon
    assert claimed is not None and claimed < 0.1
    critics, batch = training.synthesizer.critics, training.batch()
    noised, plain = training.critic_gradients(), mean_gradients(critics, batch)
    for name in noised:
        assert torch.equal(noised[name], plain[name]) is (name not in critics.first_weights)


def test_its_batches_are_drawn_from_the_rows_there_are_and_so_is_its_claim() -> None:
    """`expected_rows` is for Poisson batches: of a quarter as many rows, a batch is four times as large a share."""
    few, expected = rows_of(20, parties_of(2)), 80
    mechanism = MECHANISMS["published"]
    settings = mechanism.configure({"noise_multiplier": 3.0})
    training = Training(synthesizer_of(), few, mechanism, settings, Schedule(50, 8), 0, expected_rows=expected)
    drawn = torch.cat([training.chosen() for training.step in range(200)])
    rate = len(drawn) / 200 / len(few)
    assert training.plan(1e-3).sampling_rate == rate == 0.4
    assert training.privacy(1e-3).claimed_epsilon == claimed_epsilon(3.0, 0.4, 50, 1e-3)
