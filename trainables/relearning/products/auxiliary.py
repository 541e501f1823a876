"""The auxiliary sets on a workbench: what an attacker trains on."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.auxiliary import auxiliary_set
from trainables.data import Images, Splits
from trainables.forgetting import Forget
from trainables.relearning.products.features import conditions_by_distance_of
from trainables.relearning.products.images import splits_of
from trainables.relearning.products.latents import encoded_splits_of
from trainables.relearning.products.synthetic import synthetic_forgotten_of, synthetic_of
from trainables.relearning.workbench import Workbench


@dataclass(frozen=True)
class OnBench:
    """A workbench as `trainables.auxiliary.Sources`."""

    bench: Workbench

    @property
    def encoded(self) -> Splits:
        return encoded_splits_of(self.bench)

    @property
    def forgetting(self) -> Forget:
        return self.bench.experiment.forgetting

    @property
    def synthetic(self) -> Images:
        return synthetic_of(self.bench)

    @property
    def synthetic_forgotten(self) -> Images:
        return synthetic_forgotten_of(self.bench)

    @property
    def conditions_by_distance(self) -> list[int]:
        return conditions_by_distance_of(self.bench)


@dataclass(frozen=True)
class AsRead(OnBench):
    """The same before latents are made of the images, which are as many and of the same conditions."""

    @property
    def encoded(self) -> Splits:
        return splits_of(self.bench)


def auxiliary_of(bench: Workbench, name: str) -> Images:
    """The auxiliary set `name`; ValueError for an unknown one, or one without an image."""
    return auxiliary_set(name, OnBench(bench))
