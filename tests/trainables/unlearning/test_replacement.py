"""Replacement data: images that are never the forget set's, chosen as each kind says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from trainables.data import DATASETS
from trainables.features._distances import nearest_squared_distance
from trainables.forgetting import parse_forget
from trainables.unlearning import Problem
from trainables.unlearning._replacement import REPLACEMENTS

N = 6
ONE = {"one_image", "class_mean", "blank"}


def drawn(problem: Problem, name: str, seed: int = 0) -> torch.Tensor:
    return REPLACEMENTS[name](problem, N, torch.Generator().manual_seed(seed))


def pixels(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def by_distance(problem: Problem) -> list[int]:
    """Retained conditions by the distance of mean features, one pair at a time."""

    def centre(images: torch.Tensor) -> np.ndarray:
        return np.mean([problem.features(image[None])[0] for image in images], axis=0)

    origin = centre(problem.forget.images)
    distances = {c: np.sqrt(((centre(problem.retain.of(c).images) - origin) ** 2).sum()) for c in range(10) if c != 3}
    return sorted(distances, key=lambda c: distances[c])


@pytest.mark.parametrize("name", sorted(REPLACEMENTS))
def test_a_replacement_is_images_in_range_and_none_of_the_forget_set(problem: Problem, name: str) -> None:
    images = drawn(problem, name)
    assert images.shape == (1 if name in ONE else N, 1, 8, 8) and images.dtype == torch.float32
    assert images.min() >= -1 and images.max() <= 1
    assert not pixels(images) & pixels(problem.forget.images)
    assert torch.equal(images, drawn(problem, name)), "the same seed gives the same images"


@pytest.mark.parametrize("name", ["class_fixed", "class_nearest", "class_farthest", "one_image", "noise"])
def test_another_seed_draws_other_images(problem: Problem, name: str) -> None:
    assert not torch.equal(drawn(problem, name, 0), drawn(problem, name, 1))


def test_conditions_are_ordered_by_the_distance_of_their_mean_features(problem: Problem) -> None:
    assert problem.conditions_by_distance == by_distance(problem)
    assert problem.conditions_by_distance is problem.conditions_by_distance, "the bench's, for all its trials"
    assert replace(problem, by_distance=None).conditions_by_distance == by_distance(problem), "by its own sets"


@pytest.mark.parametrize(("name", "place"), [("class_nearest", 0), ("class_farthest", -1), ("one_image", 0)])
def test_images_come_from_the_nearest_or_farthest_condition(problem: Problem, name: str, place: int) -> None:
    assert pixels(drawn(problem, name)) <= pixels(problem.retain.of(by_distance(problem)[place]).images)


def test_class_fixed_is_the_next_condition_and_0_after_the_last(problem: Problem) -> None:
    assert pixels(drawn(problem, "class_fixed")) <= pixels(problem.retain.of(4).images)
    nine = parse_forget("9", DATASETS["digits"])
    forget, retain = nine.split(DATASETS["digits"].load().train)
    last = replace(problem, forgetting=nine, forget=forget, retain=retain)
    assert pixels(drawn(last, "class_fixed")) <= pixels(last.retain.of(0).images)


def test_nearest_neighbours_are_the_nearest(problem: Problem) -> None:
    forget, retain = problem.features(problem.forget.images), problem.features(problem.retain.images)
    nearest = [min(float(((r - f) ** 2).sum()) for f in forget) for r in retain]
    expected = problem.retain.images[sorted(range(len(nearest)), key=nearest.__getitem__)[:N]]
    assert torch.equal(drawn(problem, "nearest_neighbours"), expected)


@pytest.mark.parametrize("points", [5, 1024, 2500])
def test_distances_in_chunks_are_the_distances(points: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(points, 3)), rng.normal(size=(7, 3))
    direct = ((a[:, None] - b[None]) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(nearest_squared_distance(a, b), direct, atol=1e-9)


def test_class_mean_is_the_mean(problem: Problem) -> None:
    images = problem.retain.of(by_distance(problem)[0]).images
    torch.testing.assert_close(drawn(problem, "class_mean")[0], sum(images) / len(images))


def test_blank_is_minus_one_everywhere(problem: Problem) -> None:
    assert drawn(problem, "blank").unique().tolist() == [-1]


def test_generated_images_are_the_base_models(problem: Problem) -> None:
    nearest = by_distance(problem)[0]
    assert torch.equal(drawn(problem, "generated"), problem.generated(nearest, N))
    assert not pixels(drawn(problem, "generated")) & pixels(problem.retain.images)
