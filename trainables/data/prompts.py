"""Prompts of the user's own, in a folder: ``prompts.csv``, and images of them as far as there are any.

    DIR/prompts.csv            prompt,role,concept[,style][,anchor]   (`trainables.data._files.prompt_table`)
    DIR/train/metadata.csv     file_name,text                         and the pictures beside it

Pictures lie as Hugging Face's *imagefolder* of captioned ones does; a ``text`` is a prompt of the file. ``test/`` and, beside it,
``public/`` are splits of their own; without, the pictures of ``train/`` are split 60 : 20 : 20, without ``public/`` 75 : 25.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from trainables.data import register_on_disk
from trainables.data._class_names import few, guess
from trainables.data._files.class_folders import is_picture, sub_folders
from trainables.data._files.layout import FolderNeeded, Layout, Part, require_file
from trainables.data._files.pictures import SUFFIXES, pictures_part
from trainables.data._files.prompt_table import FILE, read_prompts
from trainables.data._files.tables import Line, read_table

TRAIN, PUBLIC, TEST = "train", "public", "test"
CAPTIONS = "metadata.csv"
SIZE = 512  # pixels a side unless asked otherwise: Stable Diffusion's


@register_on_disk("prompts")
def prompts(folder: Path, option: str) -> Layout:
    """The prompts and their pictures, in colour; ValueError, naming file and line, where it is not clear what is meant."""
    if not folder.is_dir():
        raise FolderNeeded(f"{folder}: no such folder")
    table = read_prompts(require_file(folder, FILE))
    folders = {place.name: place for place in sub_folders(folder)}
    splits = {name: folders.pop(name) for name in (TRAIN, PUBLIC, TEST) if name in folders}
    for name, beside in ((PUBLIC, TEST), (PUBLIC, TRAIN), (TEST, TRAIN)):
        if name in splits and beside not in splits:
            raise ValueError(f"{folder}: {name}/ needs {beside}/ beside it")
    parts = {name: _captioned(place, table.prompts, folder / FILE) for name, place in splits.items()}
    notes = [("prompts", _roles_text(table.roles))]
    unread = [*(f"the column {column}" for column in table.unread), *(f"{name}/" for name in folders)]
    notes += [("not read", few(unread))] * bool(unread)
    return Layout(
        place=folder,
        channels=3,
        size=SIZE,
        train=parts.get(TRAIN) or pictures_part([], np.empty(0, np.int64), also=[folder / FILE]),
        test=parts.get(TEST),
        public=parts.get(PUBLIC),
        notes=tuple(notes),
        prompts=table.prompts,
        facets=table.facets,
        roles=table.roles,
        anchors=table.anchors,
    )


def _captioned(place: Path, known: Sequence[str], table: Path) -> Part:
    """The pictures of a split with their prompts' numbers; ValueError, naming the line, where one is not there or of no prompt."""
    lines, _ = read_table(require_file(place, CAPTIONS), ("file_name", "text"))
    number_of = {prompt: number for number, prompt in enumerate(known)}
    first_of: dict[Path, Line] = {}
    for line in lines:
        first = first_of.setdefault(_picture(line, place), line)
        if first is not line:
            raise line.wrong(f"the file {line['file_name']!r} is there already, in line {first.number}")
        if line["text"] not in number_of:
            near = guess(line["text"], number_of)
            raise line.wrong(f"the text {line['text']!r} is no prompt of {table}; {near}add it there as a row")
    labels = np.array([number_of[line["text"]] for line in lines], np.int64)
    return pictures_part(list(first_of), labels, also=[table, place / CAPTIONS])


def _picture(line: Line, place: Path) -> Path:
    """The picture that a row names, in the split's folder."""
    name = line["file_name"]
    within = PurePosixPath(name)
    if not name or within.is_absolute() or ".." in within.parts:
        raise line.wrong(f"the file {name!r} is none within {place.name}/")
    if not is_picture(within.name):
        raise line.wrong(f"the file {name!r} is no picture ({few(sorted(SUFFIXES), 6)})")
    if not (place / within).is_file():
        raise line.wrong(f"the file {name!r} is missing in {place.name}/")
    return place / within


def _roles_text(roles: Sequence[str]) -> str:
    """``40: 30 forget, 10 retain``."""
    counts = (f"{roles.count(role)} {role}" for role in dict.fromkeys(roles))
    return f"{len(roles)}: {', '.join(counts)}"
