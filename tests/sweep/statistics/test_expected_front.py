"""Replicates go where they decide something: near the front and near its bounds, and not twice to the same place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from sweep.statistics.estimates import areas, hypervolume, nondominated
from sweep.statistics.expected_front import MOST, WORTH, Candidates, in_order

BUDGET, DIRECTIONS = 5.0, ("maximise", "minimise")


def candidates(
    *rows: tuple[float, float], sds: tuple[float, float] = (0.03, 1.0), numbers: list[int] | None = None
) -> Candidates:
    """Of robustness, up to 0, and of fid_delta, up to the budget."""
    figures = np.array(rows, dtype=float)
    return Candidates(
        numbers or list(range(len(rows))), figures, np.tile(sds, (len(rows), 1)), (0, 1), (-1.0, 1.0), (0.0, BUDGET),
        [(1, BUDGET, 1.0)],
    )  # fmt: skip


def order(of: Candidates, most: int = 9, neighbours: int = 9, first: int | None = None) -> list[int]:
    feasible = of.figures[:, 1] <= BUDGET
    best = int(np.argmax(np.where(feasible, of.figures[:, 0], -1.0))) if first is None else first
    return [best, *(row for row, _ in in_order(of, best, (~feasible).astype(int).tolist(), (most, neighbours)))]


def test_areas_of_many_sets_are_the_hypervolumes_of_each() -> None:
    rng = np.random.default_rng(0)
    of = candidates(*rng.random((40, 9, 2)).reshape(-1, 2).tolist())
    sets = rng.random((40, 9, 2)) * [1.3, 8]
    theirs = [hypervolume(s[s[:, 1] <= BUDGET], (0.0, BUDGET), DIRECTIONS) for s in sets]
    assert areas(of.points(sets), of.corner) == pytest.approx(theirs, abs=1e-12)
    turned = sets * [-1, 1]
    alone = [hypervolume(s, (0.0, BUDGET), DIRECTIONS) for s in sets]
    assert areas(turned, (0.0, BUDGET)).tolist() == alone, "to the last bit, infeasible points left out"
    assert areas(np.zeros((3, 0, 2)), of.corner).tolist() == [0, 0, 0]


def test_what_one_more_trial_adds_is_its_place_times_the_chance_that_its_mean_holds() -> None:
    """The trial beside the first one at the corner: (budget - fid_delta) · robustness where the mean is within the budget."""
    of = candidates((0.5, 4.999), (0.8, 4.0), (0.8, 5.5), sds=(0.0, 1.0))
    gains = dict(in_order(of, 0, [0, 0, 1], (9, 0)))
    at, sd = 1.0, 1.0  # the bound lies one deviation above
    room = at * norm.cdf(at / sd) + sd * norm.pdf(at / sd)  # the expectation of max(budget - mean, 0)
    assert gains[1] == pytest.approx(0.8 * room, rel=0.25), "less what the first one has already"
    assert 1 not in dict(in_order(of, 1, [0, 0, 1], (9, 0)))


def test_members_of_the_front_come_before_what_they_dominate_and_near_misses_before_far_ones() -> None:
    front_then_others = order(candidates((0.9, 3.0), (0.7, 0.5), (0.5, 4.5), (0.95, 5.4), (0.95, 9.0)))
    assert front_then_others[:2] == [0, 1] and 3 in front_then_others
    assert 4 not in front_then_others, "four deviations past the budget"
    assert 2 not in front_then_others, "dominated by more than noise"


def test_of_two_trials_in_one_place_the_second_waits_for_one_that_adds_something() -> None:
    told = order(candidates((0.9, 1.0), (0.9, 1.02), (0.7, -1.5), sds=(0.001, 0.01)))
    assert told == [0, 2], "the twin would add less than anybody could tell"


def test_what_adds_a_thousandth_of_all_that_is_expected_is_confirmed_and_what_adds_less_is_not() -> None:
    """Without noise, beside a trial of .9 · (5 - 1) = 3.6: one that adds .05 · .28 = .014, and one that adds .05 · .03."""
    for fid_delta, told in ((4.72, [0, 1]), (4.97, [0])):
        assert order(candidates((0.9, 1.0), (0.95, fid_delta), sds=(0.0, 0.0)), first=0) == told


def test_a_member_that_hangs_by_luck_is_backed_by_one_that_is_sure() -> None:
    """Both are on the measured front; the first is within the budget in half of all seeds' means."""
    lucky, sure, small = (0.92, 4.95), (0.9, 2.0), (0.3, 1.9)
    assert order(candidates(lucky, small, sure))[:2] == [0, 2]


