"""Data sets written in their exact on-disk formats, a few images each."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CELEBA_ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip


def idx(values: np.ndarray) -> bytes:
    """Bytes as an IDX file holds them."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


def write_idx(folder: Path, images: dict[str, np.ndarray], labels: dict[str, np.ndarray], gzipped: bool) -> Path:
    """The four files of MNIST; `images` and `labels` by ``train`` and ``t10k``."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "t10k"):
        for name, values in (("images-idx3-ubyte", images[split]), ("labels-idx1-ubyte", labels[split])):
            content = idx(values)
            path = folder / f"{split}-{name}{'.gz' * gzipped}"
            path.write_bytes(gzip.compress(content, mtime=0) if gzipped else content)
    return folder


def clothing(n: int = 40, tests: int = 20, side: int = 28) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Images and labels for `write_idx`: noise, every image another, the ten labels in turn."""
    rng = np.random.default_rng(0)
    counts = {"train": n, "t10k": tests}
    images = {split: rng.integers(0, 256, (count, side, side), np.uint8) for split, count in counts.items()}
    return images, {split: np.arange(count) % 10 for split, count in counts.items()}


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Pickles as Python 2 did the batches of CIFAR-10: its strings are bytes, NumPy's modules have their old names."""

    dispatch = pickle._Pickler.dispatch.copy()  # type: ignore[attr-defined]

    def save_string(self, value: bytes | str) -> None:
        value = value.encode("latin1") if isinstance(value, str) else value
        head = b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))
        self.write(head + value)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = obj.__module__.replace("numpy._core", "numpy.core")
        self.write(f"c{module}\n{name or obj.__qualname__}\n".encode())
        self.memoize(obj)


def pickled(values: Any) -> bytes:
    out = io.BytesIO()
    Python2Pickler(out, protocol=2).dump(values)
    return out.getvalue()


def write_cifar10(folder: Path, labels: dict[str, np.ndarray], pixels: dict[str, np.ndarray], binary: bool) -> Path:
    """``cifar-10-batches-py`` or ``-bin``; `labels` (N,) and `pixels` (N, 3072) uint8 by batch name."""
    place = folder / f"cifar-10-batches-{'bin' if binary else 'py'}"
    place.mkdir(parents=True)
    for name in labels:
        if binary:
            records = np.concatenate([labels[name][:, None].astype(np.uint8), pixels[name]], axis=1)
            (place / f"{name}.bin").write_bytes(records.tobytes())
        else:
            batch = {"batch_label": name, "labels": labels[name].tolist(), "data": pixels[name], "filenames": ["a.png"]}
            (place / name).write_bytes(pickled(batch))
    return folder


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """A picture (H, W, 3) uint8 in the format that its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": 95} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    Image.fromarray(pixels).save(path, **options)


def write_celeba(folder: Path, partition: Sequence[int], attributes: dict[str, Sequence[bool]]) -> Path:
    """One 178×218 JPEG for each entry of `partition`, and the two lists; attributes not given are all absent."""
    rows = []
    for i in range(len(partition)):
        name = f"{i + 1:06d}.jpg"
        face = np.zeros((218, 178, 3), np.uint8)
        face[20:198] = (i * 5 % 256, 128, 255 - i * 5 % 256)  # the middle square; above and below it stays black
        face[20:60, :, 2] //= 4  # and something to be seen in it
        write_picture(folder / "img_align_celeba" / name, face)
        has = [attributes[a][i] if a in attributes else False for a in CELEBA_ATTRIBUTES]
        rows.append(f"{name} " + " ".join(" 1" if h else "-1" for h in has))
    header = [str(len(partition)), " ".join(CELEBA_ATTRIBUTES) + " "]
    (folder / "list_attr_celeba.txt").write_text("\n".join([*header, *rows]) + "\n")
    lines = [f"{i + 1:06d}.jpg {part}" for i, part in enumerate(partition)]
    (folder / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_classes(folder: Path, classes: Sequence[str], each: int, first: int = 0, suffix: str = ".png") -> Path:
    """A folder for each class with `each` pictures: red tells the class, green counts from `first`, blue has two halves."""
    for label, name in enumerate(classes):
        for i in range(each):
            pixels = np.zeros((20, 24 + label, 3), np.uint8)
            pixels[...] = (label * 20, first + i, 100)
            pixels[10:, :, 2] = 200
            write_picture(folder / name / f"{name}_{first + i}{suffix}", pixels)
    return folder


def write_captioned(folder: Path, captions: dict[str, str], copies: int = 5) -> Path:
    """A split in Hugging Face's imagefolder layout: so many pictures of each caption, in noise, with their ``metadata.csv``."""
    lines = ["file_name,text"]
    for i in range(copies):
        for name, text in captions.items():
            file = folder / Path(name).parent / f"{i}_{Path(name).name}"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_picture(file, np.random.default_rng(len(lines)).integers(0, 256, (20, 24, 3), np.uint8))
            lines.append(f'{file.relative_to(folder).as_posix()},"{text}"')
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder
