"""Auxiliary sets: what an attacker trains on.

`retain`, `synthetic`, `public` and `unrelated` hold nothing of what was forgotten. `public_all` does (held-out images of
every condition), `public_forgotten` is nothing else, `synthetic_forgotten` is what the base model makes of it, and `forget` is
the forget set itself: attacks with them learn the forgotten data anew, so they are reported only as excess over the retrain
control. Of forgotten instances the public split holds none, so there all four public sets are the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from trainables.data import Images, Splits
from trainables.forgetting import Forget

HOLD_FORGOTTEN = frozenset({"public_all", "public_forgotten", "forget", "synthetic_forgotten"})

# Those that take more than the data: a model's images, feature space.
MADE = frozenset({"synthetic", "synthetic_forgotten", "unrelated"})

# An attacker's few images are a fact of the threat: the same for every model, training seed and number of them.
_IMAGES_SEED = 0


class Sources(Protocol):
    """What auxiliary sets are made of; each is only read by the sets that need it.

    `encoded` are the data's splits as the denoiser takes them, images or latents of them; `synthetic` are the base model's
    images for retained conditions, `synthetic_forgotten` one for each forgotten condition; `conditions_by_distance` the
    retained conditions, nearest to the forgotten one first, by their mean in feature space.
    """

    @property
    def encoded(self) -> Splits: ...
    @property
    def forgetting(self) -> Forget: ...
    @property
    def synthetic(self) -> Images: ...
    @property
    def synthetic_forgotten(self) -> Images: ...
    @property
    def conditions_by_distance(self) -> Sequence[int]: ...


def unrelated(sources: Sources) -> Images:
    """Held-out images of the half of the retained conditions that lies farthest; of instances, all held-out images.

    Of prompts, the half is of the labels that they ask for; or it is the prompts whose author gave them the role ``unrelated``.
    ValueError where there are no held-out images of these.
    """
    forgetting = sources.forgetting
    public = forgetting.unrelated(sources.encoded.public)
    if forgetting.instances:
        return public
    far = forgetting.with_role("unrelated") or farther_half(forgetting, sources.conditions_by_distance)
    images = public.where(torch.isin(public.conditions, torch.tensor(far)))
    if not len(images):
        raise ValueError("unrelated: there are no held-out images of unrelated prompts")
    return images


def farther_half(forgetting: Forget, ordered: Sequence[int]) -> tuple[int, ...]:
    """Of retained conditions, nearest first, the half that lies farthest; of prompts, those that ask for that half of labels."""
    labels = list(dict.fromkeys(map(forgetting.label_of, ordered)))
    farther = set(labels[-max(len(labels) // 2, 1) :])
    return tuple(condition for condition in ordered if forgetting.label_of(condition) in farther)


AUXILIARY: dict[str, Callable[[Sources], Images]] = {
    "retain": lambda sources: sources.forgetting.split(sources.encoded.train)[1],
    "synthetic": lambda sources: sources.synthetic,
    "public": lambda sources: sources.forgetting.unrelated(sources.encoded.public),
    "unrelated": unrelated,
    "public_all": lambda sources: sources.encoded.public,
    "public_forgotten": lambda sources: sources.forgetting.held_out(sources.encoded.public),
    "synthetic_forgotten": lambda sources: sources.synthetic_forgotten,
    "forget": lambda sources: sources.forgetting.split(sources.encoded.train)[0],
}


def known_auxiliary(name: str) -> str:
    """`name` if it is an auxiliary set; ValueError otherwise."""
    if name not in AUXILIARY:
        raise ValueError(f"unknown auxiliary set {name!r}; known: {', '.join(AUXILIARY)}")
    return name


def auxiliary_set(name: str, sources: Sources) -> Images:
    """The auxiliary set `name`; ValueError for an unknown one, or one without an image, on which nobody could train."""
    images = AUXILIARY[known_auxiliary(name)](sources)
    if not len(images):
        raise ValueError(f"{name}: the data have no image of this auxiliary set; add some, or name another set")
    return images


def of_data_alone(name: str, forgetting: Forget) -> str:
    """The set of the data alone that holds all of the set `name`: itself, where it takes no more; empty where there is none."""
    if name == "unrelated" and not (forgetting.instances or forgetting.with_role(name)):
        return "public"  # of which feature space says the half
    return "" if name in MADE - {"unrelated"} else name


def few(images: Images, n: int, setting: str = "images") -> Images:
    """n of the images, always the same ones, and among those of any larger n; all of them for n = 0.

    ValueError, naming the `setting`, where there are not as many.
    """
    if n > len(images):
        raise ValueError(f"{setting}: the attacker is given {n}, but there are {len(images)}")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(_IMAGES_SEED))
    return images.where(order[:n]) if n else images
