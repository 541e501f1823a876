"""Samplers that learn nothing: a scrambled Sobol sequence, and chance. Trial i depends only on the seed and on i."""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from sweep.samplers import Observation, Question, check_observation
from sweep.samplers.encoding import Array, Encoding
from sweep.space import Settings


class QuasiRandom:
    """See `sweep.samplers.Sampler`: trial i runs with point i of a scrambled Sobol sequence over the whole tree."""

    def __init__(self, question: Question, seed: int = 0) -> None:
        self.question, self.seed = question, seed
        self.encoding = Encoding(question.parameters)
        self._ended: set[int] = set()
        self._running: dict[int, Settings] = {}

    def ask(self, number: int) -> Settings:
        if number in self._ended:
            raise ValueError(f"trial {number} has ended; ask for one that has not")
        if number not in self._running:
            point = self.encoding.from_cube(self._cube(number))[0]
            self._running[number] = self.encoding.settings(point)
        return dict(self._running[number])

    def running(self, number: int, settings: Settings) -> None:
        if number in self._ended:
            raise ValueError(f"trial {number} has ended and cannot be running")
        self.encoding.point(settings)  # refuses what is not of the tree
        self._running[number] = dict(settings)

    def tell(self, observation: Observation) -> None:
        check_observation(self.question, observation)
        self.encoding.point(observation.settings)
        self._ended.add(observation.number)
        self._running.pop(observation.number, None)

    def _cube(self, number: int) -> Array:
        """(1, width) in [0, 1)."""
        sequence = qmc.Sobol(self.encoding.width, scramble=True, rng=np.random.default_rng([self.seed, 1]))
        if number:
            sequence.fast_forward(number)
        return sequence.random(1)


class Random(QuasiRandom):
    """The same by chance: every parameter uniform on its own scale."""

    def _cube(self, number: int) -> Array:
        return np.random.default_rng([self.seed, 2, number]).random((1, self.encoding.width))
