"""Data sets: one file each.

A data set is a function that returns every image with its condition, split three ways: `train` (the base model and the
classifier), `public` (images an attacker may own), `test` (held out for the classifier's accuracy). Describing one costs
nothing; only `load` reads the images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from trainables.registry import Registry

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Images:
    """Images with their conditions: `images` (N, C, H, W) float32 in [-1, 1], `conditions` (N,) int64."""

    images: torch.Tensor
    conditions: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)

    def where(self, mask: torch.Tensor) -> Images:
        """The images under a boolean mask or an index (N,)."""
        return Images(self.images[mask], self.conditions[mask])

    def of(self, condition: int) -> Images:
        """The images of one condition."""
        return self.where(self.conditions == condition)

    def to(self, device: str) -> Images:
        """The same on a device."""
        return Images(self.images.to(device), self.conditions.to(device))

    def draw(self, n: int, generator: torch.Generator) -> Images:
        """n images drawn with replacement, by a generator on the CPU."""
        import torch

        return self.where(torch.randint(len(self), (n,), generator=generator).to(self.images.device))


@dataclass(frozen=True)
class Splits:
    """The three splits of a data set; no image is in two of them."""

    train: Images
    public: Images
    test: Images


@dataclass(frozen=True)
class Dataset:
    """A data set's description: `shape` is (C, H, W); its conditions are 0 … conditions - 1, the null condition follows.

    With `attributes` a condition is their vector: bit i says whether an image has attribute i, and `present` names the
    vectors that occur. One condition means an unconditional model. `judged_by` is the data set whose classifier judges
    samples, for data whose own conditions do not tell images apart.
    """

    name: str
    conditions: int
    shape: tuple[int, int, int]
    read: Callable[[], Splits]
    attributes: tuple[str, ...] = ()
    present: tuple[int, ...] = ()
    judged_by: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "present", self.present or tuple(range(self.conditions)))

    @property
    def unconditional(self) -> bool:
        return self.conditions == 1

    @property
    def judge(self) -> Dataset:
        """The data set that the judging classifier is trained on."""
        return DATASETS[self.judged_by] if self.judged_by else self

    def load(self) -> Splits:
        return _load(self)


@cache
def _load(dataset: Dataset) -> Splits:
    return dataset.read()


DATASETS: Registry[Dataset] = Registry("data set", __name__)


def register(
    name: str,
    *,
    conditions: int,
    shape: tuple[int, int, int],
    attributes: tuple[str, ...] = (),
    present: tuple[int, ...] = (),
    judged_by: str = "",
) -> Callable:
    """Register a function that reads a data set."""
    return DATASETS.decorator(name, lambda read: Dataset(name, conditions, shape, read, attributes, present, judged_by))
