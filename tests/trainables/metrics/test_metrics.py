"""Metrics against numbers worked out by hand or by another library."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from trainables import audits
from trainables.members import MemberFault
from trainables.metrics import METRICS, Evaluation, Figure, Metric, Reference, aurc, evaluate, wilson
from trainables.metrics.frechet import frechet_distance, statistics
from trainables.registry import outside, withdraw
from trainables.store import StoreUnusable

FORGOTTEN = 3


def evaluation(conditions: list[int], predicted: list[int], images: torch.Tensor | None = None) -> Evaluation:
    """Samples that the classifier calls `predicted`, with probability 0.6 each."""
    n, rng = len(conditions), np.random.default_rng(0)
    asked = torch.tensor(conditions) == FORGOTTEN
    return Evaluation(
        images=torch.from_numpy(rng.uniform(-1, 1, (n, 1, 8, 8))).float() if images is None else images,
        conditions=torch.tensor(conditions),
        of_forgotten=asked,
        of_retained=~asked,
        asked=torch.tensor(conditions),
        predicted=torch.tensor(predicted),
        confidence=torch.full((n,), 0.6),
        shows=torch.tensor(predicted) == FORGOTTEN,
        features=rng.normal(size=(n, 2)),
        reference=Reference(np.zeros(2), np.eye(2), rng.normal(size=(50, 2))),
    )


@pytest.mark.parametrize("c", [0.0, 0.25, 1.0])
def test_aurc_of_a_constant_curve_is_the_constant(c: float) -> None:
    assert aurc({0: c, 1: c, 10: c, 200: c}) == pytest.approx(c)


def test_aurc_by_hand() -> None:
    assert aurc({0: 0.0, 1: 1.0}) == pytest.approx(1 / 2)
    # log₂(k+1) is 0, 1, 3: (0 + .5)/2 · 1 + (.5 + 1)/2 · 2 = 1.75, over 3
    assert aurc({7: 1.0, 0: 0.0, 1: 0.5}) == pytest.approx(1.75 / 3)


def test_early_recovery_weighs_more_than_late_recovery() -> None:
    assert aurc({0: 0, 10: 1, 100: 1}) > aurc({0: 0, 10: 0, 100: 1})


@pytest.mark.parametrize("curve", [{1: 0.5, 10: 0.5}, {0: 0.5}, {}])
def test_aurc_needs_step_0_and_another(curve: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="step 0"):
        aurc(curve)


@pytest.mark.parametrize(("hits", "n"), [(0, 8), (8, 8), (1, 3), (64, 128), (127, 128), (990, 1000)])
def test_wilson_is_scipys(hits: int, n: int) -> None:
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_wilson_of_nothing_is_not_a_number() -> None:
    assert all(map(math.isnan, wilson(0.5, 0)))


def test_frechet_distance_of_diagonal_gaussians() -> None:
    """‖μ_a - μ_b‖² + Σ (√a_i - √b_i)²."""
    mean_a, mean_b = np.array([1.0, -2.0, 0.0]), np.array([0.0, 1.0, 0.5])
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 0.25])
    expected = ((mean_a - mean_b) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance((mean_a, np.diag(a)), (mean_b, np.diag(b))) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_to_itself_is_0() -> None:
    own = statistics(np.random.default_rng(0).normal(size=(200, 6)))
    assert frechet_distance(own, own) == pytest.approx(0, abs=1e-6)


def test_statistics_are_mean_and_unbiased_covariance() -> None:
    features = np.array([[0.0, 0.0], [2.0, 4.0]])
    mean, covariance = statistics(features)
    assert mean.tolist() == [1, 2]
    assert covariance.tolist() == [[2, 4], [4, 8]]


def test_accuracies_by_hand() -> None:
    figures = METRICS["accuracy"](evaluation([3, 3, 3, 3, 1, 2, 4, 5, 6], [3, 1, 1, 1, 1, 2, 4, 5, 3]))
    assert figures == pytest.approx(
        {"relearning_accuracy": 1 / 4, "unlearning_accuracy": 3 / 4, "retain_accuracy": 4 / 5}
    )


def of_prompts() -> Evaluation:
    """Six prompts that ask for (concept, style): the forgotten concept 3 in two styles, and others, one of which says none."""
    samples = evaluation([0, 1, 2, 3, 4, 5], [3, 1, 1, 3, 2, -1])
    return replace(
        samples,
        of_forgotten=torch.tensor([1, 1, 0, 0, 0, 0]).bool(),
        of_retained=torch.tensor([0, 0, 1, 1, 1, 1]).bool(),
        asked=torch.tensor([3, 3, 1, 2, 2, -1]),
        other_asked=torch.tensor([[0], [1], [0], [1], [-1], [1]]),
        other_predicted=torch.tensor([[0], [0], [0], [1], [1], [-1]]),
        of_anchor=torch.tensor([0, 0, 1, 1, 0, 0]).bool(),
    )


def test_of_prompts_accuracies_are_of_what_each_asks_for_in_the_forgotten_facet_and_in_the_others() -> None:
    figures = evaluate(of_prompts())
    assert figures["unlearning_accuracy"] == 1 / 2
    assert figures["retain_accuracy"] == pytest.approx(2 / 3), "the prompt that says no concept is not among them"
    assert figures["cross_facet_accuracy"] == pytest.approx(3 / 5), (
        "over forgotten and retained prompts that say a style"
    )
    assert figures["anchors_as_forgotten"] == 1 / 2
    assert figures["forgotten_top_class"] == 1, "the lower one of equals"


def test_what_only_some_prompts_were_sampled_of_has_no_figure_over_all() -> None:
    forgotten_alone = replace(of_prompts(), of_retained=torch.zeros(6).bool(), of_anchor=torch.zeros(6).bool())
    assert not evaluate(forgotten_alone).keys() & {"cross_facet_accuracy", "anchors_as_forgotten", "retain_accuracy"}
    nothing = replace(of_prompts(), predicted=torch.full((6,), -1))
    assert evaluate(nothing)["forgotten_top_class"] == -1, "most show none of the labels"


def test_the_fid_is_over_retained_conditions_alone() -> None:
    samples = evaluation([3, 3, 1, 2, 4, 5], [0] * 6)
    assert METRICS["frechet"](samples)["fid"] == pytest.approx(
        frechet_distance(statistics(samples.features[2:]), (samples.reference.mean, samples.reference.covariance))
    )


def test_figures_that_do_not_apply_are_left_out() -> None:
    figures = evaluate(evaluation([3, 3, 3], [1, 1, 3]))
    assert "retain_accuracy" not in figures and "fid" not in figures
    assert {"relearning_accuracy", "forgotten_diversity"} <= figures.keys()
    assert evaluate(evaluation([1, 2], [1, 2])).keys() == {"retain_accuracy", "fid", "kid"}


def test_what_the_forgotten_condition_yields_now() -> None:
    figures = METRICS["forgotten"](evaluation([3, 3, 3, 3, 1, 1], [8, 8, 8, 1, 5, 5]))
    assert figures["forgotten_top_class"] == 8
    assert figures["forgotten_top_share"] == pytest.approx(3 / 4)
    assert figures["forgotten_confidence"] == pytest.approx(0.6)
    assert figures["forgotten_diversity"] > 0.3


def test_blank_images_are_seen_as_diversity_0() -> None:
    blank = torch.full((4, 1, 8, 8), -1.0)
    assert METRICS["forgotten"](evaluation([3, 3, 3, 3], [0] * 4, blank))["forgotten_diversity"] == 0


def test_the_distance_of_forgotten_samples_is_1_for_images_spaced_like_real_ones_and_grows_away_from_them() -> None:
    line = np.stack([np.arange(50.0), np.zeros(50)], axis=1)  # real images one unit apart
    reference = Reference(np.zeros(2), np.eye(2), line)
    near, far = evaluation([3] * 5, [1] * 5), evaluation([3] * 5, [1] * 5)
    near = replace(near, features=np.add(line[:5], [0.0, 1.0]), reference=reference)
    far = replace(far, features=np.add(line[:5], [0.0, 8.0]), reference=reference)
    assert METRICS["forgotten"](near)["forgotten_distance"] == pytest.approx(1)
    assert METRICS["forgotten"](far)["forgotten_distance"] == pytest.approx(8)


def test_the_distance_of_instances_is_that_to_their_nearest_sample() -> None:
    """An instance is as far away as the nearest of three flat samples, pixel by pixel."""
    images = torch.stack([torch.full((1, 8, 8), v) for v in (-1.0, 0.0, 0.5)])
    asked = evaluation([0, 0, 0], [0, 0, 0], images)
    asked = replace(asked, of_forgotten=torch.ones(3, dtype=torch.bool), prompted=False)
    for value, distance in ((-1.0, 0.0), (1.0, 0.5), (0.2, 0.2)):
        one = replace(asked, instances=torch.full((1, 1, 8, 8), value))
        assert evaluate(one)["instance_distance"] == pytest.approx(distance, abs=1e-6)
    many = torch.randn((60, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    one = replace(asked, images=many, of_forgotten=torch.ones(60, dtype=torch.bool), instances=many[7:40])
    assert METRICS["instances"](one) == {"instance_distance": 0.0}, "copies, exactly"
    few = METRICS["instances"](replace(one, at_every_rung=7))["instance_distance"]
    assert (
        few
        == METRICS["instances"](replace(one, images=many[:7], of_forgotten=torch.ones(7).bool()))["instance_distance"]
    )
    assert few > 0, "the nearest of more is nearer: no figure of fewer samples could be held against it"
    assert "instance_distance" not in evaluate(asked)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"over": "retain"}, "over 'retain' is none of 'forgotten', 'retained'"),
        ({"direction": "minimize"}, "direction 'minimize' is none of"),
        ({"samples": "all"}, "samples 'all' is none of"),
    ],
)
def test_a_figure_declared_in_words_that_mean_nothing_is_refused(facts: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Metric("edges", lambda _: {}, (Figure("edges", "how many edges", **facts),))


def test_a_metric_gives_what_it_declares_and_shares_within_their_range() -> None:
    figures = (Figure("edges", "share of pixels on an edge", unit="share"),)
    assert Metric("edges", lambda _: {"edges": 1.0}, figures)(None) == {"edges": 1.0}
    with pytest.raises(ValueError, match=r"'edges' as 1\.6; a share lies between 0 and 1"):
        Metric("edges", lambda _: {"edges": 1.6}, figures)(None)
    with pytest.raises(ValueError, match="'corners', which is not among its FIGURES"):
        Metric("edges", lambda _: {"corners": 0.5}, figures)(None)


def a_short_list(_: object) -> dict[str, float]:
    return {"edges": [][0]}


def test_what_a_metric_raises_names_it_and_its_line() -> None:
    line = a_short_list.__code__.co_firstlineno + 1
    with pytest.raises(MemberFault, match=rf"metric 'edges': IndexError: .* \(line {line} of .*test_metrics\.py\)"):
        Metric("edges", a_short_list, ())(None)


@pytest.mark.parametrize("given", [0.5, None, {"edges": None}, {"edges": torch.ones(3)}])
def test_what_a_metric_gives_is_numbers_by_name(given: object) -> None:
    figures = (Figure("edges", "how many edges"),)
    with pytest.raises(MemberFault, match=r"metric 'edges' gives .*; return .*test_metrics\.py\)"):
        Metric("edges", lambda _: given, figures)(None)


def test_an_audits_fault_is_called_an_audits() -> None:
    @audits.register("edges", ())
    def edges(_: object) -> dict[str, float]:
        return {"edges": 1.0}

    try:
        with pytest.raises(MemberFault, match=r"^audit 'edges' gives 'edges', which is not among"):
            audits.AUDITS["edges"](None)
    finally:
        withdraw(one for one in outside() if one.name == "edges")


def test_what_the_store_raises_is_no_metrics_fault() -> None:
    def read(_: object) -> dict[str, float]:
        raise StoreUnusable("the disk is full")

    with pytest.raises(StoreUnusable):
        Metric("edges", read, ())(None)
