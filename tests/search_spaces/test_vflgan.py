"""The two questions of federated trials: both arms search the same, begin alike, and every end of a range can be trained."""

from __future__ import annotations

import dataclasses

import pytest

from search_spaces.vflgan_privacy import SPACE as PRIVACY
from search_spaces.vflgan_quality import SPACE as QUALITY
from sweep.federated.question import check, mechanism_of, under, wanted_epsilon
from sweep.space import Choice, SearchSpace
from trainables.federated.recipes import recipe


@pytest.mark.parametrize("space", [PRIVACY, QUALITY], ids=lambda space: space.name)
def test_both_arms_search_the_same_ranges_and_begin_with_the_same_settings(space: SearchSpace) -> None:
    vflgan, vertigan = space.arms
    parameters = {p.name: p for p in vflgan.parameters}
    assert parameters.pop("private_weight").low == 0, "the paper's base, without private heads, is among them"
    assert tuple(parameters.values()) == vertigan.parameters and set(space.shared) == set(parameters)
    for point, other in zip(vflgan.start_points, vertigan.start_points, strict=True):
        assert {name: value for name, value in point.items() if name != "private_weight"} == other


@pytest.mark.parametrize("space", [PRIVACY, QUALITY], ids=lambda space: space.name)
def test_every_end_of_every_range_makes_nets_and_a_schedule(space: SearchSpace) -> None:
    for arm in space.arms:
        for point in arm.start_points:
            for parameter in arm.parameters:
                values = parameter.branches if isinstance(parameter, Choice) else (parameter.low, parameter.high)
                for value in values:
                    made = recipe(arm.method, {**arm.held, **point, parameter.name: value})
                    assert made.mechanism == mechanism_of(arm)


def test_a_mechanism_brings_the_settings_that_it_has() -> None:
    """What of the question is under another one: its clipping norm and its ε are searched, held, or gone."""
    private = under(QUALITY, "record", 10.0)
    assert {arm.held["target_epsilon"] for arm in private.arms} == {10.0} and {*map(mechanism_of, private.arms)} == {
        "record"
    }
    claimed = under(PRIVACY, "published", 10.0)
    ranges = {p.name: p for p in claimed.arms[0].parameters}
    assert "clip_norm" not in ranges and (ranges["target_epsilon"].low, ranges["target_epsilon"].high) == (3.0, 10.0)
    assert max(point["target_epsilon"] for point in claimed.arms[0].start_points) == 10.0
    assert all("clip_norm" not in point for point in claimed.arms[0].start_points)
    small = {p.name: p for p in under(PRIVACY, "", 1.0).arms[0].parameters}["target_epsilon"]
    assert (small.low, small.high) == (0.1, 1.0), "a range that begins above the ε wanted begins at a tenth of it"
    assert under(PRIVACY, "", 300.0) == under(PRIVACY, ""), "the question's own ε, which is smaller, holds"
    bare = under(PRIVACY, "none", 10.0)
    assert "target_epsilon" not in {p.name for p in bare.arms[0].parameters} and "target_epsilon" not in bare.shared
    with pytest.raises(Exception, match="proves no epsilon"):
        check(bare)


def test_what_is_held_tells_questions_apart() -> None:
    """By their fingerprints: a run under one mechanism is not gone on with under another."""
    assert under(QUALITY, "published", 10.0).fingerprint() != QUALITY.fingerprint()
    arms = tuple(dataclasses.replace(arm, held={}) for arm in QUALITY.arms)
    assert dataclasses.replace(QUALITY, arms=arms).fingerprint() != QUALITY.fingerprint()


@pytest.mark.parametrize("epsilon", [1.0, 10.0, 50.0])
def test_points_that_a_search_begins_with_stay_unlike_under_a_smaller_epsilon(epsilon: float) -> None:
    for arm in under(PRIVACY, "", epsilon).arms:
        target = {p.name: p for p in arm.parameters}["target_epsilon"]
        first, second, third = (point["target_epsilon"] for point in arm.start_points)
        assert target.low <= third < second < first == epsilon == target.high


def test_a_question_without_an_epsilon_wants_100_and_its_own_smaller_one_is_never_raised() -> None:
    assert wanted_epsilon(under(QUALITY, "record")) == wanted_epsilon(under(PRIVACY, "")) == 100.0
    held = tuple(dataclasses.replace(arm, held=arm.held | {"target_epsilon": 2.0}) for arm in QUALITY.arms)
    small = dataclasses.replace(QUALITY, arms=held)
    for given, wanted in ((None, 2.0), (100.0, 2.0), (1.0, 1.0)):
        assert wanted_epsilon(under(small, "record", given)) == wanted
