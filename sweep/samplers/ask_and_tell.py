"""Asking and telling as samplers share it that hold nothing but their observations and what runs: a choice follows from these."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod

from sweep.samplers import Observation, Question, check_observation
from sweep.samplers.encoding import Encoding
from sweep.space import Settings


class AskAndTell(ABC):
    """The keeping of a `sweep.samplers.Sampler`; `_choose` is a sampler's own.

    ValueError for a trial that has ended, or an observation that `check_observation` refuses; UsageError for settings that
    are not of the question's tree.
    """

    def __init__(self, question: Question, seed: int) -> None:
        self.question, self.seed = question, seed
        self.encoding = Encoding(question.parameters)
        self._observations: dict[int, Observation] = {}
        self._running: dict[int, Settings] = {}

    def ask(self, number: int) -> Settings:
        """Settings for trial `number`, which runs from now on; the same again if it is running."""
        if number in self._observations:
            raise ValueError(f"trial {number} has ended; ask for one that has not")
        if number not in self._running:
            self._running[number] = self._choose(number)
        return dict(self._running[number])

    def running(self, number: int, settings: Settings) -> None:
        """Settings chosen elsewhere that trial `number` runs with."""
        if number in self._observations:
            raise ValueError(f"trial {number} has ended and cannot be running")
        self.encoding.point(settings)  # refuses what is not of the tree
        self._running[number] = dict(settings)

    def tell(self, observation: Observation) -> None:
        """What became of a trial."""
        check_observation(self.question, observation)
        self.encoding.point(observation.settings)
        self._observations[observation.number] = observation
        self._running.pop(observation.number, None)

    @abstractmethod
    def _choose(self, number: int) -> Settings:
        """Settings for a trial that neither runs nor has ended, from `_observations` and `_running` alone, in any order."""

    def _stream(self, number: int) -> int:
        """A library's own seed for one trial: 32 bits, as Optuna takes them."""
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{number}".encode()).digest()[:4], "big")
