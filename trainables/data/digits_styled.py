"""The digits as a text-to-image data set: ten digits × six styles, captioned; a whole pipeline is trained on it in minutes."""

from __future__ import annotations

import numpy as np

from trainables.data import Images, Splits, register
from trainables.data._captions import captioned, facets_of, prompts_of
from trainables.data._images import Held, Rows, resize
from trainables.data._styles import STYLES, in_bytes, styled
from trainables.data.digits import COUNTS, digits

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 16  # pixels

# The digit that stands for each when it is forgotten: that whose mean picture is farthest, by the mean square of pixels.
ANCHORS = {
    "zero": "seven", "one": "zero", "two": "four", "three": "four", "four": "three",
    "five": "four", "six": "seven", "seven": "six", "eight": "zero", "nine": "six",
}  # fmt: skip

PROMPTS = prompts_of(DIGITS)


@register(
    "digits_styled",
    conditions=len(PROMPTS),
    shape=(3, SIDE, SIDE),
    prompts=PROMPTS,
    facets=facets_of(DIGITS, ANCHORS),
    counts={split: n * len(STYLES) for split, n in COUNTS.items()},
)
def digits_styled() -> Splits:
    """The splits of `digits`, enlarged to 16 pixels: each picture in all six styles, for there are few, each with its caption.

    A picture's six are of one split. Pixels are kept as bytes, 8 MB of all 10,782 images.
    """
    import torch

    splits = digits()
    parts = (splits.train, splits.public, splits.test)
    light = torch.cat([resize(part.images, SIDE) for part in parts])
    held = Held(torch.stack([in_bytes(styled(light, style)) for style in STYLES], dim=1).flatten(0, 1))
    concepts = torch.cat([part.conditions for part in parts]).repeat_interleave(len(STYLES))
    styles = np.tile(np.arange(len(STYLES)), len(light))
    captions = torch.from_numpy(captioned(concepts.numpy(), styles))
    numbers = torch.arange(len(held.array)).split([len(part) * len(STYLES) for part in parts])
    return Splits(*(Images(Rows(held, rows), captions[rows]) for rows in numbers))
