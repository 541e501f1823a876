"""Auxiliary sets: what an attacker trains on.

`retain`, `synthetic` and `public` hold nothing of what was forgotten. `public_all` does (held-out images of every
condition), `public_forgotten` is nothing else, and `forget` is the forget set itself: attacks with them learn the forgotten
data anew, so they are reported only as excess over the retrain control. Of forgotten instances the public split holds none,
so there both public sets are the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable

from trainables.data import Images, Splits
from trainables.forgetting import Forget

HOLD_FORGOTTEN = frozenset({"public_all", "public_forgotten", "forget"})

AUXILIARY: dict[str, Callable[[Splits, Images, Forget], Images]] = {
    "retain": lambda splits, synthetic, forget: forget.split(splits.train)[1],
    "synthetic": lambda splits, synthetic, forget: synthetic,  # the base model's images for retained conditions
    "public": lambda splits, synthetic, forget: forget.unrelated(splits.public),
    "public_all": lambda splits, synthetic, forget: splits.public,
    "public_forgotten": lambda splits, synthetic, forget: forget.held_out(splits.public),
    "forget": lambda splits, synthetic, forget: forget.split(splits.train)[0],
}


def known_auxiliary(name: str) -> str:
    """`name` if it is an auxiliary set; ValueError otherwise."""
    if name not in AUXILIARY:
        raise ValueError(f"unknown auxiliary set {name!r}; known: {', '.join(AUXILIARY)}")
    return name


def auxiliary_set(name: str, splits: Splits, synthetic: Images, forget: Forget) -> Images:
    """The auxiliary set `name`; ValueError for an unknown one."""
    return AUXILIARY[known_auxiliary(name)](splits, synthetic, forget)
