"""Picture files (JPEG, PNG, …) as square images, and data sets in which each picture is a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainables.layout import Part

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})  # torchvision's


def pictures_part(paths: Sequence[Path], labels: np.ndarray, also: Sequence[Path] = ()) -> Part:
    """A part whose image i is the picture `paths[i]`; `also` are files that labels are read from."""
    return Part(
        labels=lambda: labels,
        pixels=lambda indices, size: read_pictures([paths[i] for i in indices], size),
        files=lambda indices: [*also, *(paths[i] for i in indices)],
    )


def read_pictures(paths: Sequence[Path], size: int) -> np.ndarray:
    """(n, 3, size, size) uint8: of each picture the largest square in its middle, resized with antialiasing.

    ValueError names the first file that is no whole picture.
    """
    images = np.empty((len(paths), 3, size, size), np.uint8)
    for i, path in enumerate(paths):
        images[i] = read_picture(path, size)
    return images


def read_picture(path: Path, size: int) -> np.ndarray:
    """(3, size, size) uint8."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            across, down = picture.size
            side = min(across, down)
            left, top = (across - side) // 2, (down - side) // 2
            box = (left, top, left + side, top + side)
            square = picture.convert("RGB").crop(box).resize((size, size), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow's decoders raise
        reason = "not a picture of a known format" if isinstance(error, Image.UnidentifiedImageError) else error
        raise ValueError(f"{path}: cannot be read as a picture ({reason})") from None
    return np.asarray(square).transpose(2, 0, 1)
