"""Copy detection: a sample is a copy where it is far nearer to an instance than to anything else in the data."""

from __future__ import annotations

import pytest
import torch

from trainables.data import DATASETS, Images
from trainables.forgetting import parse_forget
from trainables.judges.copies import COPY_RATIO, copies, distance_to_nearest


def unconditional(images: torch.Tensor) -> Images:
    return Images(images, torch.zeros(len(images), dtype=torch.int64))


@pytest.fixture(scope="module")
def sets() -> tuple[Images, Images]:
    """(the forgotten instances with their copies, all other training images)."""
    data = DATASETS["digits_duplicated"]
    return parse_forget("instances:0,1,2", data).split(data.load().train)


def test_an_instance_is_a_copy_of_itself_and_no_other_training_image_is_one(
    sets: tuple[Images, Images],
) -> None:
    instances, others = sets
    assert copies(instances.images, instances, others).all()
    assert not copies(others.images, instances, others).any()


def test_an_exact_copy_is_at_no_distance(sets: tuple[Images, Images]) -> None:
    _, others = sets
    assert (distance_to_nearest(others.images[:60], others) == 0).all()


def test_a_slightly_noisy_instance_is_a_copy_and_a_very_noisy_one_is_not(
    sets: tuple[Images, Images],
) -> None:
    instances, others = sets
    noise = torch.randn(instances.images.shape, generator=torch.Generator().manual_seed(0))
    assert copies(instances.images + 0.05 * noise, instances, others).all()
    assert not copies(instances.images + 1.0 * noise, instances, others).any()


def test_no_held_out_digit_is_a_copy(sets: tuple[Images, Images]) -> None:
    """False positives: 719 digits that were never trained on, of the same ten kinds."""
    splits = DATASETS["digits_duplicated"].load()
    held_out = torch.cat([splits.public.images, splits.test.images])
    assert copies(held_out, *sets).sum() == 0
    assert copies(held_out, *sets, ratio=1.0).sum() > 0, "some are nearer to an instance than to anything else"


def test_a_plain_image_is_no_copy_of_another_plain_image() -> None:
    """Absolute distance would call it one: all plain images are near to each other."""
    greys = torch.linspace(-1, 1, 9)[:, None, None, None].expand(9, 1, 8, 8)
    between = torch.full((1, 1, 8, 8), -0.45)
    assert (between - greys[2]).norm() < 0.5
    instance, others = unconditional(greys[2:3]), unconditional(greys[[0, 1, 3, 4]])
    assert not copies(between + 0.08, instance, others).any()
    assert copies(between, instance, others).all()


@pytest.mark.parametrize(("ratio", "copy"), [(COPY_RATIO, True), (0.49, False), (0.51, True)])
def test_the_ratio_is_of_the_distances_to_the_nearest_of_either(ratio: float, copy: bool) -> None:
    instances = unconditional(torch.zeros(1, 1, 1, 2))
    others = unconditional(torch.tensor([[[[0.0, 3.0]]], [[[0.0, 9.0]]]]))
    assert copies(torch.tensor([[[[0.0, 1.0]]]]), instances, others, ratio).tolist() == [copy]
    assert copies(torch.zeros(0, 1, 1, 2), instances, others, ratio).shape == (0,)
