"""IDX files, gzipped or plain, and the data sets that lie in four of them as MNIST does (LeCun et al. 1998).

A file is a magic number (two zero bytes, the type 8 for bytes, the number of dimensions), the dimensions as big-endian
32-bit numbers, then the bytes.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from trainables.data._files.layout import Layout, Part, find_folder

IMAGES, LABELS = 0x0803, 0x0801  # bytes in three dimensions, bytes in one
_GZIP = b"\x1f\x8b"  # what a gzipped file begins with


def idx_layout(folder: Path, within: str, classes: tuple[str, ...]) -> Layout:
    """The layout of a data set in MNIST's four files, in `folder` itself or where torchvision puts them."""
    place = find_folder(folder, (within, "raw"), "train-images-idx3-ubyte*", "train-images.idx3-ubyte*")
    files = {
        (split, kind): _file(place, f"{split}-{kind}")
        for split in ("train", "t10k")
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    }
    train, test = (
        _part(files[split, "images-idx3-ubyte"], files[split, "labels-idx1-ubyte"], len(classes))
        for split in ("train", "t10k")
    )
    sizes = {dimensions(files[split, "images-idx3-ubyte"], IMAGES)[1:] for split in ("train", "t10k")}
    if len(sizes) > 1 or len(set(next(iter(sizes)))) > 1:
        raise ValueError(f"{place}: images of {sorted(sizes)} pixels; they must be square and all of one size")
    return Layout(place, 1, sizes.pop()[0], train, test, classes)


def dimensions(path: Path, magic: int) -> tuple[int, ...]:
    """The dimensions that an IDX file's header promises; ValueError where its magic number is another."""
    header = _bytes(path, 4 + 4 * (magic & 0xFF))
    (first_word,) = struct.unpack(">I", header[:4].ljust(4, b"\0"))
    if first_word != magic:
        raise ValueError(
            f"{path}: starts with 0x{first_word:08x}, not with 0x{magic:08x}, the magic number of such an IDX file"
        )
    if len(header) < 4 + 4 * (magic & 0xFF):
        raise ValueError(f"{path}: ends within its header; it is truncated")
    return struct.unpack(f">{magic & 0xFF}I", header[4:])


def read_idx(path: Path, magic: int) -> np.ndarray:
    """An IDX file's bytes as an array uint8 of its dimensions; ValueError where it is not whole."""
    shape = dimensions(path, magic)
    content = _bytes(path)[4 + 4 * len(shape) :]
    if len(content) != math.prod(shape):
        fault = "it is truncated" if len(content) < math.prod(shape) else "it is not what it says"
        raise ValueError(f"{path}: holds {len(content)} bytes where its header promises {math.prod(shape)}; {fault}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _part(images: Path, labels: Path, classes: int) -> Part:
    def read_labels() -> np.ndarray:
        (n,), (promised, *_) = dimensions(labels, LABELS), dimensions(images, IMAGES)
        if n != promised:
            raise ValueError(f"{labels}: {n} labels for the {promised} images of {images.name}")
        values = read_idx(labels, LABELS)
        if len(values) and values.max() >= classes:
            raise ValueError(f"{labels}: label {values.max()} where there are classes 0 to {classes - 1}")
        return values.astype(np.int64)

    return Part(
        labels=read_labels,
        pixels=lambda indices, size: iter([read_idx(images, IMAGES)[indices][:, None]]),
        files=lambda indices: [images, labels],
    )


def _file(place: Path, name: str) -> Path:
    """A file under one of the names that it goes by: ``-idx3`` or ``.idx3``, in a folder of its own name as Kaggle's, or .gz."""
    for file in (name, name.replace("-idx", ".idx")):
        for path in (place / file, place / file / file, place / name / file, place / f"{file}.gz"):
            if path.is_file():
                return path
    raise ValueError(f"{place}: {name} is missing, gzipped (.gz) or plain")


def _bytes(path: Path, most: int = -1) -> bytes:
    """A file's content or the beginning of it, unpacked where it is gzipped, whatever its suffix says."""
    try:
        with path.open("rb") as file:
            gzipped = file.peek(2)[:2] == _GZIP
            with gzip.open(file) if gzipped else file as stream:
                return stream.read(most)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from None
