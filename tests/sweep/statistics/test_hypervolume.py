"""Fronts and hypervolumes of any number of figures, against a library of others."""

from __future__ import annotations

import moocore
import numpy as np
import pytest

from sweep.statistics.estimates import areas, hypervolume, nondominated

COUNTS = (1, 2, 3, 4)


def sets(count: int, many: int = 60) -> list[np.ndarray]:
    """Sets of points with ties, duplicates and points beyond the corner, some of them empty."""
    rng = np.random.default_rng(count)
    found = []
    for i in range(many):
        n = int(rng.integers(0, 25))
        found.append(rng.integers(0, 12, (n, count)) / 8 if i % 2 else rng.random((n, count)) * 1.3)
    return found


@pytest.mark.parametrize("count", COUNTS)
def test_the_hypervolume_equals_an_independent_librarys(count: int) -> None:
    directions = [("maximise", "minimise")[j % 2] for j in range(count)]
    turns, corner = np.array([1.0 if d == "minimise" else -1.0 for d in directions]), np.full(count, 1.2)
    for costs in sets(count):
        theirs = moocore.hypervolume(costs, ref=corner) if len(costs) else 0.0
        assert hypervolume(costs * turns, corner * turns, directions) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("count", COUNTS)
def test_sets_side_by_side_have_the_volume_of_each(count: int) -> None:
    many = np.random.default_rng(count).random((5, 6, 7, count)) * 1.3
    alone = [[areas(one, np.ones(count)) for one in row] for row in many]
    np.testing.assert_allclose(areas(many, np.ones(count)), alone, atol=1e-14)


@pytest.mark.parametrize("count", COUNTS)
def test_the_front_is_an_independent_librarys(count: int) -> None:
    for costs in filter(len, sets(count)):
        theirs = moocore.is_nondominated(costs, keep_weakly=True)  # equal points do not dominate one another
        assert nondominated(costs, ["minimise"] * count).tolist() == theirs.tolist()
