"""Membership audits: does a model still betray what it was trained on? One file each, all ``(Audited) -> {name: figure}``.

Unlike a metric, an audit needs the model itself. Every registered audit runs where samples of all conditions are scored:
before the attack, and after its last step. An audit whose inputs are missing leaves its figures out. An audit tells members
of the training set from strangers to it: .5 is what a model gives away that was never trained on either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DModel
from scipy.stats import rankdata

from trainables.data import Images
from trainables.diffusion import batch_for, finite, noised_by, predict
from trainables.metrics import Figure, Figures, Metric
from trainables.registry import Registry
from trainables.training.device import Device

DRAWS = 20  # timesteps an image's loss is a mean over
MOST = 300  # images of each side: an AUC of 300 against 300 is known to ± .024, and twice as many would cost twice the time


@dataclass(frozen=True)
class Shadows:
    """What shadow models say of the audited images: `losses` and `trained_on` (S, N), members first, then strangers."""

    losses: np.ndarray
    trained_on: np.ndarray


@dataclass(frozen=True)
class Audited:
    """A model under audit. `members` is the forget set, `strangers` images of the same kind that no model was trained on.

    Copies of one image are one image, and of many images `MOST` are looked at, spread evenly: `distinct` are the indices of
    those members and of those strangers, `losses` their losses.
    """

    model: UNet2DModel
    schedule: DDIMScheduler
    members: Images
    strangers: Images
    device: Device
    shadows: Shadows | None = None

    @cached_property
    def copy_of(self) -> tuple[np.ndarray, np.ndarray]:
        """For each of the members, for each of the strangers, the index of the first one that is the same image."""
        return first_alike(self.members), first_alike(self.strangers)

    @cached_property
    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        return _spread(np.unique(self.copy_of[0])), _spread(np.unique(self.copy_of[1]))

    @cached_property
    def losses(self) -> tuple[np.ndarray, np.ndarray]:
        """`image_losses`, (n,) and (m,): one pass for all audits."""
        both = []
        for images, distinct in zip((self.members, self.strangers), self.distinct, strict=True):
            chosen = images.where(torch.from_numpy(distinct))
            both.append(image_losses(self.model, self.schedule, chosen, self.device))
        return both[0], both[1]


AUDITS: Registry[Metric] = Registry("audit", __name__)


def register(name: str, figures: tuple[Figure, ...]) -> Callable:
    """Register a function ``(Audited) -> {name: figure}`` with the declarations of its figures."""
    return AUDITS.decorator(name, lambda make: Metric(name, make, figures, AUDITS.kind))


def audit(audited: Audited) -> Figures:
    """Every registered audit's figures; none where there is nobody to tell apart."""
    figures: Figures = {}
    if len(audited.members) and len(audited.strangers):
        for name in AUDITS.names():
            figures |= AUDITS[name](audited)
    return figures


@torch.inference_mode()
def image_losses(
    model: UNet2DModel, schedule: DDIMScheduler, images: Images, device: Device, draws: int = DRAWS, batch: int = 0
) -> np.ndarray:
    """(N,) each image's denoising loss under its own condition, a mean over `draws` fixed timesteps and noises.

    Timesteps are spread evenly and every image meets the same ones; noise depends on the draw alone, so that two models'
    losses of one image, and two images' of one model, differ by nothing else. A batch of 0 is as many as fit. Raises
    Diverged where one is not finite.
    """
    model.eval()
    batch = batch or batch_for(model, images.shape)
    horizon = schedule.config["num_train_timesteps"]
    noise = torch.randn((draws, *images.shape), generator=torch.Generator().manual_seed(0)).to(device.name)
    timesteps = ((torch.arange(draws) + 0.5) * horizon / draws).long().to(device.name)
    here = images.to(device.name)
    losses = [torch.zeros(0, device=device.name)]
    for start in range(0, len(images) * draws, batch):
        pairs = torch.arange(start, min(start + batch, len(images) * draws))  # an image's draws in a row
        part, draw = here.batch(pairs // draws), (pairs % draws).to(device.name)
        noised = noised_by(schedule, part.images, noise[draw], timesteps[draw])
        with device.autocast():
            predicted = predict(model, noised.images, noised.timesteps, part.conditions)
        losses.append((predicted - noised.target).square().flatten(1).mean(dim=1))
    drawn = torch.cat(losses).double().reshape(len(images), draws)
    return finite(drawn, "images' denoising losses").mean(dim=1).cpu().numpy()


def first_alike(images: Images) -> np.ndarray:
    """(N,) for each image, the index of the first with the same pixels and condition: its own where it is no copy."""
    conditions = images.conditions.tolist()
    alike: list[int] = []
    first: dict[tuple[bytes, int], int] = {}
    for part in images.parts():
        for image in (part.cpu() + 0.0).numpy():  # -0 becomes 0: they are the same number
            number = len(alike)
            alike.append(first.setdefault((hashlib.sha256(image.tobytes()).digest(), conditions[number]), number))
    return np.array(alike, np.int64)


def _spread(indices: np.ndarray) -> np.ndarray:
    return indices[np.linspace(0, len(indices) - 1, min(len(indices), MOST)).round().astype(int)]


def auc(members: np.ndarray, strangers: np.ndarray) -> float:
    """P(a member's score > a stranger's) + ½ P(equal), over all pairs: the area under the ROC curve (Mann & Whitney 1947)."""
    ranks = rankdata(np.concatenate([members, strangers]))
    above = ranks[: len(members)].sum() - len(members) * (len(members) + 1) / 2
    return float(above / (len(members) * len(strangers)))
