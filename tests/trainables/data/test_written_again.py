"""Known data sets as others wrote them again: CelebA's lists, CIFAR-10's pickles, MNIST's files; what is unambiguous is read."""

from __future__ import annotations

import gzip
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from disk_formats import clothing, write_celeba, write_cifar10, write_idx

from trainables.data import Splits, dataset

BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
ATTRIBUTES, PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bits = {name: [bool(i >> bit & 1) for i in range(24)] for bit, name in enumerate(("Male", "Smiling", "Young"))}
    return write_celeba(tmp_path_factory.mktemp("faces"), [(0, 0, 0, 0, 1, 2)[i // 4] for i in range(24)], bits)


@pytest.fixture(scope="module")
def as_published(faces: Path) -> Splits:
    return read(faces)


def read(folder: Path) -> Splits:
    return dataset("celeba", str(folder), image_size=8).load()


def same(splits: Splits, others: Splits) -> bool:
    pairs = zip(vars(splits).values(), vars(others).values(), strict=True)
    return all(torch.equal(a.images, b.images) and torch.equal(a.conditions, b.conditions) for a, b in pairs)


def commas(content: bytes) -> bytes:
    return b"\n".join(re.sub(rb" +", b",", line.strip()) for line in content.split(b"\n"))


def kaggle(folder: Path) -> None:
    """As Kaggle has it: two CSV files, and a folder in a folder of its own name."""
    count, *lines = commas((folder / ATTRIBUTES).read_bytes()).split(b"\n")
    assert count == b"24"
    (folder / "list_attr_celeba.csv").write_bytes(b"image_id," + b"\r\n".join(lines))
    (folder / "list_eval_partition.csv").write_bytes(
        b"image_id,partition\n" + commas((folder / PARTITION).read_bytes())
    )
    (folder / ATTRIBUTES).unlink()
    (folder / PARTITION).unlink()
    pictures = folder / "img_align_celeba"
    pictures.rename(folder / "pictures")
    pictures.mkdir()
    (folder / "pictures").rename(pictures / "img_align_celeba")


def backwards(folder: Path) -> None:
    lines = (folder / PARTITION).read_text().splitlines()
    (folder / PARTITION).write_text("\n".join(reversed(lines)))


def both(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Changes both lists alike."""
    return lambda folder: [(folder / name).write_bytes(change((folder / name).read_bytes())) for name in LISTS]


LISTS = (ATTRIBUTES, PARTITION)
AGAIN: dict[str, Callable[[Path], object]] = {
    "blank last lines": both(lambda content: content + b"\n \n"),
    "no last newline": both(lambda content: content.rstrip()),
    "a byte order mark": both(lambda content: b"\xef\xbb\xbf" + content),
    "carriage returns": both(lambda content: content.replace(b"\n", b"\r\n")),
    "tabs": both(lambda content: re.sub(rb" +", b"\t", content)),
    "commas": both(commas),
    "0 and 1": lambda f: (f / ATTRIBUTES).write_bytes((f / ATTRIBUTES).read_bytes().replace(b"-1", b" 0")),
    "another order": backwards,
    "Kaggle's": kaggle,
}


@pytest.mark.parametrize("way", AGAIN)
def test_celebas_lists_written_again_mean_the_same_faces(
    way: str, faces: Path, as_published: Splits, tmp_path: Path
) -> None:
    AGAIN[way](shutil.copytree(faces, tmp_path / "again"))
    assert same(read(tmp_path / "again"), as_published)


def test_a_part_of_celebas_pictures_is_read_and_said_to_be(faces: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(faces, tmp_path / "part")
    for number in (1, 2, 3):
        (folder / "img_align_celeba" / f"{number:06d}.jpg").unlink()
    data = dataset("celeba", str(folder), image_size=8)
    assert data.counts is not None and sum(data.counts().values()) == 24 - 4 - 3
    assert data.notes == (("left out", "3 of 24 listed pictures, which are not there"),)


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "neither": (ATTRIBUTES, b"2\nMale Smiling Young\na.jpg 1 2 1\nb.jpg 1 1 1\n", "line 3: not a picture's name and 3"),
    "-1 and 0": (
        ATTRIBUTES,
        b"2\nMale Smiling Young\na.jpg 0 1 1\nb.jpg -1 1 1\n",
        "Male is -1 of some pictures and 0",
    ),
    "twice": (PARTITION, b"000001.jpg 0\n000001.jpg 2\n", "line 2: lists 000001.jpg again"),
    "UTF-16": (PARTITION, "000001.jpg 0\n".encode("utf-16"), "is not text in UTF-8; save it so"),
    "no split": (PARTITION, b"000001.jpg 0\n", "does not say which split 000002.jpg is of"),
}


@pytest.mark.parametrize("way", REFUSED)
def test_a_list_that_may_mean_two_things_is_refused_in_one_line(way: str, faces: Path, tmp_path: Path) -> None:
    name, content, said = REFUSED[way]
    folder = shutil.copytree(faces, tmp_path / "again")
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as error:
        dataset("celeba", str(folder))
    assert str(folder / name) in str(error.value) and "\n" not in str(error.value)


def batch(n: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and pixels of one of CIFAR-10's batches."""
    rng = np.random.default_rng(first)
    return (np.arange(n) + first) % 10, rng.integers(0, 256, (n, 3072), np.uint8)


LABELS: dict[str, Callable[[np.ndarray], Any]] = {
    "a list": lambda labels: labels.tolist(),
    "int64": lambda labels: labels.astype(np.int64),
    "big-endian": lambda labels: labels.astype(">i4"),
    "numbers of NumPy": list,
}
PIXELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows": lambda pixels: pixels,
    "columns first": np.asfortranarray,
    "NCHW": lambda pixels: pixels.reshape(-1, 3, 32, 32),
    "NHWC": lambda pixels: pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1),
}
WAYS = [
    *((protocol, key, "int64", "rows") for protocol in range(6) for key in (str, str.encode)),
    *((4, str, labels, "rows") for labels in LABELS),
    *((protocol, str, "a list", pixels) for protocol in (2, 5) for pixels in PIXELS),
]


@pytest.mark.parametrize(("protocol", "key", "labels", "pixels"), WAYS)
def test_cifar10s_batches_pickled_again_hold_the_same_images(
    protocol: int, key: Callable[[str], str | bytes], labels: str, pixels: str, tmp_path: Path
) -> None:
    batches = {name: batch(4, 4 * i) for i, name in enumerate(BATCHES)}
    write_cifar10(tmp_path / "old", {n: b[0] for n, b in batches.items()}, {n: b[1] for n, b in batches.items()}, False)
    for name, (numbers, values) in batches.items():
        content = {key("labels"): LABELS[labels](numbers), key("data"): PIXELS[pixels](values)}
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol=protocol))
    assert same(dataset("cifar10", str(tmp_path)).load(), dataset("cifar10", str(tmp_path / "old")).load())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"labels": [1], "data": np.zeros((1, 3072))}, "holds an array of 'f8', not of bytes"),
        ({"labels": [1], "data": np.zeros((1, 3072), np.int64)}, "int64; 3072 bytes an image are needed"),
        ({"fine_labels": [1], "data": np.zeros((1, 3072), np.uint8)}, "not a pickled batch of CIFAR-10"),
        ((np.zeros((1, 3072), np.uint8), [1]), "not a pickled batch of CIFAR-10"),
        ({"labels": np.array([["a"]], object), "data": np.zeros((1, 3072), np.uint8)}, "not of bytes"),
        ({"labels": torch.zeros(1), "data": 0}, "which a batch of images has no need of"),
    ],
    ids=["floats", "int64", "CIFAR-100", "tuple", "objects", "torch"],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_a_batch_of_another_kind_is_refused_in_one_line(
    content: object, said: str, protocol: int, tmp_path: Path
) -> None:
    for name in BATCHES:
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(ValueError, match="data_batch_1: .*" + said) as error:
        dataset("cifar10", str(tmp_path)).load()
    assert "\n" not in str(error.value)


def in_own_folders(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.rename(folder / "moved")
        path.mkdir()
        (folder / "moved").rename(path / path.name.replace("-idx", ".idx"))


def each(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [change(path) for path in list(folder.iterdir())]


FILES: dict[str, Callable[[Path], object]] = {
    "a dot": each(lambda p: p.rename(p.with_name(p.name.replace("-idx", ".idx")))),
    "a dot in some": lambda f: (f / "t10k-labels-idx1-ubyte").rename(f / "t10k-labels.idx1-ubyte"),
    "gzipped without a suffix": each(lambda p: p.write_bytes(gzip.compress(p.read_bytes()))),
    "plain with a suffix": each(lambda p: p.rename(p.with_name(p.name + ".gz"))),
    "in folders of their names": in_own_folders,
}


@pytest.mark.parametrize("way", FILES)
def test_mnists_files_by_their_other_names_hold_the_same_images(way: str, tmp_path: Path) -> None:
    FILES[way](write_idx(tmp_path / "again", *clothing(), gzipped=False))
    write_idx(tmp_path / "old", *clothing(), gzipped=False)
    again, old = (dataset("mnist", str(tmp_path / name)).load() for name in ("again", "old"))
    assert same(again, old)
