"""Intervals of shares: by hand, and their coverage by simulation."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.special import expit, logit

from sweep.statistics import shares
from sweep.statistics.estimates import t_interval
from sweep.statistics.shares import (
    Point,
    ratio_estimate,
    seed_interval,
    share_difference,
    share_estimate,
    wilson,
)
from trainables import metrics

N = 100


def test_no_hit_in_any_seed_is_no_proof_of_zero() -> None:
    zero = share_estimate([Point(0.0, 192)] * 3)
    assert zero is not None and zero.lower == 0 and zero.upper == pytest.approx(1.96**2 / (576 + 1.96**2), rel=1e-3)


def test_where_seeds_vary_the_interval_is_students() -> None:
    values = np.array([0.2, 0.5, 0.8])
    lower, upper = seed_interval(values, np.full(3, 1000))
    assert (lower, upper) == pytest.approx((0.5 - 4.302653 * 0.3 / 3**0.5, 0.5 + 4.302653 * 0.3 / 3**0.5))


def test_one_seed_has_no_interval_and_none_no_estimate() -> None:
    one = share_estimate([Point(0.3, N)])
    assert one is not None and (one.mean, one.lower, one.upper, one.n) == (0.3, None, None, 1)
    assert share_estimate([]) is None


def coverage(mean: float, sd: float, n: int, seeds: int, runs: int) -> tuple[float, float, float]:
    """Share of simulations whose interval holds the true mean: t alone, t with Wilson's floor, Wilson alone."""
    rng = np.random.default_rng(1)
    size = mean * (1 - mean) / sd**2 - 1 if sd else 0.0
    true = rng.beta(mean * size, (1 - mean) * size, (runs, seeds)) if sd else np.full((runs, seeds), mean)
    values, samples = rng.binomial(n, true) / n, np.full((runs, seeds), n)
    plenty = np.full((runs, seeds), 10**9)  # with it the floor has no width
    pooled = values.mean(axis=1, keepdims=True).repeat(2, axis=1)  # without spread nothing but the floor is left
    ends = (
        seed_interval(values, plenty),
        seed_interval(values, samples),
        seed_interval(pooled, np.full((runs, 2), n * seeds // 2)),
    )
    t, floored, wilson = (float(np.mean((lower <= mean) & (mean <= upper))) for lower, upper in ends)
    return t, floored, wilson


def documented() -> list[tuple[float, float, int, int, tuple[float, float]]]:
    """The table of the module's docstring: mean, SD, n, seeds, and the coverage of t and t+W."""
    found = []
    for line in (shares.__doc__ or "").splitlines():
        if re.match(r"\s+\.\d+ +[.\d]+ +\d+ *\|", line):
            case, *columns = line.split("|")
            mean, sd, n = map(float, case.split())
            for seeds, column in zip((3, 5, 10), columns, strict=True):
                t, floored = map(float, column.split())
                found.append((mean, sd, int(n), seeds, (t, floored)))
    return found


def test_the_documented_coverage_is_what_simulation_gives() -> None:
    assert len(documented()) == 15
    for mean, sd, n, seeds, told in documented():
        t, floored, _ = coverage(mean, sd, n, seeds, 900)
        assert (t, floored) == pytest.approx(told, abs=0.035), (mean, sd, n, seeds)


def test_the_floored_interval_covers_and_wilsons_alone_does_not() -> None:
    """At three seeds: Wilson's interval leaves out too much, t with its floor is never far below .95."""
    worst = np.min([coverage(mean, sd, n, 3, 900) for mean, sd, n, seeds, _ in documented() if seeds == 3], axis=0)
    t, floored, wilson = worst
    assert floored > 0.86 and t < floored and wilson < 0.6


def test_fiellers_interval_covers_and_is_open_where_the_span_may_be_0() -> None:
    rng, held = np.random.default_rng(0), []
    for _ in range(1000):
        noise = rng.normal(0, 0.05, (3, 5))
        found = ratio_estimate(0.3 + noise[0] + noise[1], 0.6 + noise[0] + noise[2])
        held.append(found.lower is not None and found.upper is not None and found.lower <= 0.5 <= found.upper)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)
    assert ratio_estimate(np.array([0.1, 0.3, 0.2]), np.array([-0.5, 0.9, 0.3])).lower is None


def test_wilsons_interval_of_many_shares_is_that_of_each() -> None:
    shares_, samples = np.array([0.0, 0.3, 1.0]), np.array([100, 7, 450])
    each = [metrics.wilson(p, n) for p, n in zip(shares_, samples, strict=True)]
    assert np.stack(wilson(shares_, samples), axis=1) == pytest.approx(np.array(each), abs=1e-12)
    assert np.isnan(wilson(np.array(0.5), np.array(0))).all()


def test_a_share_of_no_counted_samples_has_students_interval_within_0_and_1() -> None:
    found = share_estimate([Point(v, 0) for v in (0.9, 0.95, 1.0)])
    mean, lower, _ = t_interval([0.9, 0.95, 1.0])
    assert found is not None and (found.mean, found.lower, found.upper) == (mean, pytest.approx(lower), 1.0)


@pytest.mark.parametrize("n", [100, 192])
def test_three_seeds_are_covered_as_promised_and_by_plain_t_they_are_not(n: int) -> None:
    """Shares .5 to .99 whose seeds vary by .28 on the logit scale, as those of the recorded sweep do."""
    rng, covered, plain = np.random.default_rng(0), [], []
    for mean in (0.5, 0.8, 0.9, 0.95, 0.99):
        seeds = expit(logit(mean) + 0.28 * rng.standard_normal((8000, 3)))
        true = expit(logit(mean) + 0.28 * rng.standard_normal(400_000)).mean()
        values, samples = rng.binomial(n, seeds) / n, np.full((8000, 3), n)
        for found, counted in ((covered, samples), (plain, np.zeros_like(samples))):
            lower, upper = seed_interval(values, counted)
            found.append(float(np.mean((lower <= true) & (true <= upper))))
    assert min(covered) >= 0.94, covered
    assert min(plain) < 0.935, "else the floor would be for nothing"


def test_plain_t_covers_far_less_than_promised_where_hits_are_few() -> None:
    t, floored, *_ = coverage(0.005, 0.005, 192, 3, 2000)
    assert t < 0.86 and floored >= 0.94


def paired_hits(
    a: np.ndarray, b: np.ndarray, n: int, paired: float, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Hits of two models on n samples, on the part `paired` of which one draw decides for both."""
    draws = rng.random((*a.shape, n)), rng.random((*a.shape, n))
    same = rng.random((*a.shape, n)) < paired
    second = np.where(same, draws[0], draws[1])
    return (draws[0] < a[..., None]).mean(axis=-1), (second < b[..., None]).mean(axis=-1)


@pytest.mark.parametrize("paired", [0.0, 0.9])
@pytest.mark.parametrize(("first", "second"), [(0.5, 0.5), (0.9, 0.9), (0.99, 0.95), (0.99, 0.99)])
def test_a_paired_difference_is_covered_however_closely_it_is_paired(
    first: float, second: float, paired: float
) -> None:
    rng, held, runs = np.random.default_rng(2), [], 1500
    noise = 0.28 * rng.standard_normal((runs, 3))
    a, b = expit(logit(first) + noise), expit(logit(second) + noise)
    plenty = 0.28 * rng.standard_normal(400_000)
    true = float((expit(logit(first) + plenty) - expit(logit(second) + plenty)).mean())
    for x, y in zip(*paired_hits(a, b, N, paired, rng), strict=True):
        found = share_difference(*({s: Point(float(v), N) for s, v in enumerate(row)} for row in (x, y)))
        assert found is not None and found.lower is not None and found.upper is not None
        held.append(found.lower <= true <= found.upper)
    assert np.mean(held) >= 0.94


def test_seeds_that_all_differ_by_the_same_do_not_prove_the_difference() -> None:
    a, b = ({seed: Point(value, N) for seed in (1, 2, 3)} for value in (0.9, 0.9))
    found = share_difference(a, b)
    assert found is not None and found.mean == 0 and found.upper == pytest.approx(1.96**2 / (300 + 1.96**2), rel=1e-3)
    assert found.lower == -found.upper
    unknown = share_difference({s: Point(p.value, 0) for s, p in a.items()}, b)
    assert unknown is not None and (unknown.lower, unknown.upper) == (0, 0), "what is no share of samples has no floor"
    assert share_difference(a, {9: Point(0.5, N)}) is None
