"""A strategy: a sampler with or without the gate, a glance before it, and a stopping rule; named like ``tpe+gate+stop``.

One that learns from earlier studies may have one: ``nehvi+gate+stop+warm`` (`benchmarks.search.earlier`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from benchmarks.search import earlier, judges
from benchmarks.search.baselines import SAMPLERS, make
from benchmarks.search.clock import Limits, Run, simulate, stream
from benchmarks.search.judges import Judge
from benchmarks.search.staged import Problem
from sweep.errors import UsageError, near
from sweep.plan.plan import Plan
from sweep.samplers import Sampler
from sweep.search.warm_start import warmed

PARTS = {
    "gate": "stop after the score what is surely infeasible (trainables.relearning.gate)",
    "margin": "the gate, for what surely breaks a bound by more than half of it",
    "glance": "let the gate look at a few samples first (trainables.relearning.stages.glance)",
    "stop": "stop under attack what the front most probably dominates (sweep.search.dominated)",
    "bound": "stop under attack what the front dominates by point estimates",
}


@dataclass(frozen=True)
class Strategy:
    """`sampler` is a name of `baselines.SAMPLERS`; a sampler that stops trials itself (MOASHA) does so besides the parts.

    `warm` is one of `earlier.KINDS`, or empty for a cold start.
    """

    sampler: str
    gate: bool = False
    margin: bool = False
    glance: bool = False
    stop: bool = False
    bound: bool = False
    warm: str = ""

    @classmethod
    def parse(cls, name: str) -> Strategy:
        sampler, *parts = name.split("+")
        if sampler not in SAMPLERS:
            raise UsageError(f"--strategy {name}: no sampler {sampler!r}; {near(sampler, SAMPLERS)}")
        for part in parts:
            if part not in PARTS and part not in earlier.KINDS:
                raise UsageError(f"--strategy {name}: no part {part!r}; {near(part, [*PARTS, *earlier.KINDS])}")
        warm = [part for part in parts if part in earlier.KINDS]
        if warm and (sampler != "nehvi" or len(warm) > 1):
            raise UsageError(f"--strategy {name}: one earlier study, and nehvi, which alone learns from such")
        return cls(sampler, *(part in parts for part in PARTS), warm="".join(warm))

    @property
    def name(self) -> str:
        parts = [part for part in PARTS if getattr(self, part)]
        return "+".join([self.sampler, *parts, *([self.warm] if self.warm else [])])

    def judge(self, problem: Problem, own: Judge | None) -> Judge:
        chosen = [own] if own else []
        chosen += [judges.gate(problem)] if self.gate else []
        chosen += [judges.gate(problem, Plan.gate_margin)] if self.margin else []
        chosen += [judges.stop(problem)] if self.stop else []
        chosen += [judges.bound(problem)] if self.bound else []
        return judges.either(*chosen)

    def sampler_of(self, problem: Problem, seed: int, trials: int) -> tuple[Sampler, Judge | None]:
        """The sampler, and the judge that it brings along if it stops trials itself."""
        return make(self.sampler, problem, seed, trials)

    def simulate(self, problem: Problem, seed: int, limits: Limits, expected_trials: int = 0) -> Run:
        """One run. What the sampler draws and what trials measure are streams of their own of the seed."""
        expected = expected_trials or min(limits.trials, max(20, round(limits.core_seconds / 20)))
        limits = dataclasses.replace(limits, glance=self.glance)
        if self.warm:
            return self._simulate_warm(problem, seed, limits, expected)
        sampler, own = self.sampler_of(problem, stream("sampler", seed), expected)
        return simulate(problem, sampler, stream("noise", seed), limits, self.judge(problem, own))

    def _simulate_warm(self, problem: Problem, seed: int, limits: Limits, expected: int) -> Run:
        """As `sweep.driver.agenda` begins under ``--warm-start``; the noise and the sampler's stream are those of the cold run."""
        from sweep.samplers.nehvi import Nehvi

        def cold(of: Problem, stream_of_it: int) -> tuple[Sampler, Judge]:
            sampler, own = make(self.sampler, of, stream_of_it, expected)
            return sampler, self.judge(of, own)

        studies = [earlier.study(self.warm, problem, seed, limits, cold)]
        problem = dataclasses.replace(problem, arm=warmed(problem.arm, problem.space, studies))
        sampler = Nehvi(problem.question(expected), stream("sampler", seed), earlier=studies)
        return simulate(problem, sampler, stream("noise", seed), limits, self.judge(problem, None))
