"""A data set in which there is nothing to be seen is refused before anything is trained on it, whatever data set it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainables.data import DATASETS, Dataset, Images, Splits, dataset

DIGITS = DATASETS["digits"]
EVERY_SPLIT = ("train", "public", "test")


def changed(split: str, change: Callable[[Images], Images]) -> Dataset:
    """The digits with one split changed."""

    def read() -> Splits:
        splits = DIGITS.load()
        return replace(splits, **{split: change(getattr(splits, split))})

    return replace(DIGITS, read=read)


def with_value(images: Images, value: float) -> Images:
    changed_one = images.images.clone()
    changed_one[5, 0, 3, 3] = value
    return Images(changed_one, images.conditions)


BLANK: dict[str, tuple[Callable[[Images], Images], str]] = {
    "all black": (
        lambda i: Images(torch.full_like(i.images, -1), i.conditions),
        "every one of its .* of one plain colour",
    ),
    "black or white": (
        lambda i: Images(
            i.images[:, :, :1, :1].sign().expand_as(i.images) * (-1) ** i.conditions[:, None, None, None], i.conditions
        ),
        "every one of its .* of one plain colour",
    ),
    "all the same": (lambda i: Images(i.images[:1].expand_as(i.images), i.conditions), "images are all the same one"),
    "12 bits in files of 16": (
        lambda i: Images((i.images + 1) / 16 - 1, i.conditions),
        r"span 16 of 255 levels, all but blank; are they 12 bits in files of 16\?",
    ),
    "NaN": (lambda i: with_value(i, float("nan")), "image 5 holds NaN or infinity"),
    "infinity": (lambda i: with_value(i, float("inf")), "image 5 holds NaN or infinity"),
    "bytes": (lambda i: Images((i.images + 1) * 127.5, i.conditions), r"values reach from 0 to 255, outside \[-1, 1\]"),
}


@pytest.mark.parametrize("split", EVERY_SPLIT)
@pytest.mark.parametrize("kind", BLANK)
def test_a_split_without_variance_is_refused_and_named(kind: str, split: str) -> None:
    change, said = BLANK[kind]
    with pytest.raises(ValueError, match=f"^digits: the {split} split: .*{said}") as error:
        changed(split, change).load()
    assert "\n" not in str(error.value)


def test_a_blank_class_among_others_is_refused_and_named() -> None:
    def without_threes(images: Images) -> Images:
        blank = images.images.clone()
        blank[images.conditions == 3] = 1
        return Images(blank, images.conditions)

    with pytest.raises(ValueError, match=r"digits: all \d+ training images of condition 3 are the same plain colour"):
        changed("train", without_threes).load()


def test_resized_images_are_looked_at_too() -> None:
    blank = changed("train", lambda i: Images(torch.full_like(i.images, 0.3), i.conditions))
    assert len(dataset("digits", image_size=16).load().train) == len(DIGITS.load().train)
    with pytest.raises(ValueError, match="of one plain colour"):
        blank.load()


def test_pictures_of_12_bits_in_files_of_16_are_refused_and_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(6):
            Image.fromarray(rng.integers(0, 4096, (16, 16), np.uint16)).save(tmp_path / name / f"{i}.png")
    with pytest.raises(ValueError, match=rf"^{tmp_path}: the train split: its images span 16 of 255 levels"):
        dataset("image_folder", str(tmp_path), image_size=16).load()


def test_pictures_of_16_bits_are_learned_from_as_those_of_8_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for depth in (8, 16):
        for name in ("cat", "dog"):
            (tmp_path / str(depth) / name).mkdir(parents=True)
    for name in ("cat", "dog"):
        for i in range(6):
            pixels = rng.integers(0, 256, (16, 16), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "8" / name / f"{i}.png")
            Image.fromarray(pixels.astype(np.uint16) * 257).save(tmp_path / "16" / name / f"{i}.png")
    eight, sixteen = (dataset("image_folder", str(tmp_path / d), image_size=16).load() for d in ("8", "16"))
    for split in EVERY_SPLIT:
        assert torch.equal(getattr(eight, split).images, getattr(sixteen, split).images)
    assert sixteen.train.images.std() > 0.5
