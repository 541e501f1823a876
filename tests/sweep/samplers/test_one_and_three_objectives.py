"""The sweep's own sampler with one objective and with three: its improvement is the one drawn, and it beats chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from sweep.samplers import Observation, Question
from sweep.samplers.gaussian_process import Data, GaussianProcess, fit
from sweep.samplers.improvement import Improvement
from sweep.samplers.nehvi import Nehvi
from sweep.samplers.outputs import Output
from sweep.space import Float, Objective, Settings
from sweep.statistics.estimates import areas, hypervolume

SQUARE = tuple(Float(name, 0.0, 1.0) for name in "abc")
PLACES = ((0.2, 0.3, 0.7), (0.8, 0.4, 0.6), (0.5, 0.9, 0.2))  # where each objective is best
TRIALS = 20


def costs_of(settings: Settings, count: int) -> list[float]:
    """The distances from as many places: less is better, and no trial is at all of them."""
    return [math.dist([float(settings[name]) for name in "abc"], place) for place in PLACES[:count]]


def question(count: int) -> Question:
    objectives = tuple(Objective(f"f{i}", "minimise") for i in range(count))
    return Question(SQUARE, objectives, (), reference=(1.0,) * count, trials=TRIALS)


def searched(count: int, seed: int, startup: int) -> tuple[float, Nehvi, list[float | None]]:
    """The hypervolume that the trials have, the sampler, and what it expected of the next two on the way."""
    sampler, found, gains = Nehvi(question(count), seed, startup=startup), [], []
    for number in range(TRIALS):
        settings = sampler.ask(number)
        found.append(costs_of(settings, count))
        told = {f"f{i}": value for i, value in enumerate(found[-1])}
        sampler.tell(Observation(number, settings, "COMPLETE", told))
        if number in (startup + 1, TRIALS - 1) and startup < TRIALS:
            gains.append(sampler.expected_gain(2))
    return hypervolume(np.array(found), (1.0,) * count, ["minimise"] * count), sampler, gains


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_it_comes_further_than_chance_and_expects_less_as_it_does(count: int) -> None:
    chance = [searched(count, seed, startup=TRIALS)[0] for seed in range(3)]
    chosen = [searched(count, seed, startup=8) for seed in range(3 if count < 3 else 1)]
    assert min(volume for volume, _, _ in chosen) > max(chance)
    for _, _, (early, late) in chosen:
        assert early is not None and late is not None and 0 <= late < early


def outputs(count: int) -> list[Output]:
    rng = np.random.default_rng(7)
    found = []
    for j in range(count):
        told = Data(
            rng.random((10, 2)),
            np.arange(2),
            np.full(2, 0.5 * math.log(2)),
            rng.standard_normal(10),
            np.zeros(10),
            np.ones(10),
        )
        found.append(Output(f"f{j}", 0.1, 1.0, GaussianProcess(told, fit(told).hyperparameters)))
    return found


@pytest.mark.parametrize("count", [1, 3])
def test_what_it_expects_as_shipped_is_the_mean_of_what_draws_add(count: int) -> None:
    """Of the few draws and places that three objectives get: within a tenth of the exact volumes that drawn figures add."""
    objectives, limits = outputs(count), np.full(count, 1.5)
    rng = np.random.default_rng(1)
    baseline, candidates = rng.random((3, 2)), rng.random((6, 2))
    normals = rng.standard_normal((count, 256, 3))
    model = Improvement(objectives, (), None, limits, baseline, normals)
    drawn = 256 if count < 3 else 16
    fronts, given = model._fronts[:drawn], [one.given(candidates, drawn) for one in model._objectives]
    added = np.zeros(len(candidates))
    for s, on in enumerate(fronts):
        normal = rng.standard_normal((400, len(candidates), count))
        figures = np.stack([mean[s] + normal[:, :, j] * sd for j, (mean, sd) in enumerate(given)], axis=2)
        sets = np.concatenate([np.broadcast_to(on, (400, len(candidates), *on.shape)), figures[:, :, None]], axis=2)
        added += (areas(sets, limits) - areas(on, limits)).mean(axis=0)
    expected, found = added / drawn, model(candidates)
    assert expected.max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0.1, atol=0.02 * expected.max())
    assert order(found)[0] == order(expected)[0], "the same trial is chosen"


def order(values: Sequence[float] | np.ndarray) -> list[int]:
    return np.argsort(-np.asarray(values)).tolist()
