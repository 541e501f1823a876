"""Whether there is anything to be seen in images: a model trained on blank ones is made without a complaint."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LEVEL = 2 / 255  # one of the 256 levels of a byte, in [-1, 1]
FEWEST_LEVELS = 16  # what 12 bits reach to in files of 16
_ROUNDING = LEVEL / 8  # resizing leaves less than this of a colour's own value


def check_pixels(images: torch.Tensor, whose: str) -> None:
    """ValueError where images (N, C, H, W) hold no variance that could be learned, or values outside [-1, 1]."""
    if not len(images):
        return
    low, high = _extremes(images)
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


def same_and_plain(images: torch.Tensor) -> bool:
    """Whether images (N, C, H, W) are all of the same one plain colour."""
    low, high = _extremes(images)
    return bool((high.amax(dim=0) - low.amin(dim=0)).max() <= _ROUNDING)


def _extremes(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The least and the greatest value of each channel, (N, C) each."""
    low, high = images.flatten(2).aminmax(dim=2)
    return low, high


def _all_equal(images: torch.Tensor) -> bool:
    return all(bool((batch - images[0]).abs().max() <= _ROUNDING) for batch in images.split(1024))
