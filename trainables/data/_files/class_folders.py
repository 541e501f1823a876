"""Folders of pictures, one a class: which they are, in which order, and which pictures are each one's."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NoReturn

import numpy as np

from trainables.data._class_names import few, in_order
from trainables.data._files.layout import Part
from trainables.data._files.pictures import SUFFIXES, pictures_part

_OF_THE_SYSTEM = frozenset({"__MACOSX", "@eaDir", "lost+found", "System Volume Information"})  # nobody's classes

_NO_TEXT = ("Cs", "Cc")  # Unicode's categories of what stands for a byte that is no UTF-8, and of control characters


def sub_folders(folder: Path) -> list[Path]:
    """The folders in a folder by name, links to folders too, without hidden ones and those that systems leave.

    ValueError for a link that leads nowhere, two names of one folder, and a name that is not UTF-8: a class may be lost by each.
    """
    entries = sorted(entry for entry in folder.iterdir() if not unseen(entry.name))
    folders = [entry for entry in entries if entry.is_dir()]
    for entry in entries:
        if entry.is_symlink() and not entry.exists() and not is_picture(entry.name):
            raise ValueError(f"{entry}: is a link that leads nowhere; mend it, or remove it")
    by_place: dict[Path, Path] = {}
    for entry in folders:
        first = by_place.setdefault(entry.resolve(), entry)
        if first != entry:
            raise ValueError(
                f"{folder}: {first.name}/ and {entry.name}/ are one folder under two names; keep one of them"
            )
        if any(unicodedata.category(character) in _NO_TEXT for character in entry.name):
            raise ValueError(f"{folder}: holds a folder whose name is not UTF-8 text, {entry.name!a}; rename it")
    return folders


def loose_pictures(folder: Path) -> list[Path]:
    """The pictures that lie in a folder itself."""
    return [p for p in folder.iterdir() if is_picture(p.name) and not p.is_dir()]


def unseen(name: str) -> bool:
    """Whether a file or folder is hidden or a system's own, such as macOS's ``._000.jpg``."""
    return name.startswith(".") or name in _OF_THE_SYSTEM


def is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not unseen(name)


def class_folders(folder: Path) -> tuple[str, ...]:
    """The names of a folder's classes, in the order of their conditions; ValueError where there are not two."""
    names = [d.name for d in sub_folders(folder)]
    if len(names) < 2:
        raise ValueError(f"{folder}: holds {len(names)} folders where at least two are needed, one a class")
    return in_order(names)


def folders_part(folder: Path, classes: tuple[str, ...], left_out: Counter[str] | None = None) -> Part:
    """The pictures of these classes; ValueError where a class has none, or has them in several folders.

    What lies among them and is no picture is counted in `left_out` by its kind.
    """
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        of_class = pictures_of(folder / name, Counter() if left_out is None else left_out)
        paths += of_class
        labels += [label] * len(of_class)
    return pictures_part(paths, np.array(labels, np.int64))


def pictures_of(folder: Path, left_out: Counter[str]) -> list[Path]:
    """The pictures of a class, which lie in its folder or all in one within it, links included."""
    places: dict[Path, list[Path]] = {}
    others: Counter[str] = Counter()
    walked = {folder.resolve()}
    for place, folders, names in os.walk(folder, onerror=_unreadable, followlinks=True):
        others["hidden"] += sum(map(unseen, folders))
        folders[:] = [name for name in sorted(folders) if not unseen(name)]
        new = {name: (Path(place) / name).resolve() for name in folders}
        others["links to a folder that is read already"] += len(walked.intersection(new.values()))
        folders[:] = [name for name in folders if new[name] not in walked]
        walked.update(new.values())
        for path in (Path(place, name) for name in sorted(names)):
            if unseen(path.name):
                others["hidden"] += 1
            elif is_picture(path.name) and (
                path.is_file() or not path.exists()
            ):  # a dangling link is refused when read
                places.setdefault(path.parent, []).append(path)
            else:
                others[path.suffix.lower() or "without suffix"] += 1
    if not places:
        held = f"; it holds {counts_text(others)}" if +others else ""
        raise ValueError(f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))}){held}")
    if len(places) > 1:
        inside = [p.relative_to(folder).as_posix() + "/" for p in places if p != folder]
        also = "itself and in its " if folder in places else ""
        raise ValueError(
            f"{folder}: has pictures in {also}{few(inside)}, so that it may be one class or several; put the pictures of each "
            f"class into one folder, and those folders side by side"
        )
    left_out.update(others)
    (pictures,) = places.values()
    return pictures


def _unreadable(error: OSError) -> NoReturn:
    raise ValueError(f"{error.filename}: cannot be read ({error.strerror})")


def counts_text(counts: Counter[str]) -> str:
    """``2 hidden, 3 .txt``."""
    return ", ".join(f"{n} {kind}" for kind, n in sorted((+counts).items()))
