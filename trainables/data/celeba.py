"""CelebA: 202,599 aligned faces with 40 attributes (Liu et al. 2015, arXiv 1411.7766), a few of which are the condition.

``celeba`` has the attributes of `DEFAULT`; ``celeba:Smiling,Eyeglasses`` names others. The official validation faces are
not used.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from trainables.data import register_on_disk
from trainables.data._files.face_lists import read_attributes, read_partition
from trainables.data._files.layout import Layout, find_folder
from trainables.data._files.pictures import pictures_part

DEFAULT = ("Male", "Smiling", "Young")  # each has and lacks at least a fifth of the faces, and all 8 vectors are common
MOST = 8
PICTURES, ATTRIBUTES, PARTITION = "img_align_celeba", "list_attr_celeba", "list_eval_partition"
TRAIN, TEST = 0, 2  # partitions


@register_on_disk("celeba", option="ATTRIBUTE,…")
def celeba(folder: Path, option: str) -> Layout:
    """``img_align_celeba/`` and the two lists (.txt, or Kaggle's .csv), in the folder itself or in torchvision's ``celeba``.

    Faces of 178×218 pixels: the 178×178 in the middle, made 64×64 unless asked otherwise. Pictures that are listed and not
    there are left out, as of a part of CelebA.
    """
    place = find_folder(folder, ("celeba",), PICTURES)
    attributes, partition = (_list_file(place, name) for name in (ATTRIBUTES, PARTITION))
    chosen = tuple(name.strip() for name in option.split(",")) if option else DEFAULT
    if len(set(chosen)) != len(chosen) or len(chosen) > MOST:
        raise ValueError(f"attributes {', '.join(chosen)}: name each once, and at most {MOST}")
    code_of, part_of = read_attributes(attributes, chosen), read_partition(partition)
    unknown = [name for name in code_of if name not in part_of]
    if unknown:
        raise ValueError(f"{partition}: does not say which split {unknown[0]} is of, which {attributes.name} lists")
    path_of = _paths(place / PICTURES, list(code_of))
    parts = {}
    for number in (TRAIN, TEST):
        rows = [name for name in path_of if part_of[name] == number]
        if not rows:
            raise ValueError(f"{partition}: has no pictures of partition {number}")
        codes = np.array([code_of[name] for name in rows], np.int64)
        parts[number] = pictures_part([path_of[name] for name in rows], codes, also=(attributes, partition))
    missing = len(code_of) - len(path_of)
    notes = [("left out", f"{missing} of {len(code_of)} listed pictures, which are not there")] if missing else []
    return Layout(place, 3, 64, parts[TRAIN], parts[TEST], attributes=chosen, notes=tuple(notes))


def _list_file(place: Path, name: str) -> Path:
    """One of the two lists; ValueError where neither form of it is there."""
    for path in (place / f"{name}.txt", place / f"{name}.csv"):
        if path.is_file():
            return path
    raise ValueError(f"{place}: {name}.txt is missing (or {name}.csv)")


def _paths(folder: Path, names: list[str]) -> dict[str, Path]:
    """Where each listed picture is that is there, of the same name or as PNG; ValueError where none is."""
    inner = folder / folder.name  # Kaggle's archive
    place = inner if inner.is_dir() else folder
    there = set(os.listdir(place))
    path_of = {}
    for name in names:
        for file in (name, f"{Path(name).stem}.png"):
            if file in there:
                path_of[name] = place / file
                break
    if not path_of:
        raise ValueError(
            f"{place}: holds none of the {len(names)} listed pictures, such as {names[0] if names else 'any'}"
        )
    return path_of
