"""CelebA: 202,599 aligned faces with 40 attributes (Liu et al. 2015, arXiv 1411.7766), a few of which are the condition.

``celeba`` has the attributes of `DEFAULT`; ``celeba:Smiling,Eyeglasses`` names others. The official validation faces are
not used.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np

from trainables.data import register_on_disk
from trainables.data._files.layout import Layout, find_folder, read_file, require_file
from trainables.data._files.pictures import pictures_part

DEFAULT = ("Male", "Smiling", "Young")  # each has and lacks at least a fifth of the faces, and all 8 vectors are common
MOST = 8
PICTURES, ATTRIBUTES, PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"


@register_on_disk("celeba", option="ATTRIBUTE,…")
def celeba(folder: Path, option: str) -> Layout:
    """``img_align_celeba/`` and the two lists, in the folder itself or in torchvision's ``celeba``.

    Faces of 178×218 pixels: the 178×178 in the middle, made 64×64 unless asked otherwise.
    """
    place = find_folder(folder, ("celeba",), PICTURES)
    attributes, partition = require_file(place, ATTRIBUTES), require_file(place, PARTITION)
    chosen = tuple(name.strip() for name in option.split(",")) if option else DEFAULT
    if len(set(chosen)) != len(chosen) or len(chosen) > MOST:
        raise ValueError(f"attributes {', '.join(chosen)}: name each once, and at most {MOST}")
    names, codes = read_attributes(attributes, chosen)
    part_of = read_partition(partition)
    if list(part_of) != names:
        raise ValueError(f"{partition}: does not list the same pictures in the same order as {attributes.name}")
    parts = np.array(list(part_of.values()))
    paths = [place / PICTURES / name for name in names]

    def part(number: int) -> tuple[list[Path], np.ndarray]:
        own = np.flatnonzero(parts == number)
        if not len(own):
            raise ValueError(f"{partition}: has no pictures of partition {number}")
        return [paths[i] for i in own], codes[own]

    lists = (attributes, partition)
    train, test = (pictures_part(*part(number), also=lists) for number in (0, 2))
    return Layout(place, 3, 64, train, test, attributes=chosen)


def read_attributes(path: Path, chosen: tuple[str, ...]) -> tuple[list[str], np.ndarray]:
    """The pictures' names and (N,) int64 the vector of the chosen attributes: the i-th one's is bit i.

    The list: the number of pictures, a line of the attributes' names, then a line a picture of its name and 1 or -1 each.
    """
    count, header, *lines = (read_file(path).decode(errors="replace").splitlines() or [""]) + [""]
    known = header.split()
    for name in chosen:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            guess = f"did you mean {close[0]}? " if close else ""
            raise ValueError(f"{path}: has no attribute {name!r}; {guess}it has {', '.join(known)}")
    columns = [1 + known.index(name) for name in chosen]
    rows = [line.split() for line in lines if line]
    if count.strip() != str(len(rows)):
        raise ValueError(f"{path}: lists {len(rows)} pictures where its first line promises {count.strip() or 'none'}")
    for number, row in enumerate(rows, 3):
        if len(row) != 1 + len(known) or any(row[c] not in ("1", "-1") for c in columns):
            raise ValueError(f"{path}, line {number}: not a picture's name and {len(known)} times 1 or -1")
    codes = [sum((row[column] == "1") << bit for bit, column in enumerate(columns)) for row in rows]
    return [row[0] for row in rows], np.array(codes, np.int64)


def read_partition(path: Path) -> dict[str, int]:
    """Each picture's partition: 0 train, 1 validation, 2 test."""
    part_of = {}
    for number, line in enumerate(read_file(path).decode(errors="replace").splitlines(), 1):
        name, _, part = line.strip().partition(" ")
        if part.strip() not in ("0", "1", "2"):
            raise ValueError(f"{path}, line {number}: not a picture's name and 0, 1 or 2")
        part_of[name] = int(part)
    return part_of
