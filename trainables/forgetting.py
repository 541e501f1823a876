"""What is to be forgotten: whole conditions (classes, or every condition that has an attribute), or single images.

Written as text, so that it travels in a plan and in artifact keys: ``3`` or ``3,7`` (classes), ``attribute:loop``
(whatever has that attribute), ``instances:12,40`` (images of the training split by index, each with all its copies).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from trainables.data import Dataset, Images

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
        pixels = train.images.flatten(1)
        return torch.stack([(pixels == pixels[i]).all(dim=1) for i in self.instances]).any(dim=0)

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
    numbers = tuple(sorted(set(_numbers(text, text))))
    for number in numbers:
        if number not in dataset.present:
            raise ValueError(f"{text}: {dataset.name} has conditions 0 to {dataset.conditions - 1}")
    if len(numbers) == len(dataset.present):
        raise ValueError(f"{text}: nothing of {dataset.name} would be left")
    return Forget(",".join(map(str, numbers)), numbers, tuple(c for c in dataset.present if c not in numbers))


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
