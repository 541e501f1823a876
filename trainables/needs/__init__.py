"""What several trials need of θ₀ and the two sets, made once as an artifact: one file each, ``(problem, seed) -> tensors``.

A method names what it needs when it is registered and finds it in ``problem.shared``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainables.registry import Registry
from trainables.unlearning import Problem

Make = Callable[[Problem, int], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Shared:
    """A registered shared artifact: `make` gives one tensor for each of θ₀'s parameters, by name."""

    name: str
    make: Make
    module: str


SHARED: Registry[Shared] = Registry("shared artifact", __name__)


def register(name: str) -> Callable:
    """Register ``(problem, seed) -> {parameter: tensor}``."""
    return SHARED.decorator(name, lambda make: Shared(name, make, make.__module__))
