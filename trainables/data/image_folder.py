"""Any folder of pictures as torchvision's `ImageFolder` reads it: one sub-folder a class, in alphabetical order.

With ``train/`` and ``test/`` or ``val/`` the latter are the test images; without, the classes are split 60 : 20 : 20.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainables.data import register_on_disk
from trainables.layout import Layout, Part
from trainables.pictures import SUFFIXES, pictures_part


@register_on_disk("image_folder")
def image_folder(folder: Path, option: str) -> Layout:
    """Pictures of any size, made 64×64 unless asked otherwise, in colour."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    training = folder / "train" if (folder / "train").is_dir() else folder
    classes = class_folders(training)
    held_out = next((folder / name for name in ("test", "val") if (folder / name).is_dir()), None)
    test = None
    if training != folder and held_out is not None:
        if class_folders(held_out) != classes:
            raise ValueError(
                f"{held_out}: its classes {_few(class_folders(held_out))} are not those of train, {_few(classes)}"
            )
        test = folders_part(held_out, classes)
    return Layout(folder, 3, 64, folders_part(training, classes), test, classes)


def class_folders(folder: Path) -> tuple[str, ...]:
    """The names of a folder's classes; ValueError where there are not two."""
    classes = tuple(sorted(d.name for d in folder.iterdir() if d.is_dir() and not d.name.startswith(".")))
    if len(classes) < 2:
        raise ValueError(f"{folder}: holds {len(classes)} folders where at least two are needed, one a class")
    return classes


def folders_part(folder: Path, classes: tuple[str, ...]) -> Part:
    """The pictures of these classes, sub-folders included; ValueError where a class has none."""
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        own = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not own:
            raise ValueError(f"{folder / name}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
        paths += own
        labels += [label] * len(own)
    return pictures_part(paths, np.array(labels, np.int64))


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
