"""What attacks share that move no weight: words of the attacker's own in the prompts that ask for what was forgotten.

Such a run trains vectors that stand in place of tokens' embeddings. Once it has taken a step the model is told its prompts by a
table whose forgotten rows hold these words; every other row, and every weight, stays as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainables.attacks import SharedSettings, Target, Wording
from trainables.data import Images
from trainables.denoisers.live_prompts import LivePrompts, Pieces
from trainables.fine_tuning import FineTuning, Gradient, Optimisation, State
from trainables.training.device import Device


@dataclass(frozen=True)
class WordsSettings(SharedSettings):
    """What the attacks share that train words: Adam, at a constant rate and unclipped, for each word's gradient is its own."""

    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.optimisation(0)

    def optimisation(self, steps: int) -> Optimisation:
        return Optimisation(self.learning_rate, steps, grad_clip=float("inf"))


class WordsRun(FineTuning):
    """A run that trains `words` and no weight of the model, whose prompts `live` are in the forgotten rows' stead."""

    def __init__(
        self,
        model: Any,
        how: Optimisation,
        seed: int,
        device: Device,
        words: list[torch.nn.Parameter],
        live: LivePrompts,
        gradient: Gradient,
    ) -> None:
        super().__init__(model, None, how, seed, device, words, gradient=gradient)
        self.live, self.table = live, model.prompts

    def advance(self, until: int, deadline: float = float("inf")) -> bool:
        """Train, and tell the model what was found by then."""
        reached = super().advance(until, deadline)
        self._tell()
        return reached

    def restore(self, state: State) -> None:
        super().restore(state)
        self._tell()

    def vectors(self) -> list[torch.Tensor]:
        """The words' vectors as they are told, (n, d) of each encoder."""
        return [word.detach() for word in self.parameters]

    def _tell(self) -> None:
        if self.step:
            self.live.words = self.vectors()
            self.model.prompts = self.live.in_table(self.table)

    def _moving(self) -> dict[str, torch.Tensor]:
        return super()._moving() | {f"words.{i}": word.detach() for i, word in enumerate(self.parameters)}


def wording_of(target: Target) -> Wording:
    """What the attacker knows of the prompts; the attack was checked to have some."""
    assert target.wording is not None, "`RegisteredAttack.check` comes first"
    return target.wording


def in_place_of_name(text: str, name: str, new: Pieces) -> list[str | int]:
    """A prompt with `new` in place of a name, every time it is there, whatever its case; before a prompt that does not name it."""
    parts = re.split(rf"\b{re.escape(name)}\b", text, flags=re.IGNORECASE) if name else [text]
    if len(parts) == 1:
        return [*new, f" {text}"]  # pieces are joined as they are
    pieces: list[str | int] = [parts[0]]
    for part in parts[1:]:
        pieces += [*new, part]
    return pieces


def forgotten_alone(images: Images, wording: Wording, what: str) -> Images:
    """The images; ValueError unless each is of a prompt that asks for what was forgotten."""
    if not len(images) or not bool(wording.forgetting.asked_by(images.conditions).all()):
        raise ValueError(f"auxiliary: {what} takes images of what was forgotten, such as public_forgotten")
    return images


def vocabularies(tables: Sequence[torch.Tensor], device: str) -> list[torch.Tensor]:
    """The embeddings of each encoder's vocabulary (V, d) on a device, frozen."""
    return [table.detach().to(device) for table in tables]
