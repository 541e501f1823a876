"""The digits by attribute instead of class, as CelebA's faces are: a condition is a vector of three exact attributes."""

from __future__ import annotations

from dataclasses import replace

from trainables.data import Images, Splits, register
from trainables.data.digits import COUNTS, digits

HAVING = {"odd": (1, 3, 5, 7, 9), "loop": (0, 6, 8, 9), "high": (5, 6, 7, 8, 9)}  # a closed loop; 5 or more

CODES = tuple(sum((digit in having) << bit for bit, having in enumerate(HAVING.values())) for digit in range(10))


@register(
    "digits_attributes",
    conditions=8,
    shape=(1, 8, 8),
    attributes=tuple(HAVING),
    present=tuple(sorted(set(CODES))),
    counts=COUNTS,
)
def digits_attributes() -> Splits:
    """The splits of `digits`; bit i of a condition says whether the digit has attribute i."""
    import torch

    codes = torch.tensor(CODES)
    splits = digits()

    def coded(part: Images) -> Images:
        return replace(part, conditions=codes[part.conditions])

    return Splits(coded(splits.train), coded(splits.public), coded(splits.test))
