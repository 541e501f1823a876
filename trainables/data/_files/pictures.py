"""Picture files (JPEG, PNG, TIFF, …) as square images, and data sets in which each picture is a file.

A sample of more than eight bits is scaled by the range that its format states (65535 becomes 255), never by what one picture
happens to hold: stretched one by one, pictures lose what tells them apart. Where a format states no range, as for floats, the
picture is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.data._files.layout import Part

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}  # torchvision's
    | {".jpe", ".jfif", ".gif", ".avif", ".pbm", ".pnm"}
)

TOGETHER = 1024  # pictures that lie in memory at a time, until they are written

_BACKGROUND = (255, 255, 255)  # what shows through a transparent picture: the white of a page
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")  # Pillow's modes of one channel with more than eight bits
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_MEND = "write it with unsigned samples of 8 or 16 bits, all pictures scaled alike"

# TIFF's tags, by number.
_NEW_SUBFILE_TYPE, _BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 254, 258, 262, 339
_REDUCED_RESOLUTION, _WHITE_IS_ZERO, _UNSIGNED = 1, 0, 1


def pictures_part(paths: Sequence[Path], labels: np.ndarray, also: Sequence[Path] = ()) -> Part:
    """A part whose image i is the picture `paths[i]`; `also` are files that labels are read from."""
    return Part(
        labels=lambda: labels,
        pixels=lambda indices, size: read_pictures([paths[i] for i in indices], size),
        files=lambda indices: [*also, *(paths[i] for i in indices)],
        pictures=tuple(paths),
    )


def read_pictures(paths: Sequence[Path], size: int) -> Iterator[np.ndarray]:
    """(n, 3, size, size) uint8, `TOGETHER` at a time: of each picture the largest square in its middle, resized with antialiasing.

    ValueError, once all have been looked at, names the first file that is no whole picture, or none of a known range, and says
    how many there are.
    """
    faults = []
    for start in range(0, len(paths), TOGETHER):
        together = paths[start : start + TOGETHER]
        images = np.empty((len(together), 3, size, size), np.uint8)
        for i, path in enumerate(together):
            try:
                images[i] = read_picture(path, size)
            except ValueError as error:
                faults.append(str(error))
        if not faults:
            yield images
    if faults:
        share = f"{len(faults)} of {len(paths)} pictures cannot be"
        raise ValueError(f"{faults[0]}; {share}: mend them, or leave them out by --skip-unreadable")


def read_picture(path: Path, size: int) -> np.ndarray:
    """(3, size, size) uint8, turned upright as its EXIF orientation says; what is transparent lies on white."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            _check_single(picture)
            _check_unsigned(picture)
            largest = _largest(picture) if picture.mode in _DEEP else 255
            inverted = _white_is_zero(picture)
            square = _middle(ImageOps.exif_transpose(picture))
            coloured = _scaled(square, largest, inverted) if picture.mode in _DEEP else _in_colour(square)
            resized = coloured.resize((size, size), Image.Resampling.BILINEAR)
    except Exception as error:  # a damaged picture may fail in any way, as TypeError and struct.error too
        known = isinstance(error, (OSError, ValueError, SyntaxError))
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "not a picture of a known format"
        raise ValueError(f"{path}: cannot be read as a picture ({reason})") from None
    return np.asarray(resized).transpose(2, 0, 1)


def _middle(picture: Image) -> Image:
    """The largest square in the middle."""
    across, down = picture.size
    side = min(across, down)
    left, top = (across - side) // 2, (down - side) // 2
    return picture.crop((left, top, left + side, top + side))


def _check_single(picture: Image) -> None:
    """ValueError where a file holds several pictures: which of them is the image, nobody has said.

    Smaller copies of the first page of a TIFF are not others, nor are those that a phone puts behind a photograph (MPO).
    """
    frames = getattr(picture, "n_frames", 1)
    if frames == 1 or picture.format == "MPO":
        return
    others = frames - 1
    if picture.format == "TIFF":
        others = 0
        for page in range(1, frames):
            picture.seek(page)
            others += not _tag(picture, _NEW_SUBFILE_TYPE, 0) & _REDUCED_RESOLUTION
        picture.seek(0)
    if others:
        raise ValueError(f"it holds {others + 1} pictures, pages or frames; write each to a file of its own")


def _check_unsigned(picture: Image) -> None:
    """ValueError where samples have a sign: Pillow takes -1 of a signed byte for 255."""
    if set(_tag(picture, _SAMPLE_FORMAT, (_UNSIGNED,))) != {_UNSIGNED}:
        kind = "floats" if picture.mode == "F" else "signed integers"
        raise ValueError(f"its samples are {kind}, which have no range of their own; {_MEND}")


def _largest(picture: Image) -> int:
    """The largest sample that the file's format can hold, of a picture of one deep channel; ValueError where none is stated."""
    if picture.format == "TIFF":
        bits = max(_tag(picture, _BITS_PER_SAMPLE, (1,)))
        if bits <= 16:
            return 2**bits - 1
    elif picture.format in ("PNG", "PPM") and picture.mode != "F":
        return 65535  # also of a PGM of another largest value: Pillow has scaled it
    kind = "floats" if picture.mode == "F" else "integers of more than 16 bits"
    raise ValueError(f"its samples are {kind}, whose range the file does not state; {_MEND}")


def _white_is_zero(picture: Image) -> bool:
    """Whether a TIFF's 0 is white, which Pillow minds for samples of up to eight bits alone."""
    return picture.format == "TIFF" and _tag(picture, _PHOTOMETRIC, 1) == _WHITE_IS_ZERO


def _tag(picture: Image, number: int, otherwise: Any) -> Any:
    """A tag of a TIFF's page; `otherwise` where there is none, and of other formats."""
    return getattr(picture, "tag_v2", {}).get(number, otherwise)


def _scaled(picture: Image, largest: int, inverted: bool) -> Image:
    """A picture of one deep channel in eight bits: `largest` becomes 255."""
    from PIL import Image

    samples = np.asarray(picture).astype(np.float64)
    if samples.min() < 0 or samples.max() > largest:
        raise ValueError(f"its samples reach from {samples.min():g} to {samples.max():g}, outside 0 to {largest}")
    eight = np.rint(samples * (255 / largest)).astype(np.uint8)
    if inverted:
        eight = 255 - eight
    if (clear := picture.info.get("transparency")) is not None:
        eight[samples == clear] = _BACKGROUND[0]
    return Image.fromarray(eight).convert("RGB")


def _in_colour(picture: Image) -> Image:
    """A picture of eight bits a channel in RGB. What lies unseen under full transparency is no part of it."""
    from PIL import Image

    if picture.mode in _TRANSPARENT or "transparency" in picture.info:
        shown = picture.convert("LA") if picture.mode == "La" else picture
        shown = shown.convert("RGBA")
        white = Image.new("RGBA", shown.size, (*_BACKGROUND, 255))
        return Image.alpha_composite(white, shown).convert("RGB")
    return picture.convert("RGB")
