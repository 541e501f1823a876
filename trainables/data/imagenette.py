"""Imagenette: ten easily told classes of ImageNet, 9,469 + 3,925 photographs (Howard 2019, github.com/fastai/imagenette)."""

from __future__ import annotations

from pathlib import Path

from trainables.data import register_on_disk
from trainables.data._files.class_folders import class_folders, folders_part
from trainables.data._files.layout import Layout, find_folder

CLASSES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
ARCHIVES = ("imagenette2-160", "imagenette2-320", "imagenette2")


@register_on_disk("imagenette")
def imagenette(folder: Path, option: str) -> Layout:
    """``train/`` and ``val/`` with a folder for each WordNet id, in the folder itself or in one an archive unpacks to.

    The square in the middle of each photograph, made 64×64 unless asked otherwise.
    """
    place = find_folder(folder, ARCHIVES, "train")
    for split in ("train", "val"):
        if not (place / split).is_dir():
            raise ValueError(f"{place}: {split}/ is missing")
        if missing := sorted(set(CLASSES) - set(class_folders(place / split))):
            raise ValueError(f"{place / split}: {missing[0]} ({CLASSES[missing[0]]}) is missing")
    ids = tuple(CLASSES)
    train, test = (folders_part(place / split, ids) for split in ("train", "val"))
    return Layout(place, 3, 64, train, test, tuple(CLASSES.values()))
