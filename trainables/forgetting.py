"""What is to be forgotten: whole conditions (classes, or every condition that has an attribute), or single images.

Written as text, so that it travels in a plan and in artifact keys: ``3`` or ``3,7`` or ``cat,dog`` (classes),
``attribute:loop`` (whatever has that attribute), ``instances:12,40`` (images of the training split by index, each with all its
copies). A class is called by its name or its condition's number; where classes are *named* by other numbers, numbers are names
only, so that none means two things: of folders 1, 2 and 3, ``2`` is the one called 2.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from trainables.data import Dataset, Images
from trainables.data._class_names import few, is_number

if TYPE_CHECKING:
    import torch

CONDITIONS, INSTANCES = "conditions", "instances"


@dataclass(frozen=True)
class Forget:
    """What is forgotten. `conditions` are all forgotten ones (empty for instances); `attribute` is a bit of a condition.

    `retained` are the conditions that stay, which for instances are all there are.
    """

    text: str
    conditions: tuple[int, ...]
    retained: tuple[int, ...]
    attribute: int | None = None
    instances: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """``conditions`` or ``instances``: what a method must be able to forget."""
        return INSTANCES if self.instances else CONDITIONS

    @property
    def prompts(self) -> tuple[int, ...]:
        """The conditions that ask for what was forgotten; an unconditional model is asked by its only one."""
        return self.conditions or self.retained

    def split(self, train: Images) -> tuple[Images, Images]:
        """(forget set, retain set) of the training images."""
        forgotten = self.mask(train)
        return train.where(forgotten), train.where(~forgotten)

    def mask(self, train: Images) -> torch.Tensor:
        """(N,) bool: which training images are to be forgotten. A copy of a forgotten instance is forgotten with it."""
        import torch

        if not self.instances:
            return self.asked_by(train.conditions)
        if max(self.instances) >= len(train):
            raise ValueError(f"instance {max(self.instances)}: the training split has images 0 to {len(train) - 1}")
        instances = train.batch(torch.tensor(self.instances)).images.flatten(1)
        parts = [
            torch.stack([(part.flatten(1) == one).all(dim=1) for one in instances]).any(dim=0) for part in train.parts()
        ]
        return torch.cat(parts)

    def asked_by(self, conditions: torch.Tensor) -> torch.Tensor:
        """(N,) bool: which conditions ask for what was forgotten, or, of a judge's verdicts, show it."""
        import torch

        if self.attribute is not None:
            return (conditions >> self.attribute & 1).bool()
        return torch.isin(conditions, torch.tensor(self.conditions, dtype=conditions.dtype, device=conditions.device))

    def held_out(self, images: Images) -> Images:
        """Of images outside the training split, those that nobody may call unrelated: of forgotten conditions, else all."""
        return images if self.instances else images.where(self.asked_by(images.conditions))

    def unrelated(self, images: Images) -> Images:
        """Of images outside the training split, those of retained conditions: no split holds an instance of another."""
        return images if self.instances else images.where(~self.asked_by(images.conditions))


@cache
def parse_forget(text: str, dataset: Dataset) -> Forget:
    """What `text` says is to be forgotten of `dataset`; ValueError where it says nothing that the data set has."""
    kind, colon, rest = text.partition(":")
    if not colon:
        return _classes(text, dataset)
    if kind == "attribute":
        return _attribute(rest, dataset)
    if kind == "instances":
        if dataset.conditions > 1:
            raise ValueError(
                f"{text}: instances are forgotten by an unconditional model; {dataset.name} has conditions"
            )
        numbers = tuple(sorted(set(_numbers(rest, text))))
        return Forget(f"instances:{','.join(map(str, numbers))}", (), dataset.present, instances=numbers)
    raise ValueError(f"{text}: neither classes (3,7) nor attribute:NAME nor instances:INDEX,…")


def _classes(text: str, dataset: Dataset) -> Forget:
    if dataset.attributes:
        raise ValueError(
            f"{text}: {dataset.name} has attributes; write attribute:NAME with {_listed(dataset.attributes)}"
        )
    if dataset.conditions == 1:
        raise ValueError(
            f"{text}: {dataset.name} has no conditions; write instances:INDEX,… for what is to be forgotten"
        )
    parts = text.split(",") if dataset.classes else list(map(str, _numbers(text, text)))
    chosen = tuple(sorted({_class(part.strip(), text, dataset) for part in parts}))
    if len(chosen) == len(dataset.present):
        raise ValueError(f"{text}: nothing of {dataset.name} would be left")
    spelled = ",".join(class_text(condition, dataset) for condition in chosen)
    return Forget(spelled, chosen, tuple(c for c in dataset.present if c not in chosen))


def class_text(condition: int, dataset: Dataset) -> str:
    """The one spelling of a class, which `parse_forget` reads back: its condition's number, or its name where numbers are names."""
    return dataset.classes[condition] if numbers_are_names(dataset) else str(condition)


def numbers_are_names(dataset: Dataset) -> bool:
    """Whether a class is named by a number that is not its condition's, so that numbers name classes and count none."""
    return any(is_number(name) and name != str(condition) for condition, name in enumerate(dataset.classes))


def _class(part: str, text: str, dataset: Dataset) -> int:
    """The condition that a class's name or number means."""
    names = dataset.classes
    if part in names:
        return names.index(part)
    if is_number(part) and not numbers_are_names(dataset):
        if int(part) not in dataset.present:
            raise ValueError(f"{text}: {dataset.name} has conditions 0 to {dataset.conditions - 1}")
        return int(part)
    same = [i for i, name in enumerate(names) if is_number(part) and is_number(name) and int(name) == int(part)]
    if len(same) == 1:  # 1 for a class named 01
        return same[0]
    close = difflib.get_close_matches(part, names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"{text}: {dataset.name} has no class {part!r}; {guess}it has {few(names, 10)}")


def _attribute(name: str, dataset: Dataset) -> Forget:
    if name not in dataset.attributes:
        raise ValueError(f"attribute:{name}: {dataset.name} has {_listed(dataset.attributes) or 'no attributes'}")
    bit = dataset.attributes.index(name)
    having = tuple(c for c in dataset.present if c >> bit & 1)
    lacking = tuple(c for c in dataset.present if not c >> bit & 1)
    return Forget(f"attribute:{name}", having, lacking, attribute=bit)


def _numbers(text: str, whole: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{whole}: {text!r} is not a list of whole numbers such as 3 or 3,7")
    return [int(part) for part in parts]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
