"""The parts of the sweep's own sampler against brute force, and what it is for: it finds fronts that chance does not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from sweep.samplers import Observation, Question, improvement, nehvi
from sweep.samplers.encoding import Array, Encoding
from sweep.samplers.gaussian_process import (
    Data,
    GaussianProcess,
    Priors,
    _gaps,
    _negative_log_posterior,
    fit,
    truncation_sites,
)
from sweep.samplers.improvement import Improvement, front
from sweep.samplers.nehvi import Nehvi
from sweep.samplers.optuna_samplers import OptunaSampler
from sweep.samplers.outputs import Output, Warp, corner
from sweep.space import Choice, Constraint, Float, Int, Objective, Parameter, Settings
from sweep.statistics.estimates import hypervolume

TREE: tuple[Parameter, ...] = (
    Choice("method", {"swap": (Float("rate", 1e-4, 1e-2, log=True),), "none": ()}),
    Int("steps", 1, 200, log=True),
)

EXPECTED = np.full(2, 0.5 * math.log(2))  # of the length scales of two parameters


def data(n: int = 25, seed: int = 0, known: float = 0.0) -> Data:
    """A wave along the first of two parameters; the second does nothing."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    y = np.sin(6 * x[:, 0]) + 0.05 * rng.standard_normal(n)
    return Data(x, np.arange(2), EXPECTED, (y - y.mean()) / y.std(), np.full(n, known), np.ones(n))


def test_points_stand_for_the_settings_they_were_made_of() -> None:
    encoding = Encoding(TREE)
    for settings in ({"method": "swap", "rate": 3e-3, "steps": 7}, {"method": "none", "steps": 200}):
        found = encoding.settings(encoding.point(settings))
        assert found == pytest.approx(settings) if "rate" not in settings else math.isclose(found["rate"], 3e-3)
        assert found["steps"] == settings["steps"] and isinstance(found["steps"], int)
    points = encoding.from_cube(np.random.default_rng(0).random((300, 3)))
    counts = np.bincount([int(encoding.settings(p)["steps"]) for p in points], minlength=201)
    assert counts[:1] == 0 and counts[1] > 20  # a log scale: 1 has log(1.5 / 0.5) / log(200.5 / 0.5) = 18 % of it
    assert (encoding.snap(points) == points).all()


def test_what_is_inactive_makes_no_difference() -> None:
    encoding = Encoding(TREE)
    off = np.array([[1.0, 0.1, 0.5], [1.0, 0.9, 0.5]])
    features, columns = encoding.embed(off)
    assert (features[0] == features[1]).all() and len(set(encoding.keys(off))) == 1
    on, _ = encoding.embed(np.array([[0.0, 0.1, 0.5], [0.0, 0.9, 0.5]]))
    arc = columns == 1
    assert ((on[0] - features[0])[arc] ** 2).sum() == pytest.approx(1.0)  # as far from any active value
    assert ((on[1] - features[0])[arc] ** 2).sum() == pytest.approx(1.0)
    assert ((on[0] - features[0])[columns == 0] ** 2).sum() == pytest.approx(1.0)  # another option


def test_the_gradient_of_the_fit_is_the_gradient() -> None:
    told = data(12)
    means, sds = Priors().of(EXPECTED)
    rest = (_gaps(told), told, told.values, np.ones((12, 12)), means, sds)
    theta = means + np.array([0.3, -0.2, 0.1, 0.4])
    _, gradient = _negative_log_posterior(theta, *rest)
    numeric = approx_fprime(theta, lambda t: _negative_log_posterior(t, *rest)[0], 1e-6)
    assert gradient == pytest.approx(numeric, abs=1e-3)


