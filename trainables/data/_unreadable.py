"""Pictures that cannot be read among many that can: which they are. Those who leave them out name them (`Dataset`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from trainables.data import OnDisk, layout_of, member_of
from trainables.data._files.layout import Layout, choose, name_in, reads, without
from trainables.data._files.pictures import read_picture

_SMALL = 8  # pixels a side: whether a picture can be read does not depend on it


def unreadable_pictures(
    name: str, folder: str = "", limit: int = 0, looked_at: Callable[[int, int, int], None] = lambda *_: None
) -> tuple[str, ...]:
    """Of the pictures that a data set's splits would hold, those that cannot be read, by their names in its folder.

    Each is read once, which takes minutes for very many: `looked_at` is called after each, with how many have been, of how
    many, and how many of them cannot be read.
    ValueError where there is no such data set, the folder does not hold it, or its images are no files of their own.
    """
    try:
        member, option = member_of(name)
        if not isinstance(member, OnDisk):
            raise ValueError("is embedded: there is no picture to leave out")
        return _unreadable(layout_of(member, option, folder), limit, looked_at)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _unreadable(layout: Layout, limit: int, looked_at: Callable[[int, int, int], None]) -> tuple[str, ...]:
    """Of a layout's pictures. Where one is left out another may take its place within the limit, and is looked at too."""
    if not layout.train.pictures:
        raise ValueError(f"{layout.place}: its images are not files of their own, of which some could be left out")
    seen: set[Path] = set()
    skipped: list[str] = []
    while True:
        new = [path for path in _pictures(without(layout, skipped), limit) if path not in seen]
        if not new:
            return tuple(sorted(skipped))
        before = len(seen)
        seen.update(new)
        for i, path in enumerate(new, 1):
            if not _readable(path):
                skipped.append(name_in(layout, path))
            looked_at(before + i, len(seen), len(skipped))


def _pictures(layout: Layout, limit: int) -> Iterator[Path]:
    """The pictures of all splits."""
    for part, indices in reads(layout, choose(layout, limit)):
        yield from (part.pictures[i] for i in indices)


def _readable(path: Path) -> bool:
    try:
        read_picture(path, _SMALL)
    except ValueError:
        return False
    return True
