"""Styles that are real image transforms: what an artist's style is to a text-to-image data set, made of pictures at hand.

Each takes grey pictures (N, 1, H, W) float32 in [-1, 1], background dark, and gives (N, 3, H, W) in [-1, 1]. Six that are told
apart at a glance, as in UnlearnCanvas (arXiv 2402.11846), whose objects × styles these data sets have in miniature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Colour = tuple[float, float, float]  # red, green, blue in [0, 1]

INKS = (0.09, 0.13, 0.40), (0.88, 0.25, 0.14), (1.0, 0.88, 0.55)  # navy, vermilion, sand: from dark to light
MAGENTA, CYAN = (1.0, 0.10, 0.75), (0.05, 0.95, 1.0)
CREAM, BLUE = (0.99, 0.95, 0.84), (0.12, 0.33, 0.72)
PENCIL = 1.6  # how dark a sketch draws an edge from black to white


def styled(grey: torch.Tensor, style: str) -> torch.Tensor:
    """Grey pictures (N, 1, H, W) in [-1, 1] as (N, 3, H, W) in [-1, 1], in a style of `STYLES`."""
    return _STYLES[style]((grey + 1) / 2).clamp(0, 1) * 2 - 1


def in_bytes(images: torch.Tensor) -> torch.Tensor:
    """Images in [-1, 1] as uint8: a byte b stands for b / 127.5 - 1, as everywhere (`trainables.data.Images`)."""
    import torch

    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _photo(light: torch.Tensor) -> torch.Tensor:
    """The picture itself, grey."""
    return light.expand(-1, 3, -1, -1)


def _negative(light: torch.Tensor) -> torch.Tensor:
    """Dark on light."""
    return 1 - _photo(light)


def _sketch(light: torch.Tensor) -> torch.Tensor:
    """Edges in pencil on white paper."""
    across, down = _sobel(light)
    return _photo(1 - PENCIL * (across**2 + down**2).sqrt())


def _poster(light: torch.Tensor) -> torch.Tensor:
    """Three flat inks: navy, vermilion, sand."""
    level = (light * 2).round()
    navy, vermilion, sand = (_tinted((level == ink).float(), colour) for ink, colour in enumerate(INKS))
    return navy + vermilion + sand


def _neon(light: torch.Tensor) -> torch.Tensor:
    """Glowing edges on black: upright ones magenta, level ones cyan."""
    across, down = _sobel(light)
    return 2 * (_tinted(across.abs(), MAGENTA) + _tinted(down.abs(), CYAN))


def _watercolor(light: torch.Tensor) -> torch.Tensor:
    """Blurred twice, blue on cream paper."""
    wet = _blurred(_blurred(light))
    return _tinted(1 - wet, CREAM) + _tinted(wet, BLUE)


_STYLES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "photo": _photo,
    "negative": _negative,
    "sketch": _sketch,
    "poster": _poster,
    "neon": _neon,
    "watercolor": _watercolor,
}
STYLES = tuple(_STYLES)


def _tinted(amount: torch.Tensor, colour: Colour) -> torch.Tensor:
    """(N, 1, H, W) of how much of a colour there is, as (N, 3, H, W)."""
    return amount * amount.new_tensor(colour).view(1, 3, 1, 1)


def _sobel(light: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient (N, 1, H, W) across and down by Sobel's operator, 1 for an edge from black to white that is straight."""
    rows = _neighbours(light, 2)
    smoothed_down = (rows[0] + 2 * rows[1] + rows[2]) / 4
    left, _, right = _neighbours(smoothed_down, 3)
    columns = _neighbours(light, 3)
    smoothed_across = (columns[0] + 2 * columns[1] + columns[2]) / 4
    above, _, below = _neighbours(smoothed_across, 2)
    return right - left, below - above


def _blurred(light: torch.Tensor) -> torch.Tensor:
    """Smoothed by 1 2 1 across and down."""
    for axis in (2, 3):
        before, at, after = _neighbours(light, axis)
        light = (before + 2 * at + after) / 4
    return light


def _neighbours(light: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Each pixel's neighbour before it along an axis, itself, and the one after it; at the edge, itself.

    By slices, for a convolution's sums are in another order on another machine.
    """
    import torch

    size = light.shape[axis]
    before = torch.cat([light.narrow(axis, 0, 1), light.narrow(axis, 0, size - 1)], dim=axis)
    after = torch.cat([light.narrow(axis, 1, size - 1), light.narrow(axis, size - 1, 1)], dim=axis)
    return before, light, after
