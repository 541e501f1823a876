"""FID, KID, precision and recall against clean-fid, torch-fidelity and literal transcriptions, on the same features."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from cleanfid.fid import frechet_distance as clean_fid

from trainables.features._distances import neighbour_squared_distance, squared_distances
from trainables.metrics import METRICS, REFERENCE_SAMPLE, Evaluation, Reference
from trainables.metrics.frechet import frechet_distance, statistics
from trainables.relearning.products.features import features_of
from trainables.relearning.products.images import retain_set_of
from trainables.relearning.products.reference import reference_of

RELATIVE = 1e-3


def features(n: int, d: int, seed: int, shift: float = 0.0, spread: float = 1.0) -> np.ndarray:
    """Correlated, rectified features (n, d), as a network's are."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(d).normal(size=(d, d)) / d**0.5 * np.exp(-np.arange(d) / d * 4)
    return np.maximum(spread * rng.normal(size=(n, d)) @ mixing + shift, 0)


def figures(samples: np.ndarray, real: np.ndarray, forgotten: int = 0) -> dict[str, float]:
    """What the metrics say of samples (N, d) against real features (M, d); the first `forgotten` are of no retained kind."""
    n = len(samples)
    of_forgotten = torch.arange(n) < forgotten
    labels = torch.zeros(n, dtype=torch.int64)
    evaluation = Evaluation(
        images=torch.zeros(n, 1, 2, 2),
        conditions=labels,
        asked=labels,
        of_forgotten=of_forgotten,
        of_retained=~of_forgotten,
        predicted=labels,
        confidence=torch.ones(n),
        shows=of_forgotten,
        features=samples,
        reference=Reference(*statistics(real), real),
    )
    return METRICS["frechet"](evaluation) | METRICS["kid"](evaluation) | METRICS["precision_recall"](evaluation)


PAIRS = {
    "near": (features(300, 32, 1, 0.05), features(300, 32, 2)),
    "collapsed": (features(200, 32, 1, spread=0.2), features(200, 32, 2)),
    "noisy": (features(200, 64, 1, spread=2.0), features(200, 64, 2)),
    "fewer samples than features": (features(60, 96, 1, 0.05), features(60, 96, 2)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_fid_is_clean_fids(pair: str) -> None:
    samples, real = PAIRS[pair]
    assert figures(samples, real)["fid"] == pytest.approx(clean_fid(*statistics(samples), *statistics(real)), RELATIVE)


@pytest.mark.parametrize("pair", PAIRS)
def test_all_four_are_torch_fidelitys(pair: str) -> None:
    """Its KID is over random subsets: one of all samples is ours. Its first set is the samples, its second the real ones."""
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    samples, real = PAIRS[pair]
    theirs = [torch.from_numpy(samples), torch.from_numpy(real)]
    ours = figures(samples, real)
    fid = fid_statistics_to_metric(*map(fid_features_to_statistics, theirs), verbose=False)
    assert ours["fid"] == pytest.approx(fid["frechet_inception_distance"], RELATIVE)
    kid = kid_features_to_metric(*theirs, kid_subsets=1, kid_subset_size=len(samples), verbose=False)
    assert ours["kid"] == pytest.approx(kid["kernel_inception_distance_mean"], RELATIVE)
    both = prc_features_to_metric(*theirs, prc_neighborhood=3, prc_batch_size=10_000, save_cpu_ram=False, verbose=False)
    assert {name: ours[name] for name in ("precision", "recall")} == pytest.approx(
        {name: both[name] for name in ("precision", "recall")}, RELATIVE
    )


def test_precision_and_recall_are_not_each_other() -> None:
    """A collapsed model is precise and covers little; a noisy one the other way round."""
    collapsed, noisy = figures(*PAIRS["collapsed"]), figures(*PAIRS["noisy"])
    assert collapsed["precision"] > 0.9 > 0.5 > collapsed["recall"]
    assert noisy["recall"] > noisy["precision"]


def test_kid_is_the_papers_sum_at_unequal_counts() -> None:
    x, y = features(7, 5, 1, 0.3), features(11, 5, 2)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) / 5 + 1) ** 3

    def within(z: np.ndarray) -> float:
        return sum(k(a, b) for a, b in itertools.permutations(z, 2)) / (len(z) * (len(z) - 1))

    between = sum(k(a, b) for a in x for b in y) / (7 * 11)
    assert figures(x, y)["kid"] == pytest.approx(within(x) + within(y) - 2 * between, rel=1e-9)