def test_a_process_finds_what_matters_and_how_noisy_it_is() -> None:
    told = data(40)
    hyper = fit(told).hyperparameters
    assert hyper.length_scales[1] > 3 * hyper.length_scales[0]
    assert 0.001 < hyper.noise < 0.03  # (0.05 / 0.7)² = 0.005
    process = GaussianProcess(told, hyper)
    at = process.at(told.features)
    assert np.abs(at.mean - told.values).max() < 0.3
    far = process.at(np.array([[0.5, 0.5], [9.0, 9.0]]))
    assert far.variance[1] > 10 * far.variance[0]


def test_known_noise_is_believed() -> None:
    exact, vague = data(20), data(20, known=4.0)
    hyper = fit(exact).hyperparameters
    at = exact.features[:1]
    assert GaussianProcess(vague, hyper).at(at).variance[0] > 4 * GaussianProcess(exact, hyper).at(at).variance[0]


def test_bounds_are_moments_of_what_they_cut_off() -> None:
    """Two bounded values against rejection sampling."""
    mean, covariance, noise = np.array([0.0, 0.5]), np.array([[1.0, 0.6], [0.6, 2.0]]), 0.3
    bounds = np.array([0.8, -30.0])
    sites, variances = truncation_sites(mean, covariance, bounds, noise)
    assert variances[1] > 1e4  # a bound far below tells nothing
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_normal(mean, covariance, 400_000)
    kept = drawn[(drawn + math.sqrt(noise) * rng.standard_normal(drawn.shape) > bounds).all(1)]
    posterior = np.linalg.inv(np.linalg.inv(covariance) + np.diag(1 / variances))
    found = posterior @ (np.linalg.inv(covariance) @ mean + sites / variances)
    assert found == pytest.approx(kept.mean(0), abs=0.02)
    assert np.diag(posterior) == pytest.approx(kept.var(0), abs=0.03)


def _outputs(count: int) -> list[Output]:
    rng = np.random.default_rng(3)
    found = []
    for j in range(count):
        x = rng.random((8, 2))
        told = Data(x, np.arange(2), EXPECTED, rng.standard_normal(8), np.zeros(8), np.ones(8))
        found.append(Output(f"f{j}", 0.2, 1.5, GaussianProcess(told, fit(told).hyperparameters)))
    return found


