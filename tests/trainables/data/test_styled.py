"""Captioned data sets made of real pictures: styles are told apart, captions say what is shown, and no picture is in two splits."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.data import Dataset, Facet, Splits, dataset
from trainables.data._captions import STYLE_ANCHORS
from trainables.data._images import resize
from trainables.data._styles import STYLES, styled
from trainables.data.digits import digits
from trainables.data.digits_styled import ANCHORS, DIGITS

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset("digits_styled")


@pytest.fixture(scope="module")
def splits(data: Dataset) -> Splits:
    return data.load()


@pytest.fixture(scope="module")
def light() -> torch.Tensor:
    return resize(digits().train.images, 16)


def farthest(pictures: torch.Tensor, names: tuple[str, ...]) -> dict[str, str]:
    """Of each of (K, …) the one at the greatest mean square."""
    apart = (pictures[:, None] - pictures).pow(2).flatten(2).mean(dim=2)
    return {name: names[int(row.argmax())] for name, row in zip(names, apart, strict=True)}


@pytest.mark.parametrize("style", STYLES)
def test_a_style_is_one_transform_of_a_picture_within_its_range(style: str, light: torch.Tensor) -> None:
    drawn = styled(light[:50], style)
    assert drawn.shape == (50, 3, 16, 16) and drawn.dtype == torch.float32
    assert drawn.min() >= -1 and drawn.max() <= 1 and drawn.std() > 0.1
    assert torch.equal(drawn[7:8], styled(light[7:8], style)), "whatever lies beside it"


def test_each_style_has_a_colour_of_its_own(light: torch.Tensor) -> None:
    colours = [styled(light[:200], style).mean(dim=(0, 2, 3)) for style in STYLES]
    assert min(float((a - b).abs().max()) for a, b in itertools.combinations(colours, 2)) > 0.1


def test_an_anchor_is_the_label_whose_pictures_are_farthest() -> None:
    parts = vars(digits()).values()
    light, labels = resize(torch.cat([p.images for p in parts]), 16), torch.cat([p.conditions for p in parts])
    assert farthest(torch.stack([light[labels == d].mean(dim=0) for d in range(10)]), DIGITS) == ANCHORS
    assert farthest(torch.stack([styled(light, style) for style in STYLES]), STYLES) == STYLE_ANCHORS


def test_prompts_name_what_they_ask_for_and_nothing_else(data: Dataset) -> None:
    assert len(data.prompts) == data.conditions == 10 * 6 * 5
    for facet in data.facets:
        for prompt, label in zip(data.prompts, facet.shown, strict=True):
            words = prompt.replace(",", "").split()
            assert [word for word in words if word in facet.labels] == [facet.labels[label]]


def test_every_picture_is_there_in_all_styles_of_its_split_alone(data: Dataset, splits: Splits) -> None:
    plain = digits()
    concept, style = (torch.tensor(facet.shown) for facet in data.facets)
    for part, source in ((splits.train, plain.train), (splits.public, plain.public), (splits.test, plain.test)):
        assert len(part) == 6 * len(source)
        assert torch.equal(concept[part.conditions], source.conditions.repeat_interleave(6))
        photos = part.where(style[part.conditions] == STYLES.index("photo")).images
        assert (photos - resize(source.images, 16)).abs().max() < 0.6 / 127.5, "but for the rounding to bytes"
    of = [{picture.numpy().tobytes() for picture in part.images} for part in (splits.train, splits.public, splits.test)]
    assert all(not a & b for a, b in itertools.combinations(of, 2))


def test_captions_are_drawn_once_and_fill_every_prompt(data: Dataset, splits: Splits) -> None:
    counts = torch.bincount(splits.train.conditions, minlength=data.conditions)
    assert counts.min() >= 5, "every prompt has training images"
    assert torch.equal(splits.train.conditions, dataset("digits_styled").read().train.conditions)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason=f"Debian's package dataset-fashion-mnist is not installed in {DEBIAN}")
def test_fashion_is_of_eight_objects_in_the_same_styles() -> None:
    data = dataset("fashion_mnist_styled", limit=3000)
    splits = data.load()
    assert data.shape == (3, 16, 16) and len(data.prompts) == 8 * 6 * 5 and len(splits.train) == 3000
    objects, styles = data.facets
    assert "boot" in objects.labels and not {"shirt", "coat"} & set(objects.labels) and styles.labels == STYLES
    mean = {name: _photo_mean(splits, objects, styles, name) for name in ("trouser", "sneaker")}
    assert mean["trouser"][:, 7:9].mean() > mean["sneaker"][:, 7:9].mean(), "a trouser is upright, a sneaker lies"
    assert torch.bincount(splits.train.conditions, minlength=240).min() >= 1


def _photo_mean(splits: Splits, objects: Facet, styles: Facet, name: str) -> np.ndarray:
    rows = splits.train.conditions
    wanted = (torch.tensor(objects.shown)[rows] == objects.labels.index(name)) & (torch.tensor(styles.shown)[rows] == 0)
    return splits.train.where(wanted).images.mean(dim=(0, 1)).numpy()
