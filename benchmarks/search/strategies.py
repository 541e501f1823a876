"""A strategy: a sampler with or without the gate, a glance before it, and a stopping rule; named like ``tpe+gate+stop``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from benchmarks.search import judges
from benchmarks.search.baselines import SAMPLERS, make
from benchmarks.search.clock import Limits, Run, simulate, stream
from benchmarks.search.judges import Judge
from benchmarks.search.staged import Problem
from sweep.errors import UsageError, near

PARTS = {
    "gate": "stop after the score what is surely infeasible (trainables.gate)",
    "glance": "let the gate look at a few samples first (trainables.stages.glance)",
    "stop": "stop under attack what the front most probably dominates (sweep.stopping)",
    "bound": "stop under attack what the front dominates by point estimates",
}


@dataclass(frozen=True)
class Strategy:
    """`sampler` is a name of `baselines.SAMPLERS`; a sampler that stops trials itself (MOASHA) does so besides the parts."""

    sampler: str
    gate: bool = False
    glance: bool = False
    stop: bool = False
    bound: bool = False

    @classmethod
    def parse(cls, name: str) -> Strategy:
        sampler, *parts = name.split("+")
        if sampler not in SAMPLERS:
            raise UsageError(f"--strategy {name}: no sampler {sampler!r}; {near(sampler, SAMPLERS)}")
        for part in parts:
            if part not in PARTS:
                raise UsageError(f"--strategy {name}: no part {part!r}; {near(part, PARTS)}")
        return cls(sampler, *(part in parts for part in PARTS))

    @property
    def name(self) -> str:
        return "+".join([self.sampler, *(part for part in PARTS if getattr(self, part))])

    def judge(self, problem: Problem, own: Judge | None) -> Judge:
        chosen = [own] if own else []
        chosen += [judges.gate(problem)] if self.gate else []
        chosen += [judges.stop(problem)] if self.stop else []
        chosen += [judges.bound(problem)] if self.bound else []
        return judges.either(*chosen)

    def simulate(self, problem: Problem, seed: int, limits: Limits, expected_trials: int = 0) -> Run:
        """One run. What the sampler draws and what trials measure are streams of their own of the seed."""
        expected = expected_trials or min(limits.trials, max(20, round(limits.core_seconds / 20)))
        sampler, own = make(self.sampler, problem, stream("sampler", seed), expected)
        limits = dataclasses.replace(limits, glance=self.glance)
        return simulate(problem, sampler, stream("noise", seed), limits, self.judge(problem, own))