def test_precision_and_recall_are_the_papers_counts_at_unequal_numbers() -> None:
    x, y = features(25, 3, 1, 0.1), features(40, 3, 2)

    def inside(point: np.ndarray, manifold: np.ndarray) -> bool:
        for i, centre in enumerate(manifold):
            to_others = sorted(np.linalg.norm(centre - other) for j, other in enumerate(manifold) if j != i)
            if np.linalg.norm(point - centre) <= to_others[2]:
                return True
        return False

    found = figures(x, y)
    assert found["precision"] == np.mean([inside(point, y) for point in x])
    assert found["recall"] == np.mean([inside(point, x) for point in y])
    assert 0 < found["precision"] < 1 and 0 < found["recall"] < 1 and found["precision"] != found["recall"]


def test_kid_is_unbiased_where_fid_is_not() -> None:
    """Both sets of one distribution, 40 of each: KID scatters about 0 and FID is far above it."""
    drawn = [figures(features(40, 16, 100 + i), features(40, 16, 200 + i)) for i in range(100)]
    kid, fid = (np.array([f[name] for f in drawn]) for name in ("kid", "fid"))
    assert abs(kid.mean()) < 3 * kid.std(ddof=1) / 10
    assert fid.min() > 0.05 and (kid < 0).any()


def test_they_are_over_retained_conditions_alone() -> None:
    samples, real = PAIRS["near"]
    others = np.concatenate([np.full((50, samples.shape[1]), 9.0), samples])
    assert figures(others, real, forgotten=50) == pytest.approx(figures(samples, real))


def test_the_reference_of_kid_precision_and_recall_is_its_first_thousand() -> None:
    samples = features(50, 8, 1)
    real = np.concatenate([features(REFERENCE_SAMPLE, 8, 2), np.full((200, 8), 7.0)])
    found, first = figures(samples, real), figures(samples, real[:REFERENCE_SAMPLE])
    assert [found[n] for n in ("kid", "precision", "recall")] == [first[n] for n in ("kid", "precision", "recall")]
    assert found["fid"] != first["fid"], "the Fréchet distance is over all of them"


@pytest.mark.parametrize(("n", "names"), [(1, set()), (3, {"fid", "kid"}), (4, {"fid", "kid", "precision", "recall"})])
def test_too_few_samples_leave_a_figure_out(n: int, names: set[str]) -> None:
    assert figures(features(n, 4, 1), features(30, 4, 2)).keys() == names


def test_frechet_distance_is_symmetric_and_copes_with_a_singular_covariance() -> None:
    a, b = statistics(features(10, 24, 1, 0.2)), statistics(features(200, 24, 2))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6)
    flat = (np.zeros(3), np.zeros((3, 3)))
    assert frechet_distance(flat, (np.ones(3), np.eye(3))) == pytest.approx(6)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_distances_are_those_of_differences(scale: float) -> None:
    a, b = (scale * features(n, 6, n) for n in (30, 1100))
    direct = ((a[:, None] - b) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared_distances(a, b), direct, atol=1e-9 * scale**2)
    own = np.sqrt(((b[:, None, :] - b) ** 2).sum(axis=2))
    np.testing.assert_allclose(np.sqrt(neighbour_squared_distance(b, 3)), np.sort(own, axis=1)[:, 3], atol=1e-5 * scale)


def test_a_made_reference_keeps_its_features_in_a_fixed_random_order(bench, experiment) -> None:  # type: ignore[no-untyped-def]
    """Digits come sorted by nothing, but another data set may: the first ones must be a fair sample."""
    network: Callable[[torch.Tensor], np.ndarray] = features_of(bench).extract
    as_they_come, kept = network(retain_set_of(bench).images).astype(np.float32), reference_of(bench).features
    assert kept.shape == as_they_come.shape and not np.array_equal(kept, as_they_come)
    np.testing.assert_allclose(np.sort(kept, axis=0), np.sort(as_they_come, axis=0), atol=1e-5)
