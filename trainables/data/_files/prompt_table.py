"""A file of prompts, ``prompts.csv``: each with its role, what its images should show, and the prompt that stands for it.

Columns: ``prompt``; ``role``, of `trainables.data.ROLES`; ``concept``, what it asks for, which of a prompt that is kept may be
empty; and, where they are wanted, ``style`` and ``anchor``, the text of another prompt of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.data._class_names import guess
from trainables.data._facets import NOTHING, ROLES, UNSEEN, Facet
from trainables.data._files.tables import Line, read_table

FILE = "prompts.csv"
REQUIRED, OPTIONAL = ("prompt", "role", "concept"), ("style", "anchor")
CONCEPT, STYLE, FORGET = "concept", "style", "forget"


@dataclass(frozen=True)
class PromptTable:
    """The prompts of a file in its order, which is that of their numbers; `anchors` are numbers of prompts, or `NOTHING`."""

    prompts: tuple[str, ...]
    roles: tuple[str, ...]
    facets: tuple[Facet, ...]
    anchors: tuple[int, ...]
    unread: tuple[str, ...]  # columns


def read_prompts(file: Path) -> PromptTable:
    """The table of a file; ValueError, naming the line, for what cannot be meant."""
    lines, unread = read_table(file, REQUIRED, OPTIONAL)
    number_of: dict[str, int] = {}
    for line in lines:
        _check_line(line)
        first = lines[number_of.setdefault(line["prompt"], len(number_of))]
        if first is not line:
            raise line.wrong(f"the prompt {line['prompt']!r} is there already, in line {first.number}")
    roles = tuple(line["role"] for line in lines)
    if FORGET not in roles:
        raise ValueError(f"{file}: no prompt has the role {FORGET}, so there is nothing to forget")
    if set(roles) <= {FORGET, UNSEEN}:
        stay = ", ".join(role for role in ROLES if role not in (FORGET, UNSEEN))
        raise ValueError(
            f"{file}: every prompt has the role {' or '.join(sorted(set(roles)))}; those that stay have {stay}"
        )
    anchors = tuple(_anchor(line, number_of) for line in lines)
    facets = [_facet(CONCEPT, lines, anchors)]
    if any(line[STYLE] for line in lines):
        facets.append(_facet(STYLE, lines, anchors))
    return PromptTable(tuple(number_of), roles, tuple(facets), anchors, tuple(unread))


def _check_line(line: Line) -> None:
    """ValueError where a row by itself cannot be meant."""
    if not line["prompt"]:
        raise line.wrong("the prompt is empty; the empty prompt is there by itself")
    if line["role"] not in ROLES:
        raise line.wrong(f"the role {line['role']!r} is unknown; {guess(line['role'], ROLES)}known: {', '.join(ROLES)}")
    if line["role"] in (FORGET, UNSEEN) and not line[CONCEPT]:
        what = "to be forgotten" if line["role"] == FORGET else "of the role unseen"
        raise line.wrong(f"a prompt {what} needs the concept that its images show")
    for column in (CONCEPT, STYLE):
        if "," in line[column]:
            raise line.wrong(f"the {column} {line[column]!r} has a ',', which separates several in --forget")


def _anchor(line: Line, number_of: dict[str, int]) -> int:
    """The number of the prompt that stands for this one."""
    text = line["anchor"]
    if not text:
        return NOTHING
    if text not in number_of:
        raise line.wrong(f"the anchor {text!r} is no prompt of this file; {guess(text, number_of)}add it as a row")
    if text == line["prompt"]:
        raise line.wrong("the prompt is its own anchor; name another, or none")
    return number_of[text]


def _facet(name: str, lines: Sequence[Line], anchors: Sequence[int]) -> Facet:
    """A column as a facet: labels in the order in which they first occur.

    The anchor of a label is that of the first of its prompts whose own anchor asks for another label.
    """
    labels = list(dict.fromkeys(line[name] for line in lines if line[name]))
    shown = [labels.index(line[name]) if line[name] else NOTHING for line in lines]
    stands_in = [NOTHING] * len(labels)
    for label, anchor in zip(shown, anchors, strict=True):
        if label == NOTHING or anchor == NOTHING or stands_in[label] != NOTHING:
            continue
        if shown[anchor] != label:
            stands_in[label] = shown[anchor]
    return Facet(name, tuple(labels), tuple(shown), tuple(stands_in))
