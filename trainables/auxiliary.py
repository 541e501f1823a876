"""Auxiliary sets: what an attacker trains on.

`retain`, `synthetic` and `public` hold no image of the forgotten condition. `public_all` does: attacks with it learn the
forgotten data anew, so they are reported only as excess over the retrain control.
"""

from __future__ import annotations

from collections.abc import Callable

from trainables.data import Images, Splits

HOLD_FORGOTTEN = frozenset({"public_all"})

AUXILIARY: dict[str, Callable[[Splits, Images, int], Images]] = {
    "retain": lambda splits, synthetic, forget: splits.train.without(forget),
    "synthetic": lambda splits, synthetic, forget: synthetic,  # the base model's images for retained conditions
    "public": lambda splits, synthetic, forget: splits.public.without(forget),
    "public_all": lambda splits, synthetic, forget: splits.public,
}


def known_auxiliary(name: str) -> str:
    """`name` if it is an auxiliary set; ValueError otherwise."""
    if name not in AUXILIARY:
        raise ValueError(f"unknown auxiliary set {name!r}; known: {', '.join(AUXILIARY)}")
    return name


def auxiliary_set(name: str, splits: Splits, synthetic: Images, forget: int) -> Images:
    """The auxiliary set `name`; ValueError for an unknown one."""
    return AUXILIARY[known_auxiliary(name)](splits, synthetic, forget)
