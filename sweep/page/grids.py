"""Images as one picture: a grid of samples, as the page and trackers of experiments show them."""

from __future__ import annotations

import math

import numpy as np


def image_grid(array: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images (n, C, H, W) or (n, H, W) in [-1, 1] as one picture, uint8: (h, w) for C = 1, (h, w, 3) for C = 3.

    -1 is black and 1 is white in every grid: no image is stretched to its own range, so a faded sample looks faded. A
    line of grey, one pixel wide, parts the images. Raises ValueError for other shapes or values that are not finite.
    """
    images = np.asarray(array, dtype=np.float64)
    images = images[:, None] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images) or not np.isfinite(images).all():
        raise ValueError(f"a grid needs finite images of shape (n, 1 or 3, H, W); got {np.shape(array)}")
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    grid = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), 128, dtype=np.uint8)
    pixels = np.rint((images.clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        grid[top : top + height, left : left + width] = image
    return grid[..., 0] if channels == 1 else grid
