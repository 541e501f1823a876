"""Figures on real digits and on rows whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import parties_of, rows_of

from trainables.data import DATASETS
from trainables.federated.figures.agreement import accuracies, cross_agreement, load_classifiers, train_classifiers
from trainables.federated.figures.correlation import correlation_errors
from trainables.federated.figures.fidelity import frechet, party_frechets
from trainables.federated.figures.utility import utility, utility_gap
from trainables.federated.parties import Output, Parties, Party, image_parties

HALVES = image_parties((1, 8, 8), "halves")


def digits(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    images = getattr(DATASETS["digits"].load(), split)  # type: ignore[union-attr]
    return images.images.flatten(1), images.conditions


def test_halves_of_real_digits_agree_and_shuffled_ones_do_not() -> None:
    """Trained on 359 public rows: .78 of real rows; a tenth of shuffled ones, as chance has it."""
    classifiers = train_classifiers(HALVES, *digits("public"), 10, 0)
    rows, labels = digits("test")
    assert min(accuracies(classifiers, rows, labels)) > 0.8
    assert cross_agreement(classifiers, rows) > 0.72
    assert 0.05 < cross_agreement(classifiers, HALVES.shuffled(rows, 0)) < 0.16
    again = load_classifiers(HALVES, 10, classifiers.state_dict())
    assert cross_agreement(again, rows) == cross_agreement(classifiers, rows)
    other = train_classifiers(HALVES, *digits("public"), 10, 0)
    assert all(torch.equal(a, b) for a, b in zip(classifiers.parameters(), other.parameters(), strict=True))


def test_shuffled_parties_keep_their_own_distances_and_lose_the_joint_one() -> None:
    (public, _), (rows, _) = digits("public"), digits("test")
    own, shuffled = party_frechets(HALVES, rows, public), party_frechets(HALVES, HALVES.shuffled(rows, 0), public)
    assert shuffled == pytest.approx(own, rel=1e-6)
    assert frechet(HALVES.shuffled(rows, 0), public) > 3 * frechet(rows, public)
    assert frechet(rows, rows) == pytest.approx(0, abs=1e-6)
    features = frechet(rows, public, lambda x: x[:, :5].double().numpy())
    assert 0 < features < frechet(rows, public)
    with pytest.raises(ValueError, match="a Fréchet distance needs two rows of each, not 1 and 359"):
        frechet(rows[:1], public[:360])


def test_correlations_across_parties_are_told_from_those_within() -> None:
    parties = Parties((Party("a", (0, 2), (Output("free", 2),)), Party("b", (1, 3), (Output("free", 2),))))
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4000, 1, generator=generator)
    real = z + 0.5 * torch.randn(4000, 4, generator=generator)  # all pairs correlated by .8
    across, within = correlation_errors(parties, parties.shuffled(real, 0), real)
    assert across == pytest.approx(0.8, abs=0.03) and within == pytest.approx(0, abs=1e-6)
    assert correlation_errors(parties, real, real) == pytest.approx((0, 0), abs=1e-9)
    constant = real.clone()
    constant[:, 0] = 1.0
    assert all(np.isfinite(correlation_errors(parties, constant, real)))


def test_the_utility_gap_is_none_of_real_rows_and_large_of_rows_without_meaning() -> None:
    train, test = ((x.numpy(), y.numpy()) for x, y in (digits("train"), digits("test")))
    half = (train[0][::2], train[1][::2]), (train[0][1::2], train[1][1::2])
    assert abs(utility_gap(half[0], half[1], test, 0)) < 0.05
    shuffled = train[0], np.random.default_rng(0).permutation(train[1])
    assert utility_gap(train, shuffled, test, 0) > 0.6
    one_label = train[0], np.zeros_like(train[1])
    assert 0.7 < utility_gap(train, one_label, test, 0) <= 1
    figures = utility(*train, *test, 0)
    assert figures.accuracy > 0.9 and figures.macro_f1 == pytest.approx(figures.accuracy, abs=0.03)


def test_one_party_has_nobody_to_agree_with() -> None:
    one = parties_of(1)
    classifiers = train_classifiers(one, rows_of(20, one), torch.zeros(20, dtype=torch.int64), 2, 0, steps=1)
    with pytest.raises(ValueError, match="one party has nobody to agree with"):
        cross_agreement(classifiers, rows_of(5, one))
