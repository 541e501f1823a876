"""The paper's audits: features by hand, a forest that finds what is there, and an accuracy that is known no better than it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import parties_of, rows_of, synthesizer_of

from trainables.federated.audits.intervals import binomial
from trainables.federated.audits.shadow_models import (
    correlations,
    critics_features,
    forest_attack,
    moments,
    nearest,
    published_features,
)


def test_features_by_hand() -> None:
    rows = np.array([[0.0, 1.0, 5.0], [1.0, -1.0, 5.0], [2.0, 0.0, 5.0], [3.0, -4.0, 5.0]])
    r = np.corrcoef(rows[:, 0], rows[:, 1])[0, 1]
    np.testing.assert_allclose(correlations(rows), [r, 0, 0])
    np.testing.assert_allclose(moments(rows), [1.5, -1, 5, 1.5, -0.5, 5, 1.25, 3.5, 0])
    np.testing.assert_allclose(nearest(np.array([0.0, 1.0, 5.0]), k=2)(rows), [0, np.sqrt(5)])


def test_features_of_critics_are_of_the_real_rows_and_of_where_the_target_lies_in_each_head() -> None:
    rows, synthesizer = rows_of(30, parties_of(2)), synthesizer_of()
    target = rows[4]
    taken = critics_features(rows, target, synthesizer)
    assert list(taken) == ["C_1 correlations", "C_1 moments", "C_2 correlations", "C_2 moments", "heads"]
    critics = synthesizer.critics
    with torch.no_grad():
        first, second = critics.features(synthesizer.parties.split(rows))
        values = [critics.private[0](first), critics.private[1](second), critics.server(torch.cat([first, second], 1))]
    np.testing.assert_allclose(taken["C_2 correlations"], correlations(second.double().numpy()), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(taken["C_1 moments"], moments(first.double().numpy()), rtol=1e-4, atol=1e-6)
    by_hand = [float((v[4] - v.mean()) / v.std()) for v in values]
    np.testing.assert_allclose(taken["heads"], by_hand, rtol=1e-4)
    synthetic = rows.double().numpy()
    assert published_features(synthetic, synthetic[4])["nearest"][0] == 0


def test_of_several_attacks_side_by_side_each_proves_less() -> None:
    marks = np.arange(100.0)[:, None]
    alone, of_eight = (forest_attack(marks + 1000, marks, 0, trees=20, looks=looks) for looks in (1, 8))
    assert alone.epsilon == alone.ceiling == pytest.approx(2.03, abs=0.01)
    # both rates' tails are .05 / 16: a share of .003125 ** (1 / 30) against the rest
    low = 0.003125 ** (1 / 30)
    assert of_eight.epsilon == of_eight.ceiling == pytest.approx(np.log(low / (1 - low)), abs=1e-6)
    assert (alone.right, alone.low, alone.high) == (of_eight.right, of_eight.low, of_eight.high)


def test_a_forest_finds_a_difference_and_says_what_it_proves() -> None:
    rng = np.random.default_rng(0)
    without = rng.normal(size=(100, 5))
    attack = forest_attack(without + np.array([3, 0, 0, 0, 0]), without, 0, trees=60)
    assert attack.models == 60 and attack.accuracy > 0.85
    assert attack.low < attack.accuracy < attack.high and 0.5 < attack.epsilon < 2.04, "of 30 pairs at most 2.03"


def test_a_forest_at_chance_is_right_half_the_time_and_says_so() -> None:
    """Over fifteen attacks on noise: half of all guesses, intervals that hold it, and nothing proven."""
    rng = np.random.default_rng(1)
    attacks = [forest_attack(rng.normal(size=(40, 4)), rng.normal(size=(40, 4)), seed, trees=20) for seed in range(15)]
    guesses = sum(one.models for one in attacks)
    assert guesses == 15 * 24
    assert abs(sum(one.right for one in attacks) / guesses - 0.5) < 3 * 0.5 / guesses**0.5
    assert sum(one.low <= 0.5 <= one.high for one in attacks) >= 14 and max(one.epsilon for one in attacks) < 0.3
    assert all(one.high - one.low > 0.3 for one in attacks), "24 models say little"


def test_pairs_of_a_seed_are_never_divided() -> None:
    """Each pair has a mark of its own and no difference: a forest that had seen one would take the other for the opposite.

    One that has seen neither says the same of both, and so is right of one.
    """
    for seed in range(3):
        attack = forest_attack(np.eye(20), np.eye(20), seed, trees=60)
        assert attack.right == attack.models / 2 == 6
        assert (attack.low, attack.high) == binomial(3, 6), "six pairs, each half right"
    with pytest.raises(ValueError, match="3 models with the row and 3 without: give four pairs or more"):
        forest_attack(np.zeros((3, 2)), np.zeros((3, 2)), 0)
