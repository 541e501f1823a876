"""How a data set lies on disk, and the fixed rules by which its images become train, public and test.

What is here is arrays and paths; a data set's own file says where its images and labels are.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trainables.data._class_names import few
from trainables.data._facets import Facet

PUBLIC_SHARE = 0.25  # of the official training images, where the data set has its own test images
FLAT_SHARES = (0.2, 0.2)  # test and public, where it has none


class FolderNeeded(ValueError):
    """The folder that data lie in was not named, or is not there."""


@dataclass(frozen=True, eq=False)
class Part:
    """One official split: reading its labels is cheap, its pixels are read for chosen images only.

    `labels()` gives (N,) int64, `pixels(indices, size)` (n, C, H, W) uint8 of these images in turn, some at a time, which a
    part that decodes pictures makes `size` × `size` itself; `files(indices)` are the files that both have been read from.
    Where image i is a file of its own, that is `pictures[i]`.
    """

    labels: Callable[[], np.ndarray]
    pixels: Callable[[np.ndarray, int], Iterator[np.ndarray]]
    files: Callable[[np.ndarray], list[Path]]
    pictures: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False)
class Layout:
    """A data set found in a folder: `place` is where its files are, `size` its images' pixels a side unless asked otherwise.

    `test` and `public` are official splits of their own where there are such; what there is not is taken of `train`.
    A label is the index of a name in `classes`; or, with `attributes`, their vector as bits; or the number of one of `prompts`,
    of which `trainables.data.Dataset` says what their facets, roles and anchors are. `notes` say in words what in the folder
    was taken for what, each with a heading, where that is not fixed.
    """

    place: Path
    channels: int
    size: int
    train: Part
    test: Part | None = None
    classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    public: Part | None = None
    prompts: tuple[str, ...] = ()
    facets: tuple[Facet, ...] = ()
    roles: tuple[str, ...] = ()
    anchors: tuple[int, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """The images of each split: indices (n,) in rising order, of the training part, or of the split's own if there is one."""

    train: np.ndarray
    public: np.ndarray
    test: np.ndarray


def stratified(labels: np.ndarray) -> np.ndarray:
    """(N,) a fixed order of images with these labels, every beginning of which holds the labels in proportion."""
    shuffled = np.random.RandomState(0).permutation(
        len(labels)
    )  # the one generator of NumPy whose stream never changes
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        of_label = np.flatnonzero(labels[shuffled] == label)
        rank[of_label] = (np.arange(len(of_label)) + 0.5) / len(of_label)
    return shuffled[np.argsort(rank, kind="stable")]


def choose(layout: Layout, limit: int) -> Chosen:
    """Which images each split holds, at most `limit` (0: all). A smaller limit's images are among a larger one's."""
    order = stratified(layout.train.labels())
    if layout.public is not None and layout.test is not None:
        train, public, test = order, stratified(layout.public.labels()), stratified(layout.test.labels())
    elif layout.test is not None:
        test = stratified(layout.test.labels())
        public, train = np.split(order, [int(PUBLIC_SHARE * len(order))])
    else:
        shares = np.cumsum(FLAT_SHARES)
        test, public, train = np.split(order, [int(share * len(order)) for share in shares])
    return Chosen(*(np.sort(part[: limit or None]) for part in (train, public, test)))


def reads(layout: Layout, chosen: Chosen) -> list[tuple[Part, np.ndarray]]:
    """Of which part which images are read, for train, public and test in turn; those of one part together."""
    of_splits = (layout.train, chosen.train), (layout.public, chosen.public), (layout.test, chosen.test)
    together: list[tuple[Part, np.ndarray]] = []
    for own, indices in of_splits:
        part = own or layout.train
        if together and together[-1][0] is part:
            indices = np.concatenate([together.pop()[1], indices])
        together.append((part, indices))
    return together


def name_in(layout: Layout, file: Path) -> str:
    """A file's name within the data set's place."""
    return file.relative_to(layout.place).as_posix()


def without(layout: Layout, names: Collection[str]) -> Layout:
    """The same data set without these pictures, of which it says so."""
    if not names:
        return layout
    left_out = frozenset(names)
    train, public, test = (
        part and _part_without(layout, part, left_out) for part in (layout.train, layout.public, layout.test)
    )
    assert train is not None, "every layout has one"
    shown = [os.fsencode(name).decode(errors="replace") for name in sorted(names)]
    note = ("left out", f"{len(names)} unreadable: {few(shown)}")
    return replace(layout, train=train, public=public, test=test, notes=(*layout.notes, note))


def _part_without(layout: Layout, part: Part, names: frozenset[str]) -> Part:
    kept = np.array([i for i, path in enumerate(part.pictures) if name_in(layout, path) not in names], np.int64)
    return Part(
        labels=lambda: part.labels()[kept],
        pixels=lambda indices, size: part.pixels(kept[indices], size),
        files=lambda indices: part.files(kept[indices]),
        pictures=tuple(part.pictures[i] for i in kept),
    )


def files_read(layout: Layout, chosen: Chosen) -> dict[str, Path]:
    """The files that these images are read from, by their name within the data set's place."""
    files = [file for part, indices in reads(layout, chosen) for file in part.files(indices)]
    return {name_in(layout, file): file for file in files}


def fingerprint(files: dict[str, Path]) -> str:
    """SHA-256 over the files' names and contents. ValueError where one cannot be read."""
    digest = hashlib.sha256()
    for name in sorted(files):
        try:
            with files[name].open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
        except OSError as error:
            raise ValueError(f"{files[name]}: cannot be read ({error.strerror})") from None
        digest.update(hashlib.sha256(os.fsencode(name)).digest() + content)
    return digest.hexdigest()


def find_folder(folder: Path, within: tuple[str, ...], holds: str, or_holds: str = "") -> Path:
    """`folder` or the first of its sub-folders `within` that holds the file or folder `holds`, a glob pattern, or another.

    ValueError names the folder that is not there, or what was looked for and where.
    """
    if not folder.is_dir():
        raise FolderNeeded(f"{folder}: no such folder")
    for place in (folder, *(folder / name for name in within)):
        if any(place.glob(holds)) or (or_holds and any(place.glob(or_holds))):
            return place
    looked = ", ".join(["it", *(f"its {name}/" for name in within)])
    raise ValueError(f"{folder}: holds no {holds} (looked in {looked})")


def read_file(path: Path) -> bytes:
    """A file's content; ValueError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def require_file(place: Path, name: str) -> Path:
    """The file `name` in `place`; ValueError where it is missing."""
    if not (place / name).is_file():
        raise ValueError(f"{place}: {name} is missing")
    return place / name
