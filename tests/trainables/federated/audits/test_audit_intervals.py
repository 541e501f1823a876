"""Exact intervals against scipy's, and what pairs of rates prove."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from trainables.audits import auc
from trainables.federated.audits.intervals import (
    auc_interval,
    binomial,
    clustered_interval,
    epsilon_of_rates,
)


@pytest.mark.parametrize(("hits", "n"), [(0, 8), (8, 8), (1, 3), (33, 60), (64, 128)])
def test_the_binomial_interval_is_scipys_exact_one(hits: int, n: int) -> None:
    expected = binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert binomial(hits, n) == pytest.approx((expected.low, expected.high))


def test_sixty_models_at_chance_are_known_to_thirteen_hundredths() -> None:
    low, high = binomial(30, 60)
    assert (high - low) / 2 == pytest.approx(0.13, abs=0.003)
    with pytest.raises(ValueError, match="3 of 2 is no share"):
        binomial(3, 2)


@pytest.mark.parametrize(("n", "recorded"), [(30, 2.03), (100, 3.28), (1000, 5.60)])
def test_what_a_perfect_attack_on_so_many_models_proves(n: int, recorded: float) -> None:
    assert epsilon_of_rates(n, n, 0, n) == pytest.approx(recorded, abs=0.005)
    assert epsilon_of_rates(n // 2, n, n // 2, n) == 0
    assert epsilon_of_rates(0, n, n, n) == 0, "an attack that is always wrong is another's to turn round"


def test_rates_of_a_private_answer_seldom_prove_more_than_its_epsilon() -> None:
    """Randomised response of ε = 1: above it in at most one run of twenty."""
    rng, share = np.random.default_rng(0), np.e / (1 + np.e)
    found = [epsilon_of_rates(rng.binomial(200, share), 200, rng.binomial(200, 1 - share), 200) for _ in range(1000)]
    assert np.mean(np.array(found) > 1) <= 0.05 and np.mean(found) > 0.4


def test_the_auc_is_mann_and_whitneys_and_its_interval_covers() -> None:
    rng, covered, shift = np.random.default_rng(0), 0, 0.7
    truth = 0.6896916  # Φ(.7 / √2)
    for _ in range(400):
        members, strangers = rng.normal(shift, 1, 60), rng.normal(0, 1, 50)
        area, low, high = auc_interval(members, strangers)
        assert area == pytest.approx(auc(members, strangers))
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.98
    area, low, high = auc_interval(np.zeros(5), np.zeros(5))
    assert area == 0.5 and low < 0.2 and high > 0.8, "ties tell nothing"


def test_perfect_separation_leaves_an_interval_and_less_than_that_a_wider_one() -> None:
    """Of n and n separated scores, as of n guesses that were right: .025^(1/n)."""
    for n in (10, 50):
        area, low, high = auc_interval(np.arange(n) + 100.0, np.arange(n))
        assert (area, high) == (1, 1) and low == pytest.approx(0.025 ** (1 / n))
        assert auc_interval(np.arange(n), np.arange(n) + 100.0) == pytest.approx((0, 0, 1 - low))
    once = np.arange(50) + 100.0
    once[0] = 48.5  # below one stranger of fifty
    assert auc_interval(once, np.arange(50))[1] < 0.97


@pytest.mark.parametrize("missed", [0.02, 0.05])
def test_the_aucs_interval_covers_where_scores_are_nearly_separated(missed: float) -> None:
    """Members are found for certain, but for a few that are not at all: a normal interval holds the truth in 64 or 93 %."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        members = np.where(rng.random(50) < missed, -9.0, 9.0)
        _, low, high = auc_interval(members, rng.normal(0, 1, 60))
        covered += low <= 1 - missed <= high
    assert covered / 400 >= 0.95


def test_guesses_in_clusters_are_worth_as_many_as_there_are_clusters_of_one_mind() -> None:
    rng = np.random.default_rng(0)
    agreeing = 2 * (rng.random((400, 30)) < 0.7)
    apart = (rng.random((400, 30, 2)) < 0.7).sum(axis=2)
    for pairs in (agreeing, apart):
        intervals = [clustered_interval(one, 2) for one in pairs]
        assert np.mean([low <= 0.7 <= high for low, high in intervals]) >= 0.93
    as_if_independent = [binomial(int(one.sum()), 60) for one in agreeing]
    assert np.mean([low <= 0.7 <= high for low, high in as_if_independent]) < 0.9, "what pairs taken for two would be"
    widths = [np.mean([np.diff(clustered_interval(one, 2)) for one in pairs]) for pairs in (apart, agreeing)]
    assert widths[1] == pytest.approx(2**0.5 * widths[0], rel=0.12)
    assert clustered_interval(np.full(30, 2), 2) == binomial(30, 30), "all right: as many as there are clusters"
    assert clustered_interval(np.array([0, 2]), 2)[0] < 0.1