def test_neither_the_order_of_rows_nor_other_trials_draws_change_the_choice() -> None:
    rng = np.random.default_rng(1)
    rows = [tuple(r) for r in (rng.random((30, 2)) * [1, 8]).tolist()]
    told = order(candidates(*rows))
    turned = rng.permutation(30).tolist()
    again = order(candidates(*(rows[i] for i in turned), numbers=turned))
    assert [turned[i] for i in again] == told
    assert order(candidates(*rows)) == told


def test_room_is_kept_apart_and_the_rest_of_it_is_not_filled_with_what_decides_nothing() -> None:
    rng = np.random.default_rng(2)
    of = candidates(*[tuple(r) for r in (rng.random((40, 2)) * [1, 8]).tolist()])
    feasible = of.figures[:, 1] <= BUDGET
    for most, neighbours in ((1, 0), (3, 1), (2, 4), (40, 40)):
        told = order(of, most, neighbours)
        assert sum(feasible[told]) <= most and sum(~feasible[told]) <= neighbours and len(set(told)) == len(told)
    assert len(told) < 20, "with room for all, most of them decide nothing"
    front = np.flatnonzero(feasible)[nondominated(of.figures[feasible], DIRECTIONS)]
    gains = dict(in_order(of, told[0], (~feasible).astype(int).tolist(), (40, 40)))
    assert list(gains.values()) == sorted(gains.values(), reverse=True) and min(gains.values()) > 0
    assert len(set(front) & set(told)) >= 2 and WORTH > 0


def test_of_very_many_trials_the_hopeful_ones_are_looked_at() -> None:
    rng = np.random.default_rng(3)
    rows = [tuple(r) for r in (rng.random((2000, 2)) * [0.5, 30]).tolist()]
    rows[1234] = (0.9, 1.0)
    rows[777] = (0.97, 5.3)
    assert len(rows) > MOST and {1234, 777} <= set(order(candidates(*rows), 3, 1))


def test_more_of_the_true_front_is_confirmed_than_by_the_measured_figures_alone() -> None:
    """40 noisy trials, 3 + 1 of them confirmed; worth: the true feasible hypervolume of those. 150 simulated sweeps."""
    rng, ours, theirs = np.random.default_rng(4), [], []
    for _ in range(150):
        effort = rng.random(40)
        true = np.stack([0.3 + 0.6 * effort - 0.2 * rng.random(40), 9 * effort**2 + 2 * rng.random(40) - 1], axis=1)
        of = candidates(
            *[tuple(r) for r in (true + rng.standard_normal((40, 2)) * [0.03, 1.7]).tolist()], sds=(0.03, 1.7)
        )
        feasible = of.figures[:, 1] <= BUDGET
        if not feasible.any():
            continue
        best = int(np.argmax(np.where(feasible, of.figures[:, 0], -1.0)))
        ours.append(_worth(true, order(of, 3, 1)))
        theirs.append(_worth(true, by_figures(of.figures, feasible, best)))
    gain = np.array(ours) - np.array(theirs)
    assert gain.mean() > 2 * gain.std() / math.sqrt(len(gain)), (np.mean(ours), np.mean(theirs))


def _worth(true: np.ndarray, rows: list[int]) -> float:
    some = true[rows]
    return hypervolume(some[some[:, 1] <= BUDGET], (0.0, BUDGET), DIRECTIONS)


def by_figures(figures: np.ndarray, feasible: np.ndarray, best: int) -> list[int]:
    """The best, two that add most to the measured hypervolume, and the nearest miss that would be on the front."""
    chosen = [best]
    for _ in range(2):
        left = [i for i in np.flatnonzero(feasible).tolist() if i not in chosen]
        areas_ = [hypervolume(figures[[*chosen, i]], (0.0, BUDGET), DIRECTIONS) for i in left]
        chosen += [left[int(np.argmax(areas_))]] if left else []
    able = np.flatnonzero(~feasible)
    would = [i for i in able if nondominated(np.vstack([figures[feasible], figures[i]]), DIRECTIONS)[-1]]
    return chosen + sorted(would, key=lambda i: float(figures[i, 1]))[:1]
