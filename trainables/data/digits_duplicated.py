"""The digits without conditions, four of the training images many times over: data that a model learns by heart.

Duplication is where copying comes from (Somepalli et al. 2023, arXiv 2305.20086), and how SISS plants what it forgets: a
T-shirt among MNIST's digits (Alberti et al. 2025, arXiv 2503.01034).
"""

from __future__ import annotations

from trainables.data import Images, Splits, register
from trainables.data.digits import COUNTS, digits

DUPLICATED = 4  # images, each of another digit
COPIES = 150  # of each, the first included


@register(
    "digits_duplicated",
    conditions=1,
    shape=(1, 8, 8),
    judged_by="digits",
    counts=COUNTS | {"train": COUNTS["train"] + DUPLICATED * (COPIES - 1)},
)
def digits_duplicated() -> Splits:
    """The splits of `digits`, every condition 0. Training images 0 … 3 are the duplicated ones, their copies come last."""
    import torch

    splits = digits()
    labels = splits.train.conditions.tolist()
    first = sorted(labels.index(digit) for digit in set(labels))[:DUPLICATED]
    others = [i for i in range(len(labels)) if i not in first]
    order = torch.tensor(first + others + first * (COPIES - 1))

    def unconditional(part: Images) -> Images:
        return Images(part.images, torch.zeros_like(part.conditions))

    return Splits(*map(unconditional, (splits.train.where(order), splits.public, splits.test)))
