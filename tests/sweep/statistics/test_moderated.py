"""Moderated intervals: what they take from other trials, and that they cover (`benchmarks.intervals` has the table)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.intervals import covered, differences_covered, normal, shares, trended, until_sure, wrong_verdicts
from sweep.statistics.estimates import estimate
from sweep.statistics.moderated import Moderated
from sweep.statistics.shares import Point, wilson

Table = dict[str, dict[int, Point]]


def _table(**trials: list[float]) -> Table:
    return {name: {s: Point(v, 0) for s, v in enumerate(values, 1)} for name, values in trials.items()}


def test_a_trial_alone_has_students_interval_and_probability() -> None:
    values = [1.0, 2.0, 4.5]
    alone, plain = Moderated(_table(a=values)).estimate("a"), estimate(values)
    assert alone is not None and plain is not None
    assert (alone.mean, alone.lower, alone.upper) == pytest.approx((plain.mean, plain.lower, plain.upper))
    students = stats.t.cdf((3.0 - 2.5) / (np.std(values, ddof=1) / math.sqrt(3)), 2)
    assert Moderated(_table(a=values)).probability_below("a", 3.0) == pytest.approx(students)


def test_one_seed_and_none_have_no_interval() -> None:
    table = _table(a=[1.0, 2.0, 3.0], b=[5.0]) | {"c": {}}
    moderated = Moderated(table)
    one = moderated.estimate("b")
    assert one is not None and (one.mean, one.lower, one.n) == (5.0, None, 1)
    assert moderated.estimate("c") is None and moderated.estimate("nobody") is None
    assert moderated.probability_below("b", 0.0) is None and moderated.probability_below("c", 0.0) is None
    assert moderated.difference("a", "c") is None


@pytest.mark.parametrize(
    ("trials", "seeds", "shared", "freedom"),
    [(8, 3, 0.0, math.inf), (8, 3, 0.1, 4.0), (4, 5, 0.1, math.inf), (8, 3, 0.9, math.inf)],
)
def test_it_covers_and_eight_trials_on_three_seeds_are_narrower_than_by_themselves(
    trials: int, seeds: int, shared: float, freedom: float
) -> None:
    rng = np.random.default_rng(2)
    tables = [normal(rng, trials, seeds, shared, freedom) for _ in range(1200 // trials)]
    moderated, plain, ratio, _ = covered(tables, 0.0, False)
    assert 0.915 <= moderated <= 0.985 and abs(plain - 0.95) < 0.03
    assert ratio < (0.75 if seeds == 3 and shared < 0.5 else 1.0)


def test_shares_are_covered_and_never_surer_than_their_samples() -> None:
    rng = np.random.default_rng(3)
    covers, _, _, _ = covered([shares(rng, 6, 3, 0.98, 0.28, 192) for _ in range(150)], 0.98, True)
    assert covers >= 0.93
    hits = {t: {s: Point(1.0, 100) for s in range(3)} for t in ("a", "b")}
    sure = Moderated(hits, share=True).estimate("a")
    low, high = wilson(np.array(1.0), np.array(300))
    assert sure is not None and (sure.lower, sure.upper) == (pytest.approx(float(low)), pytest.approx(float(high)))
    chance = Moderated(hits, share=True).probability_below("a", 0.995)
    assert chance is not None and 0.05 < chance < 0.5


def test_the_probability_of_being_below_a_bound_is_calibrated() -> None:
    """Where the mean is the bound itself, p or less is told p of the time, whatever the spread (probability matching)."""
    rng = np.random.default_rng(0)
    chances = np.array(
        [
            Moderated(_table(a=list(rng.normal(2.0, spread, 3)))).probability_below("a", 2.0)
            for spread in (0.1, 3.0)
            for _ in range(600)
        ]
    )
    for p in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert abs((chances <= p).mean() - p) < 0.04, p
    samples = {"a": {s: Point(0.0, 100) for s in range(2)}}
    chance = Moderated(samples, share=True).probability_below("a", 0.05)
    assert chance is not None and 0.9 < chance < 1.0, "200 samples do not prove a share below .05"


def test_few_verdicts_of_feasibility_are_wrong() -> None:
    assert wrong_verdicts(np.random.default_rng(4), 150, 8, 3, 0.1) <= 0.05
    wrong, left, seeds = until_sure(
        np.random.default_rng(5), 40, 2.0, 0.1, 2
    )  # looking again until it is sure costs little
    assert wrong <= 0.05 and left < 0.5 and 2 < seeds < 5


def test_a_seeds_effect_stays_in_a_mean_and_drops_out_of_a_difference() -> None:
    rng = np.random.default_rng(5)
    effects = rng.normal(0, 3, 3)
    table = {f"t{i}": {s: Point(float(e + rng.normal(0, 0.1)), 0) for s, e in enumerate(effects)} for i in range(8)}
    moderated, plain = Moderated(table), estimate(p.value for p in table["t0"].values())
    one, difference = moderated.estimate("t0"), moderated.difference("t0", "t1")
    assert one is not None and plain is not None and difference is not None
    widths = [e.upper - e.lower for e in (one, plain, difference) if e.upper is not None and e.lower is not None]
    assert 0.9 < widths[0] / widths[1] < 1.1 and widths[2] < widths[0] / 10
    variance = moderated.variance("t0")
    assert variance is not None and moderated.own_freedom("t0") == 2 and variance.freedom < 2.2


def test_a_difference_is_of_the_seeds_both_have_and_its_interval_covers() -> None:
    table = _table(a=[1.0, 2.0, 3.0, 9.0], b=[0.0, 1.5, 1.5])
    difference = Moderated(table).difference("a", "b")
    assert difference is not None and difference.n == 3 and difference.mean == pytest.approx(1.0)
    rng, held = np.random.default_rng(6), []
    for _ in range(300):
        one = Moderated(normal(rng, 6, 3, 0.5, math.inf)).difference("t0", "t1")
        assert one is not None and one.lower is not None and one.upper is not None
        held.append(one.lower <= 0 <= one.upper)
    assert 0.92 <= np.mean(held) <= 0.99


def test_a_difference_of_trials_of_unequal_damage_covers_though_a_seed_does_more_to_one_of_them() -> None:
    rng, means = np.random.default_rng(9), (1.0, 2.0, 3.0, 4.0, 30.0, 45.0)
    tables = [trended(rng, means, 3, 0.9) for _ in range(200)]
    assert differences_covered(tables, "t0", "t5", means[0] - means[5]) >= 0.91
    assert differences_covered(tables, "t0", "t1", means[0] - means[1]) >= 0.91


def test_a_ruined_trial_among_others_does_not_widen_theirs() -> None:
    rng = np.random.default_rng(7)
    quiet = {f"t{i}": [float(v) for v in rng.normal(i, 1, 3)] for i in range(6)}
    before = Moderated(_table(**quiet))
    ruined = Moderated(_table(**quiet, ruined=[560.0, 600.0, 640.0]))
    for name in quiet:
        widths = [e.upper - e.lower for m in (before, ruined) if (e := m.estimate(name)) and e.upper and e.lower]
        assert widths[1] < 1.3 * widths[0]
    worst = ruined.estimate("ruined")
    assert worst is not None and worst.upper is not None and worst.upper - worst.mean > 20


def test_what_does_not_vary_has_an_interval_without_width() -> None:
    same = Moderated(_table(a=[2.0, 2.0, 2.0], b=[3.0, 3.0, 3.0])).estimate("a")
    assert same is not None and (same.lower, same.upper) == (2.0, 2.0)
    assert Moderated(_table(a=[2.0, 2.0])).probability_below("a", 2.0) == 1.0


def test_order_and_unit_do_not_matter_and_trials_may_have_different_seeds() -> None:
    table = _table(a=[1.0, 2.0, 2.5], b=[0.5, 0.1, 0.9], c=[4.0, 4.4, 3.1, 5.0, 4.1], d=[7.0, 6.1])
    forwards, backwards = Moderated(table), Moderated(dict(reversed(table.items())))
    scaled = Moderated({t: {s: Point(1000 * p.value, 0) for s, p in points.items()} for t, points in table.items()})
    for name in table:
        one, other, large = forwards.estimate(name), backwards.estimate(name), scaled.estimate(name)
        assert one is not None and other is not None and large is not None
        assert one.lower == pytest.approx(other.lower) and large.upper == pytest.approx(1000 * (one.upper or 0))
