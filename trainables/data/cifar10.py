"""CIFAR-10: 50,000 + 10,000 colour photographs, 32×32 pixels, ten classes (Krizhevsky 2009, Learning multiple layers).

Both published forms are read: ``cifar-10-batches-bin``, plain records, and ``cifar-10-batches-py``, which are pickles. A
pickle can run any code that it names, so these are read by an unpickler that knows arrays, bytes, numbers, lists and
dictionaries, and refuses whatever else a file names (`trainables.data._files.pickled_arrays`).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data import register_on_disk
from trainables.data._files.layout import Layout, Part, find_folder, read_file, require_file
from trainables.data._files.pickled_arrays import OnlyArrays, PickledArray, Refused

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN, TEST = tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",)
SIDE, VALUES = 32, 3 * 32 * 32

Batch = tuple[np.ndarray, np.ndarray]  # labels (N,) int64, pixels (N, 3, 32, 32) uint8


@register_on_disk("cifar10")
def cifar10(folder: Path, option: str) -> Layout:
    """The six batches, in the folder itself or in the sub-folder that the archive unpacks to; the binary form if both."""
    place = find_folder(folder, ("cifar-10-batches-bin", "cifar-10-batches-py"), "data_batch_1*")
    binary = (place / "data_batch_1.bin").exists()
    read, suffix = (read_binary, ".bin") if binary else (read_pickled, "")

    def part(names: tuple[str, ...]) -> Part:
        files = [require_file(place, name + suffix) for name in names]
        return Part(
            labels=lambda: np.concatenate([read(file)[0] for file in files]),
            pixels=lambda indices, size: iter([np.concatenate([read(file)[1] for file in files])[indices]]),
            files=lambda indices: files,
        )

    return Layout(place, 3, SIDE, part(TRAIN), part(TEST), CLASSES)


def read_binary(path: Path) -> Batch:
    """Records of one byte for the label and 3,072 for the pixels, red, green and blue in turn."""
    content = np.frombuffer(read_file(path), np.uint8)
    if not len(content) or len(content) % (1 + VALUES):
        raise ValueError(f"{path}: {len(content)} bytes are not whole records of {1 + VALUES}; it is truncated")
    records = content.reshape(-1, 1 + VALUES)
    return _checked(path, records[:, 0], records[:, 1:])


def read_pickled(path: Path) -> Batch:
    """A dictionary with `data` (N, 3072) uint8 and `labels`, as Python 2 or 3 pickled it."""
    content = read_file(path)
    try:
        batch = OnlyArrays(io.BytesIO(content), encoding="bytes").load()
        named = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
        labels, pixels = np.asarray(_plain(named["labels"])), np.asarray(_plain(named["data"]))
    except Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle may fail in any way
        raise ValueError(f"{path}: not a pickled batch of CIFAR-10 ({type(error).__name__}: {error})") from None
    return _checked(path, labels, pixels)


def _checked(path: Path, labels: np.ndarray, pixels: np.ndarray) -> Batch:
    pixels = _in_rows(pixels)
    if labels.ndim != 1 or pixels.dtype != np.uint8 or pixels.shape != (len(labels), VALUES):
        raise ValueError(
            f"{path}: labels {labels.shape} and pixels {pixels.shape} {pixels.dtype}; {VALUES} bytes an image are needed"
        )
    if labels.dtype.kind not in "iu" or labels.min(initial=0) < 0 or labels.max(initial=0) >= len(CLASSES):
        raise ValueError(f"{path}: its labels are not all whole numbers from 0 to {len(CLASSES) - 1}")
    return labels.astype(np.int64), pixels.reshape(-1, 3, SIDE, SIDE)


def _in_rows(pixels: np.ndarray) -> np.ndarray:
    """Pixels (N, 3, 32, 32) or (N, 32, 32, 3), as some write them again, as (N, 3072); others as they are."""
    if pixels.shape[1:] == (SIDE, SIDE, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    return pixels.reshape(len(pixels), VALUES) if pixels.shape[1:] == (3, SIDE, SIDE) else pixels


def _plain(value: Any) -> Any:
    """An array of a pickle's, also those in a list, as NumPy's."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.array() if isinstance(value, PickledArray) else value