@pytest.mark.parametrize("count", [1, 2, 3])
def test_expected_improvement_agrees_with_drawing_everything(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The closed form against joint draws of baseline and candidate, hypervolumes counted at random places."""
    monkeypatch.setattr(improvement, "_CELLS", 4096)
    monkeypatch.setattr(improvement, "_FEW", 512)
    objectives, constraint = _outputs(count), _outputs(4)[3]
    rng = np.random.default_rng(0)
    baseline, candidates = rng.random((3, 2)), rng.random((2, 2))
    limits = np.full(count, 1.5)
    normals = rng.standard_normal((count + 1, 512 if count == 3 else 4096, 3))
    found = Improvement(objectives, [constraint], None, limits, baseline, normals)(candidates)
    places = np.concatenate([baseline, candidates])
    draws = []
    for output in (*objectives, constraint):
        at = output.at(places)
        factor = np.linalg.cholesky(output.process.covariance(at, at) + 1e-6 * np.eye(5))
        draws.append(output.centre + output.spread * (at.mean + rng.standard_normal((4096, 5)) @ factor.T))
    values, feasible = np.stack(draws[:-1], axis=2), draws[-1] <= 0
    lows = values.min((0, 1))
    drawn, cells = (4096, 500) if count < 3 else (512, 8000)
    counted = lows + (limits - lows) * rng.random((cells, count))
    volume, gained = np.prod(limits - lows), np.zeros(2)
    for v, ok in zip(values[:drawn], feasible[:drawn], strict=True):
        covers = (v[:, None, :] <= counted[None]).all(2) & ok[:, None]
        free = ~covers[:3].any(0)
        gained += [(covers[3] & free).mean(), (covers[4] & free).mean()]
    expected = volume * gained / drawn
    assert found == pytest.approx(expected, rel=0.15 if count < 3 else 0.25)


def test_coming_nearer_agrees_with_drawing_everything() -> None:
    """Of the output that is violated most, at the incumbent, the expected gain; of the others the chance of being no worse."""
    objectives, constraint = _outputs(2), _outputs(4)[3]
    rng = np.random.default_rng(1)
    incumbent, candidates = rng.random((1, 2)), rng.random((3, 2))
    expected_there = [o.centre + o.spread * float(o.at(incumbent).mean[0]) for o in (*objectives, constraint)]
    limits = np.array(expected_there[:2]) - (3.0, 0.2)  # the first is violated most
    normals = np.zeros((3, 1, 0))
    found = np.exp(
        Improvement(objectives, [constraint], None, limits, incumbent[:0], normals).log_nearer(candidates, incumbent)
    )
    assert limits[0] + 3.0 > expected_there[2] - 3.0, "nor is the constraint"
    allowed = [expected_there[0], expected_there[1], max(expected_there[2], 0.0)]
    drawn = []
    for output in (*objectives, constraint):
        at = output.at(candidates)
        drawn.append(
            output.centre + output.spread * (at.mean + np.sqrt(at.variance) * rng.standard_normal((100_000, 3)))
        )
    gain = np.maximum(allowed[0] - drawn[0], 0.0) / objectives[0].spread
    kept = (drawn[1] <= allowed[1]) & (drawn[2] <= allowed[2])
    assert found == pytest.approx(gain.mean(0) * kept.mean(0), rel=0.05)


def test_hypervolume_and_fronts_agree_with_the_ones_reported() -> None:
    rng = np.random.default_rng(1)
    values = rng.random((12, 2))
    assert len(front(np.repeat(values, 2, axis=0))) == len(front(values))
    found = Improvement(_outputs(2), [], None, np.ones(2), np.zeros((0, 2)), np.zeros((2, 1, 0)))
    found._fronts = [front(values)]
    assert found.hypervolume == pytest.approx(hypervolume(values, (1.0, 1.0), ("minimise", "minimise")))


def test_a_warp_keeps_what_is_searched_and_squashes_what_is_not() -> None:
    values = np.array([-2.0, 3.0, 5.0, 6.0, 500.0])
    warped = Warp(5.0, 5.0)(values)
    assert (warped[:3] == values[:3]).all() and (np.diff(warped) > 0).all() and warped[-1] < 30
    numeric = (Warp(5.0, 5.0)(values + 1e-6) - Warp(5.0, 5.0)(values - 1e-6)) / 2e-6
    assert Warp(5.0, 5.0).slope(values) == pytest.approx(numeric, rel=1e-4)


def test_the_corner_is_drawn_in_to_the_bound_of_a_constrained_objective() -> None:
    objectives = (Objective("robustness", "maximise"), Objective("fid_delta", "minimise"))
    question = Question(
        (Float("x", 0.0, 1.0),), objectives, (Constraint("fid_delta", at_most=5.0),), reference=(0.1, 50.0)
    )
    told = [
        Observation(i, {"x": 0.5}, "COMPLETE", {"robustness": 0.5, "fid_delta": f}, {"fid_delta": f / 5 - 1})
        for i, f in enumerate((2.0, 9.0, 4.0))
    ]
    found = corner(question, told)
    assert found.limits == pytest.approx([-0.1, 5.0]) and found.enforced == {"fid_delta"}
    assert corner(question, []).limits == pytest.approx(found.limits), "it is told the bound: no trial need tell it"
    other_side = replace(question, constraints=(Constraint("fid_delta", at_least=-50.0),))
    assert corner(other_side, told).enforced == frozenset() and corner(other_side, told).limits[1] == 50.0


@pytest.mark.parametrize("bounded", ["fid_delta", "size"])
def test_the_baseline_begins_with_what_keeps_its_bounds(bounded: str) -> None:
    """The more of `a` the more robust, and the worse fid_delta: beyond .5 a bound is broken, be it of an objective or not."""
    objectives = (Objective("robustness", "maximise"), Objective("fid_delta", "minimise"))
    question = Question(SQUARE, objectives, (Constraint(bounded, at_most=5.5),), reference=(0.0, 20.0))
    sampler = Nehvi(question, 0, startup=4)
    for number, a in enumerate((0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4, 1.0, 0.5)):
        figures = {"robustness": a, "fid_delta": 10 * a}
        excess = {bounded: 10 * a / 5.5 - 1 if bounded == "fid_delta" else (1.0 if a > 0.5 else -1.0)}
        sampler.tell(Observation(number, {"a": a, "b": 0.5}, "COMPLETE", figures, excess))
    beliefs = sampler._beliefs()
    for size in (3, 5, 10):
        rows = nehvi.baseline(beliefs, size)
        kept = [float(beliefs.observations[row].settings["a"]) <= 0.5 for row in rows]
        assert len(kept) == size and kept == [True] * min(size, 5) + [False] * max(size - 5, 0)


def branin_currin(x: Settings) -> tuple[float, float, float]:
    """Both to be minimised, and a disk to stay in (Gelbart et al., arXiv 1403.5607; Daulton et al., arXiv 2105.08195)."""
    a, b = float(x["a"]), float(x["b"])
    u, v = 15 * a - 5, 15 * b
    branin = (v - 5.1 / (4 * math.pi**2) * u**2 + 5 / math.pi * u - 6) ** 2
    branin += 10 * (1 - 1 / (8 * math.pi)) * math.cos(u) + 10
    bend = 1 - math.exp(-1 / (2 * b)) if b > 0 else 1.0
    currin = bend * (2300 * a**3 + 1900 * a**2 + 2092 * a + 60) / (100 * a**3 + 500 * a**2 + 4 * a + 20)
    return branin, currin, ((u - 2.5) ** 2 + (v - 7.5) ** 2 - 50) / 50


SQUARE = (Float("a", 0.0, 1.0), Float("b", 0.0, 1.0))
COSTS = (Objective("branin", "minimise"), Objective("currin", "minimise"))
DISK = Question(SQUARE, COSTS, (Constraint("disk", at_most=0.0),), reference=(80.0, 12.0), trials=30)


def observe(number: int, settings: Settings, noise: Array) -> Observation:
    branin, currin, disk = branin_currin(settings)
    figures = {"branin": branin + noise[0], "currin": currin + 0.1 * noise[1]}
    return Observation(number, settings, "COMPLETE", figures, {"disk": disk})


def searched(seed: int, startup: int, trials: int = 30) -> tuple[float, Nehvi]:
    """Hypervolume of the true values of the feasible trials, four workers; and the sampler afterwards."""
    sampler, rng = Nehvi(DISK, seed, startup=startup), np.random.default_rng(seed)
    points, open_trials = [], []
    for number in range(trials):
        settings = sampler.ask(number)
        open_trials.append((number, settings))
        branin, currin, disk = branin_currin(settings)
        if disk <= 0:
            points.append((branin, currin))
        if len(open_trials) == 4:
            sampler.tell(observe(*open_trials.pop(int(rng.integers(4))), rng.standard_normal(2)))
    return hypervolume(np.array(points), (80.0, 12.0), ("minimise", "minimise")), sampler


@pytest.mark.slow
def test_it_finds_a_constrained_front_that_quasi_random_trials_do_not() -> None:
    """Of the 608 there is; 30 trials, four side by side, noise of 1 and .1."""
    seeds = range(3)
    chance = [searched(seed, startup=1000)[0] for seed in seeds]
    chosen = [searched(seed, startup=6)[0] for seed in seeds]
    assert min(chosen) > max(chance) and np.mean(chosen) > np.mean(chance) + 80
    sampler = searched(0, startup=6, trials=12)[1]
    early = sampler.expected_gain(2)
    late = searched(0, startup=6)[1].expected_gain(2)
    assert early is not None and late is not None and 0 < late < early


def test_no_gain_is_told_before_there_is_a_model() -> None:
    sampler = Nehvi(DISK, 0)
    sampler.tell(observe(0, sampler.ask(0), np.zeros(2)))
    assert sampler.expected_gain(4) is None


def test_where_trials_fail_less_is_expected() -> None:
    """Everything right of .5 fails, and nothing else depends on it."""
    question = Question(SQUARE, (Objective("f", "minimise"),), (), reference=(2.0,))
    sampler = Nehvi(question, 0, startup=1000)
    for number in range(24):
        x = sampler.ask(number)
        failed = float(x["a"]) > 0.5
        figures = {} if failed else {"f": (float(x["b"]) - 0.6) ** 2 + 0.1 * math.sin(9 * number)}
        sampler.tell(Observation(number, x, "FAIL" if failed else "COMPLETE", figures))
    beliefs = sampler._beliefs()
    sides = sampler.encoding.embed(np.array([[0.2, 0.6], [0.85, 0.6]]))[0]
    baseline, normals = sides[:0], np.zeros((1, 64, 0))
    heeded, ignored = (
        Improvement(beliefs.objectives, (), failure, beliefs.corner.limits, baseline, normals)(sides)
        for failure in (beliefs.failure, None)
    )
    assert heeded[0] > 0.8 * ignored[0]
    assert heeded[1] < 0.2 * ignored[1]


def test_while_nothing_is_feasible_trials_come_nearer_than_chances_of_it_would_lead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bowl of twelve parameters that is feasible near its bottom alone: what is least known is most probably feasible."""
    names = "abcdefghijkl"
    question = Question(
        tuple(Float(n, 0.0, 1.0) for n in names),
        (Objective("f", "minimise"),),
        (Constraint("bowl", at_most=0.0),),
        reference=(9.0,),
    )

    def asked() -> float:
        excess = []
        for seed in range(3):
            sampler = Nehvi(question, seed, startup=8)
            for number in range(20):
                x = sampler.ask(number)
                over = 4 * sum((float(x[n]) - 0.6) ** 2 for n in names) - 0.02
                sampler.tell(Observation(number, x, "COMPLETE", {"f": float(x["a"])}, {"bowl": over}))
                excess += [over] if number >= 8 else []
        return float(np.mean(excess))

    cold = asked()
    monkeypatch.setattr(Nehvi, "_hunt", lambda sampler, number: sampler._by_model(number))  # as with an earlier study
    nearer = asked()
    monkeypatch.setattr(Observation, "feasible", True)
    chances = asked()
    assert nearer < 0.9 * chances and cold < 0.9 * chances


def test_while_nothing_is_feasible_and_no_earlier_study_tells_where_it_may_be_tpe_chooses() -> None:
    question = Question(SQUARE, (Objective("f", "maximise"),), (Constraint("c", at_most=0.0),), reference=(0.0,))
    told = [
        Observation(o.number, o.settings, "COMPLETE", o.figures, {"c": 1 + float(o.settings["a"])})
        for o in _study(1.0, 12)
    ]

    def next_of(told: list[Observation], earlier: list[list[Observation]]) -> tuple[Settings, Settings]:
        sampler, tpe = Nehvi(question, 5, earlier=earlier), OptunaSampler(question, 5, "tpe")
        for one in told:
            sampler.tell(one)
            tpe.tell(one)
        return sampler.ask(12), tpe.ask(12)

    chosen, tpes = next_of(told, [])
    assert chosen == pytest.approx(tpes)
    chosen, tpes = next_of(told, [told])
    assert chosen != pytest.approx(tpes)
    feasible = Observation(11, told[11].settings, "COMPLETE", told[11].figures, {"c": -1.0})
    chosen, tpes = next_of([*told[:11], feasible], [])
    assert chosen != pytest.approx(tpes)


def test_of_trials_that_promise_alike_the_cheap_ones_are_asked_for() -> None:
    """`a` decides the figure and `b` the cost, a hundredfold between its ends."""
    question = Question(SQUARE, (Objective("f", "minimise"),), (), reference=(2.0,))

    def asked(cost: float) -> list[float]:
        sampler = Nehvi(question, 0, startup=10)
        for number in range(22):
            x = sampler.ask(number)
            figures = {"f": (float(x["a"]) - 0.6) ** 2 + 0.02 * math.sin(9 * number)}
            core_s = 10 * cost ** float(x["b"])
            sampler.tell(Observation(number, x, "COMPLETE", figures, core_s=core_s))
        return [float(o.settings["b"]) for o in sampler._observations.values() if o.number >= 10]

    assert np.mean(asked(100.0)) < 0.3 < np.mean(asked(1.0))


def test_a_trial_stopped_under_attack_keeps_others_from_its_place() -> None:
    """The same trials, one of them known only to be no better than it was when it was stopped."""
    question = Question(SQUARE, (Objective("robustness", "maximise"),), (), reference=(0.0,))

    def expectation(bounded: bool) -> float:
        sampler = Nehvi(question, 0, startup=4)
        for number in range(8):
            x: Settings = {"a": number / 10, "b": 0.5}
            sampler.tell(Observation(number, x, "COMPLETE", {"robustness": number / 10}))
        if bounded:
            sampler.tell(Observation(8, {"a": 0.95, "b": 0.5}, "PRUNED", bounds={"robustness": 0.2}))
        beliefs = sampler._beliefs()
        one, place = beliefs.objectives[0], sampler.encoding.embed(np.array([[0.95, 0.5]]))[0]
        return -(one.centre + one.spread * float(one.at(place).mean[0]))

    assert expectation(False) > 0.7
    assert expectation(True) < 0.55


def _study(sign: float, count: int = 16) -> list[Observation]:
    """An earlier study of a hill, or of a hollow in the same place, ten times as high."""
    rng = np.random.default_rng(8)
    settings: list[Settings] = [{"a": float(a), "b": float(b)} for a, b in rng.random((count, 2))]
    heights = [10 * sign * math.exp(-8 * ((float(x["a"]) - 0.7) ** 2 + (float(x["b"]) - 0.3) ** 2)) for x in settings]
    return [Observation(i, x, "COMPLETE", {"f": h}) for i, (x, h) in enumerate(zip(settings, heights, strict=True))]


def _error(earlier: list[list[Observation]], trials: int) -> float:
    """Root mean square error of what is expected of the hill after a few trials of it, of a standard deviation of .25."""
    question = Question(SQUARE, (Objective("f", "maximise"),), (), reference=(0.0,))
    sampler = Nehvi(question, 0, startup=2, earlier=earlier)
    truth = [o.figures["f"] / 10 for o in _study(1.0, 80)]
    for o in _study(1.0, trials):
        sampler.tell(Observation(o.number, o.settings, "COMPLETE", {"f": o.figures["f"] / 10}))
    places = np.array([sampler.encoding.point(o.settings) for o in _study(1.0, 80)])
    one = sampler._beliefs().objectives[0]
    expected = -(one.centre + one.spread * one.at(sampler.encoding.embed(places)[0]).mean)
    return float(np.sqrt(np.mean((expected - truth) ** 2)))


def test_an_earlier_study_helps_and_one_that_misleads_is_soon_ignored() -> None:
    few, more = 6, 14
    assert _error([_study(1.0)], few) < 0.6 * _error([], few)
    assert _error([_study(-1.0)], more) < 1.3 * _error([], more)
    elsewhere = [Observation(i, {"c": 1.0}, "COMPLETE", {"f": 1.0}) for i in range(9)]
    assert _error([elsewhere], few) == _error([], few)
