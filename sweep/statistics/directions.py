"""Which way a figure is better, in the words that questions and columns have for it."""

from __future__ import annotations

from typing import Literal, get_args

Direction = Literal["maximise", "minimise"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


def sign_of(direction: Direction) -> float:
    """What a value is multiplied by so that less is better."""
    return -1.0 if direction == "maximise" else 1.0
