"""The revival point: how many benign images bring a concept back (after the protocol of "Illusion of Unlearning").

    D_1, D_2, … of `chunk_images` images each;  θ_{k+1} = Adam(θ_k, ∇ DSM(θ_k; D_c)) for `chunk_epochs` epochs of chunk c

The unlearned model is fine-tuned on one chunk of benign images after the other; the figure is the number of images, and the
step, at which relearning accuracy first exceeds .3: `metrics.revival_step` and, of it, `images_at`. Published: chunks of 50
images up to 500, batch 10, 8 epochs a chunk, learning rate 1e-5, with an average of the weights, which is left out here. As
in public code, training goes on with the newest chunk alone, and by the same optimiser.

Within an epoch every image of the chunk is seen once, in an order drawn from the run's generator. Where the images end, the
curriculum begins again with its first chunk, and no more images are seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from trainables.attacks import AttackSettings, Target, check_counts, register_gradient
from trainables.auxiliary import few
from trainables.data import Images
from trainables.fine_tuning import FineTuning, descend


@dataclass(frozen=True)
class RevivalPoint(AttackSettings):
    """Settings of the curriculum; `images` are those of all its chunks."""

    auxiliary: str = "public"  # held-out images of what stays
    batch: int = 10
    chunk_images: int = 50
    chunk_epochs: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "chunk_images", "chunk_epochs")
        if 0 < self.images < self.chunk_images:
            raise ValueError(f"images: {self.images} do not make one chunk of {self.chunk_images}")

    @property
    def epoch_steps(self) -> int:
        """Optimiser steps of an epoch of one chunk; the last batch is smaller where the chunk is no multiple of it."""
        return math.ceil(self.chunk_images / self.batch)

    @property
    def chunk_steps(self) -> int:
        return self.chunk_epochs * self.epoch_steps


def images_at(settings: RevivalPoint, step: int) -> int:
    """How many images the curriculum has drawn from by the time `step` steps are done; at most `images` in whole chunks.

    With `images` 0 the set's size is not known here, and the number goes on by a chunk at a time.
    """
    chunks = math.ceil(step / settings.chunk_steps)
    if settings.images:
        chunks = min(chunks, settings.images // settings.chunk_images)
    return chunks * settings.chunk_images


@register_gradient("revival_point", RevivalPoint)
class Curriculum:
    """The gradient of DSM over the next batch of the chunk whose turn it is; carries the epoch's order."""

    def __init__(self, target: Target, settings: RevivalPoint) -> None:
        there = len(target.auxiliary)
        self.settings, self.chunks, self.step = settings, there // settings.chunk_images, 0
        if not self.chunks:
            needed = settings.chunk_images
            raise ValueError(f"{settings.auxiliary}: its {there} images do not make one chunk of {needed}")
        self.images = few(target.auxiliary, there).to(target.device.name)  # shuffled: a set may be sorted by class
        self.order = torch.arange(settings.chunk_images)
        self.descend = descend(target.denoising_by(self.draw, settings))

    def __call__(self, run: FineTuning) -> torch.Tensor:
        self.step = run.step
        return self.descend(run)

    def draw(self, generator: torch.Generator) -> Images:
        """The next images of the epoch, in its order; a new epoch draws a new one."""
        settings, begun = self.settings, self.step % self.settings.epoch_steps * self.settings.batch
        if begun == 0:
            self.order = torch.randperm(settings.chunk_images, generator=generator)
        turn = self.step // settings.chunk_steps % self.chunks
        drawn = turn * settings.chunk_images + self.order[begun : begun + settings.batch]
        return self.images.batch(drawn)

    def state(self) -> dict[str, torch.Tensor]:
        return {"order": self.order}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self.order = state["order"].clone()
