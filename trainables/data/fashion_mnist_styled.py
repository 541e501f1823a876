"""Fashion-MNIST as a text-to-image data set: eight objects × six styles, captioned, 16×16 pixels in colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from trainables.data import register_on_disk
from trainables.data._captions import captioned, facets_of, prompts_of
from trainables.data._files.layout import Layout, Part
from trainables.data._images import PART
from trainables.data._styles import STYLES, in_bytes, styled
from trainables.data.fashion_mnist import CLASSES, fashion_mnist

# Without shirt and coat, which a classifier of real pictures takes for pullover and dress itself.
OBJECTS = ("t-shirt", "trouser", "pullover", "dress", "sandal", "sneaker", "bag", "ankle boot")
NAMES = tuple(name.removeprefix("ankle ") for name in OBJECTS)
SIDE = 16  # pixels
STYLE_SEED = 0  # of the draw of each picture's style

# The object that stands for each when it is forgotten: that whose mean picture is farthest, by the mean square of pixels.
ANCHORS = {
    "t-shirt": "sneaker", "trouser": "boot", "pullover": "sneaker", "dress": "boot",
    "sandal": "pullover", "sneaker": "t-shirt", "bag": "trouser", "boot": "trouser",
}  # fmt: skip


@register_on_disk("fashion_mnist_styled", folder="/usr/share/datasets/fashion-mnist")
def fashion_mnist_styled(folder: Path, option: str) -> Layout:
    """The files of `fashion_mnist`, in its folder: each picture in one style and with one caption, both drawn once."""
    plain = fashion_mnist(folder, option)
    assert plain.test is not None, "the data set has test images of its own"
    return replace(
        plain,
        channels=3,
        size=SIDE,
        train=_in_style(plain.train),
        test=_in_style(plain.test),
        classes=(),
        prompts=prompts_of(NAMES),
        facets=facets_of(NAMES, ANCHORS),
    )


def _in_style(plain: Part) -> Part:
    """The pictures of `OBJECTS` in their styles; what a picture is drawn as depends on its place in the files alone."""

    def of_objects() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the pictures kept (N,): their places, objects and styles."""
        labels = plain.labels()
        objects = np.array([OBJECTS.index(name) if name in OBJECTS else -1 for name in CLASSES])[labels]
        styles = np.random.RandomState(STYLE_SEED).randint(len(STYLES), size=len(labels))
        places = np.flatnonzero(objects >= 0)
        return places, objects[places], styles[places]

    def labels() -> np.ndarray:
        _, objects, styles = of_objects()
        return captioned(objects, styles)

    def pixels(indices: np.ndarray, size: int) -> Iterator[np.ndarray]:
        places, _, styles = of_objects()
        chosen = styles[indices]
        (grey,) = plain.pixels(places[indices], size)
        for start in range(0, len(grey), PART):
            yield _drawn(grey[start : start + PART], chosen[start : start + PART])

    return Part(labels=labels, pixels=pixels, files=plain.files)


def _drawn(grey: np.ndarray, styles: np.ndarray) -> np.ndarray:
    """Pictures (n, 1, 28, 28) uint8 in these styles (n,), (n, 3, 16, 16) uint8: framed to 32 pixels, then halved."""
    import torch
    import torch.nn.functional as F

    framed = F.pad(torch.from_numpy(grey).float() / 127.5 - 1, (2, 2, 2, 2), value=-1)
    light = F.avg_pool2d(framed, 2)
    drawn = torch.empty((len(grey), 3, SIDE, SIDE), dtype=torch.uint8)
    for number, style in enumerate(STYLES):
        chosen = torch.from_numpy(styles == number)
        drawn[chosen] = in_bytes(styled(light[chosen], style))
    return drawn.numpy()
