"""Samplers that learn nothing: a scrambled Sobol sequence, and chance. Trial i depends only on the seed and on i."""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from sweep.samplers import Question
from sweep.samplers.ask_and_tell import AskAndTell
from sweep.samplers.encoding import Array
from sweep.space import Settings


class QuasiRandom(AskAndTell):
    """See `sweep.samplers.Sampler`: trial i runs with point i of a scrambled Sobol sequence over the whole tree."""

    def __init__(self, question: Question, seed: int = 0) -> None:
        super().__init__(question, seed)

    def _choose(self, number: int) -> Settings:
        return self.encoding.settings(self.encoding.from_cube(self._cube(number))[0])

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
