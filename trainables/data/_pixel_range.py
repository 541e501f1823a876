"""Whether there is anything to be seen in images: a model trained on blank ones is made without a complaint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainables.data._images import Images, Splits

if TYPE_CHECKING:
    import torch

LEVEL = 2 / 255  # one of the 256 levels of a byte, in [-1, 1]
FEWEST_LEVELS = 16  # what 12 bits reach to in files of 16
_ROUNDING = LEVEL / 8  # resizing leaves less than this of a colour's own value


def check_visible(splits: Splits, whose: str, classes: Sequence[str]) -> None:
    """ValueError where a split, or a condition of the training images, holds nothing to be learned. `classes` may name these."""
    of_train: tuple[torch.Tensor, torch.Tensor] | None = None
    for split, images in vars(splits).items():
        extremes = _extremes(images)
        of_train = of_train or extremes  # the first
        _check_pixels(images, extremes, f"{whose}: the {split} split")
    assert of_train is not None
    low, high = of_train
    for condition in splits.train.conditions.unique().tolist():
        alike = splits.train.conditions == condition
        n = int(alike.sum())
        if n > 1 and _same_and_plain(low[alike], high[alike]):
            named = f", {classes[condition]}" if classes else ""
            raise ValueError(
                f"{whose}: all {n} training images of condition {condition}{named} are the same plain colour; there is nothing "
                f"to learn in them"
            )


def _check_pixels(images: Images, extremes: tuple[torch.Tensor, torch.Tensor], whose: str) -> None:
    """ValueError where images hold no variance that could be learned, or values outside [-1, 1]."""
    if not len(images):
        return
    low, high = extremes
    if not (low.isfinite().all() and high.isfinite().all()):
        first = int((~(low.isfinite() & high.isfinite()).all(dim=1)).nonzero()[0])
        raise ValueError(f"{whose}: image {first} holds NaN or infinity")
    if low.min() < -1 - _ROUNDING or high.max() > 1 + _ROUNDING:
        raise ValueError(f"{whose}: its values reach from {low.min():g} to {high.max():g}, outside [-1, 1]")
    if (high - low).max() <= _ROUNDING:
        raise ValueError(
            f"{whose}: every one of its {len(images)} images is of one plain colour; there is nothing to learn"
        )
    levels = round(float((high.amax(dim=0) - low.amin(dim=0)).max()) / LEVEL)
    if levels <= FEWEST_LEVELS:
        raise ValueError(
            f"{whose}: its images span {levels} of 255 levels, all but blank; are they 12 bits in files of 16? scale them all alike"
        )
    if len(images) > 1 and _all_equal(images):
        raise ValueError(f"{whose}: its {len(images)} images are all the same one")


def _same_and_plain(low: torch.Tensor, high: torch.Tensor) -> bool:
    """Whether images of these extremes are all of the same one plain colour."""
    return bool((high.amax(dim=0) - low.amin(dim=0)).max() <= _ROUNDING)


def _extremes(images: Images) -> tuple[torch.Tensor, torch.Tensor]:
    """The least and the greatest value of each channel, (N, C) each."""
    import torch

    parts = [part.flatten(2).aminmax(dim=2) for part in images.parts()]
    return torch.cat([low for low, _ in parts]), torch.cat([high for _, high in parts])


def _all_equal(images: Images) -> bool:
    first = next(images.parts(1))
    return all(bool((part - first).abs().max() <= _ROUNDING) for part in images.parts(1024))
