"""The one-run bound holds for what is private, finds what is not, and pools seeds; figures against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from trainables.federated.audits.one_run import Run, audit, guessed, lower_bound, p_value, views

DELTA = 1e-5


def test_the_p_value_is_the_theorems() -> None:
    """Written down anew, term by term."""
    for right, guesses, canaries, eps, delta in (
        (70, 100, 400, 0.5, 1e-4),
        (9, 10, 50, 1.0, 1e-2),
        (0, 4, 20, 0.0, 1e-3),
    ):
        q = math.exp(eps) / (1 + math.exp(eps))
        tail = sum(binom.pmf(k, guesses, q) for k in range(right, guesses + 1))
        worst = max(
            (sum(binom.pmf(k, guesses, q) for k in range(right - i, right)) / i for i in range(1, right + 1)),
            default=0.0,
        )
        assert p_value(right, guesses, canaries, eps, delta) == pytest.approx(
            min(1, tail + 2 * canaries * delta * worst)
        )


@pytest.mark.parametrize(
    ("right", "guesses", "canaries", "recorded"),
    [
        (200, 200, 600, 4.18),
        (120, 200, 600, 0.16),
        (600, 600, 1797, 5.25),
        (2000, 2000, 10000, 6.22),
        (100, 200, 600, 0.0),
    ],
)
def test_recorded_bounds(right: int, guesses: int, canaries: int, recorded: float) -> None:
    assert lower_bound(right, guesses, canaries, DELTA, 0.05) == pytest.approx(recorded, abs=0.01)


def answers(epsilon: float, included: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Randomised response (Warner 1965) to whether each canary is in: exactly ε-private."""
    lies = rng.random(len(included)) > math.exp(epsilon) / (1 + math.exp(epsilon))
    return (included ^ lies) + 1e-3 * rng.random(len(included))


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
def test_of_randomised_response_it_exceeds_epsilon_in_at_most_one_run_of_twenty(epsilon: float) -> None:
    """Over two scores, three numbers of guesses, and 2,000 runs; and it comes near ε where there are many canaries."""
    rng, above = np.random.default_rng(0), 0
    for _ in range(2000):
        included = rng.random(200) < 0.5
        scores = {"answers": answers(epsilon, included, rng), "noise": rng.random(200)}
        above += audit([Run(scores, included)], DELTA).epsilon > epsilon
    assert above <= 0.05 * 2000
    included = rng.random(20000) < 0.5
    many = audit([Run({"answers": answers(epsilon, included, rng)}, included)], 1e-9)
    assert many.epsilon == pytest.approx(epsilon, abs=0.3) and many.epsilon <= epsilon + 0.1


def test_an_audit_that_forgot_how_often_it_looked_would_be_caught() -> None:
    """The same simulation, the level undivided over twenty scores: it exceeds in more than one run of twenty."""
    rng, above = np.random.default_rng(1), 0
    for _ in range(300):
        included = rng.random(100) < 0.5
        scores = {f"{number}": rng.random(100) for number in range(20)}
        above += audit([Run(scores, included)], DELTA, looks=1).epsilon > 0
    assert above > 0.2 * 300


def test_where_nothing_is_private_it_reaches_its_ceiling() -> None:
    included = np.random.default_rng(0).random(400) < 0.5
    found = audit([Run({"truth": included.astype(float) + np.linspace(0, 0.1, 400)}, included)], DELTA)
    assert found.right == found.guesses and found.epsilon == found.ceiling
    assert found.epsilon == pytest.approx(max(lower_bound(r, r, 400, DELTA, 0.05 / 3) for r in (40, 100, 200)))
    assert (found.score, found.canaries, found.confidence) == ("truth", 400, pytest.approx(0.95))


def test_guesses_are_two_sided() -> None:
    """The highest are guessed to be in, the lowest to be out; those between are left alone."""
    included = np.array([True, False, True, False, True, False, True, False])
    scores = np.array([9.0, 8.0, 7.0, 5.0, 5.5, 3.0, 2.0, 1.0])
    assert guessed(scores, included, 0.5) == (4, 2)  # in: 9 and 8, of which 9; out: 1 and 2, of which 1
    assert guessed(scores, included, 0.25) == (2, 2)  # 9, and 1
    assert guessed(-scores, included, 0.25) == (2, 0)


def test_seeds_are_pooled_as_one_run_with_all_their_canaries() -> None:
    rng, runs = np.random.default_rng(2), []
    for _ in range(4):
        included = rng.random(200) < 0.5
        runs.append(Run({"answers": answers(1.5, included, rng)}, included))
    pooled = audit(runs, DELTA)
    assert pooled.canaries == 800 and pooled.guesses in (80, 200, 400)
    counts = [guessed(run.scores["answers"], run.included, pooled.guesses / 800) for run in runs]
    assert pooled.right == sum(right for _, right in counts)
    assert pooled.epsilon == pytest.approx(lower_bound(pooled.right, pooled.guesses, 800, DELTA, 0.05 / 3))
    assert pooled.ceiling > audit(runs[:1], DELTA).ceiling


def test_two_views_share_one_level() -> None:
    rng = np.random.default_rng(3)
    included = rng.random(300) < 0.5
    weak, strong = (Run({"s": answers(e, included, rng)}, included) for e in (0.1, 3.0))
    both = views({"published": [weak], "critics": [strong]}, DELTA)
    alone = audit([strong], DELTA)
    assert 0 < both["critics"].epsilon < alone.epsilon and both["published"].epsilon < both["critics"].epsilon
    assert both["critics"].epsilon == pytest.approx(audit([strong], DELTA, level=0.025).epsilon, abs=1e-6)
    assert both["critics"].confidence == both["published"].confidence == pytest.approx(0.95)
