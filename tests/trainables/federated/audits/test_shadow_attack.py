"""The paper's audits: features by hand, a forest that finds what is there, and an accuracy that is known no better than it is."""

from __future__ import annotations

import numpy as np
import pytest

from trainables.federated.audits.intervals import binomial
from trainables.federated.audits.shadow_models import correlations, forest_attack, moments, nearest


def test_features_by_hand() -> None:
    rows = np.array([[0.0, 1.0, 5.0], [1.0, -1.0, 5.0], [2.0, 0.0, 5.0], [3.0, -4.0, 5.0]])
    r = np.corrcoef(rows[:, 0], rows[:, 1])[0, 1]
    np.testing.assert_allclose(correlations(rows), [r, 0, 0])
    np.testing.assert_allclose(moments(rows), [1.5, -1, 5, 1.5, -0.5, 5, 1.25, 3.5, 0])
    np.testing.assert_allclose(nearest(np.array([0.0, 1.0, 5.0]), k=2)(rows), [0, np.sqrt(5)])


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
