"""The paper's audits: features by hand, a forest that finds what is there, and an accuracy that is known no better than it is."""

from __future__ import annotations

import numpy as np
import pytest

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
    found = forest_attack(without + np.array([3, 0, 0, 0, 0]), without, 0, trees=60)
    assert found.models == 60 and found.accuracy > 0.85
    assert found.low < found.accuracy < found.high and 0.5 < found.epsilon < 2.04, "of 30 pairs at most 2.03"


def test_a_forest_at_chance_has_an_interval_that_holds_chance() -> None:
    rng, held = np.random.default_rng(1), 0
    for seed in range(20):
        found = forest_attack(rng.normal(size=(40, 4)), rng.normal(size=(40, 4)), seed, trees=20)
        held += found.low <= 0.5 <= found.high
        assert found.high - found.low > 0.35, "24 models say little"
    assert held >= 17


def test_pairs_of_a_seed_are_never_divided() -> None:
    """Each pair has a mark of its own beside the difference: a forest that had seen one half would know the other."""
    rng = np.random.default_rng(2)
    marks = rng.normal(size=(60, 1)) * 100
    found = forest_attack(marks, marks.copy(), 0, trees=40)
    assert found.low <= 0.5 <= found.high
    with pytest.raises(ValueError, match="3 models with the row and 3 without: give four pairs or more"):
        forest_attack(np.zeros((3, 2)), np.zeros((3, 2)), 0)
