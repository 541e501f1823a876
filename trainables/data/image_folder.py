"""Any folder of pictures much as torchvision's `ImageFolder` reads it: one sub-folder a class.

With ``train/`` and ``test/`` or ``val/`` the latter are the test images; without, the classes are split 60 : 20 : 20. What was
taken for what is said in the plan, and what can be taken for two things is refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from trainables.data import register_on_disk
from trainables.data._class_names import few
from trainables.data._files.class_folders import class_folders, counts_text, folders_part, loose_pictures, sub_folders
from trainables.data._files.layout import FolderNeeded, Layout

ROLES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
}  # of a folder's name in small letters
DEEPEST = 3  # folders in folders that an archive's own folder is looked for in


@register_on_disk("image_folder")
def image_folder(folder: Path, option: str) -> Layout:
    """Pictures of any size, made 64×64 unless asked otherwise, in colour."""
    if not folder.is_dir():
        raise FolderNeeded(f"{folder}: no such folder")
    place = unwrapped(folder)
    splits = split_folders(place)
    classes = class_folders(splits.train)
    left_out: Counter[str] = Counter({"beside the classes": len(loose_pictures(splits.train))})
    train, test = folders_part(splits.train, classes, left_out), None
    if splits.test is not None:
        left_out["beside the classes"] += len(loose_pictures(splits.test))
        if (others := class_folders(splits.test)) != classes:
            raise ValueError(
                f"{splits.test}: its classes {few(others)} are not those of {splits.train.name}, {few(classes)}"
            )
        for name in classes:
            if (splits.train / name).resolve() == (splits.test / name).resolve():
                raise ValueError(
                    f"{splits.test / name}: is the same folder as {splits.train / name}; test images must be others"
                )
        test = folders_part(splits.test, classes, left_out)
    notes = [("folders", splits.text(place) + f", in {place.relative_to(folder)}/" * (place != folder))]
    notes += [("left out", counts_text(left_out))] * bool(+left_out)
    return Layout(place, 3, 64, train, test, classes, notes=tuple(notes))


@dataclass(frozen=True)
class SplitFolders:
    """Which folder holds which split's classes; `train` is the data set's own folder where nothing says how to split it."""

    train: Path
    test: Path | None = None
    unread: tuple[str, ...] = ()

    def text(self, place: Path) -> str:
        """``Train/ is train and public, Test/ is test; val/ is not read``."""
        whose = "each folder" if self.train == place else f"each folder in {self.train.name}/"
        if self.test is None:
            words = f"{whose} is a class, split 60 : 20 : 20 into train, public and test"
        else:
            words = f"{self.train.name}/ is train and public, {self.test.name}/ is test"
        return words + (f"; not read: {few(self.unread)}" if self.unread else "")


def unwrapped(folder: Path) -> Path:
    """The folder itself, or the one that lies alone in it and holds the data set, as archives unpack."""
    for _ in range(DEEPEST):
        inner = sub_folders(folder)
        alone = len(inner) == 1 and not loose_pictures(folder)
        if not alone or inner[0].name.lower() in ROLES or not sub_folders(inner[0]):
            break
        folder = inner[0]
    return folder


def split_folders(place: Path) -> SplitFolders:
    """The folders named for splits, in any case, that hold a folder for each class; ValueError where it is not clear which."""
    folders = sub_folders(place)
    named = [f for f in folders if f.name.lower() in ROLES]
    splits = [f for f in named if sub_folders(f)]
    others = [f for f in folders if f not in named]
    if not splits:
        _check_classes(place, named, others)
        return SplitFolders(place)
    of_role: dict[str, Path] = {}
    for split in splits:
        first = of_role.setdefault(ROLES[split.name.lower()], split)
        if first != split:
            raise ValueError(f"{place}: holds both {first.name}/ and {split.name}/; keep one of them there")
    if "train" not in of_role:
        raise ValueError(
            f"{place}: holds {_listed(splits)} but no train/ with a folder for each class; call the folder of the training "
            f"pictures train/, or give one of these itself"
        )
    train, test = of_role["train"], of_role.get("test", of_role.get("val"))
    beside = [f for f in others if test is None and (loose_pictures(f) or sub_folders(f))]
    if beside:
        raise ValueError(
            f"{place}: {train.name}/ may be the training split or a class like {_listed(beside)} beside it; give {train} itself, "
            f"or rename it"
        )
    return SplitFolders(train, test, tuple(f"{f.name}/" for f in folders if f not in (train, test)))


def _check_classes(place: Path, named: list[Path], others: list[Path]) -> None:
    """ValueError where folders named for splits hold no classes, unless a single ``train`` is a class of vehicles."""
    if not named or (others and [f.name.lower() for f in named] == ["train"]):
        return
    beside = f" beside {_listed(others)}" if others else ""
    raise ValueError(
        f"{place}: {_listed(named)}{beside} may be splits but hold no folder for each class; sort their pictures into such "
        f"folders, or rename what is a class"
    )


def _listed(folders: list[Path]) -> str:
    return few([f"{f.name}/" for f in folders])
