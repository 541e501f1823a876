"""Attacks on an unlearned model: one file each, all ``loss(target, settings) -> Loss``.

An attack fine-tunes θᵤ and is scored at every rung of its ladder; its settings are a frozen dataclass that says how it
optimises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainables.data import Images
from trainables.diffusion import Device, Loss, Optimisation
from trainables.models import Recipe
from trainables.registry import Registry, configure


@dataclass(frozen=True)
class Target:
    """What an attacker may see: an auxiliary set and the base model's public recipe, not what was unlearned or how."""

    auxiliary: Images
    recipe: Recipe
    null_condition: int
    device: Device


@dataclass(frozen=True)
class AttackSettings:
    """What every fine-tuning attack shares."""

    auxiliary: str = "retain"  # a name of trainables.auxiliary
    learning_rate: float = 1e-3
    batch: int = 32
    optimiser: str = "adam"
    grad_clip: float = 1.0

    def optimisation(self, steps: int) -> Optimisation:
        return Optimisation(self.learning_rate, steps, self.optimiser, self.grad_clip)


@dataclass(frozen=True)
class RegisteredAttack:
    """A registered attack: its settings' class and its loss."""

    name: str
    settings: type[AttackSettings]
    loss: Callable[[Target, Any], Loss]
    module: str

    def configure(self, values: Mapping[str, Any]) -> AttackSettings:
        """The settings with these values; ValueError for a name the attack does not have."""
        return configure(f"attack {self.name!r}", self.settings, values)


ATTACKS: Registry[RegisteredAttack] = Registry("attack", __name__)


def register(name: str, settings: type[AttackSettings]) -> Callable:
    """Register ``loss(target, settings) -> Loss`` as the attack `name`."""
    return ATTACKS.decorator(name, lambda loss: RegisteredAttack(name, settings, loss, loss.__module__))
