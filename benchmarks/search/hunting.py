"""How soon different ways of hunting find a feasible trial, while none is known: trials until the first, by way of choosing.

`tpe` is what the sweep's sampler does (`sweep.samplers.nehvi.Nehvi._hunt`). The others were tried and are kept here to be tried
again: `model`, improvement on what the least infeasible trial violates most (`Improvement.log_nearer`); `local`, joint draws of the
constraints' processes within a neighbourhood of the least infeasible trials, the candidate of the least violation in the draw
(after Eriksson and Poloczek, arXiv 2002.08526); `mixed`, tpe and local in turn; `logit`, as model, told of shares' excesses on the
logit scale with their binomial errors (TPE goes by the order of violations, which that leaves as it is).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from benchmarks.search import judges, measures, results
from benchmarks.search.clock import Limits, simulate, stream
from benchmarks.search.staged import UNLEARNED, Problem
from sweep.plan.plan import Plan
from sweep.samplers import Observation
from sweep.samplers.encoding import Array
from sweep.samplers.nehvi import Nehvi, _least_infeasible, _Search

WAYS = ("tpe", "model", "local", "mixed", "logit")
PARENTS, STEPS, DRAWN = 3, (0.2, 0.08), 200  # of `local`: trials it stays near to, its steps, candidates a step


class Hunter(Nehvi):
    """The sweep's own sampler with another way of hunting."""

    def __init__(self, problem: Problem, seed: int, way: str) -> None:
        super().__init__(problem.question(60), seed)
        self.problem, self.way = problem, way

    def tell(self, observation: Observation) -> None:
        super().tell(self._on_logits(observation) if self.way == "logit" else observation)

    def _hunt(self, number: int) -> Array:
        if self.way in ("model", "logit"):
            return self._by_model(number)
        if self.way == "local" or (self.way == "mixed" and number % 2 == 0):
            return self._near_the_least_infeasible(number)
        return super()._hunt(number)

    def _near_the_least_infeasible(self, number: int) -> Array:
        rng, beliefs = self._rng(number), self._beliefs()
        search = _Search(self, beliefs, self._pending(), rng)
        centres = beliefs.points[_least_infeasible(beliefs.observations)[:PARENTS]]
        points = search._distinct(np.concatenate([search._around(centres, DRAWN, step) for step in STEPS]))
        features, _ = self.encoding.embed(points)
        bounded = [(one, 0.0) for one in beliefs.constraints]
        enforced = (c.metric for c in self.question.constraints if c.name in beliefs.corner.enforced)
        bounded += [
            (one, float(limit))
            for one, limit in zip(beliefs.objectives, beliefs.corner.limits, strict=True)
            if one.metric in set(enforced)
        ]
        violation = np.zeros(len(points))
        for one, limit in bounded:
            at = one.at(features)
            covariance = one.process.covariance(at, at) + 1e-6 * np.eye(len(points))
            drawn = at.mean + np.linalg.cholesky(covariance) @ rng.standard_normal(len(points))
            violation += np.maximum((one.centre + one.spread * drawn - limit) / one.spread, 0.0)
        return points[int(np.argmin(violation))]

    def _on_logits(self, observation: Observation) -> Observation:
        if UNLEARNED not in observation.excesses:
            return observation
        n, bound = self.problem.noise.samples, self.problem.least_unlearned
        share = (bound * (1 - observation.excesses[UNLEARNED]) * n + 0.5) / (n + 1)
        least = (bound * n + 0.5) / (n + 1)  # smoothed alike, so that what is at the bound is at it still
        over = math.log(least / (1 - least)) - math.log(share / (1 - share))
        return dataclasses.replace(
            observation,
            excesses={**observation.excesses, UNLEARNED: over},
            sems={**observation.sems, UNLEARNED: math.sqrt(1 / (n * share * (1 - share)))},
        )


def trials_until_feasible(problem: Problem, way: str, seed: int, most: int) -> float:
    """Trials that have ended when the first ends that is truly feasible and may be so as measured; infinite where none did."""
    sampler = Hunter(problem, stream("sampler", seed), way)
    judge = judges.gate(problem, Plan.gate_margin)
    done = simulate(problem, sampler, stream("noise", seed), Limits(1e9, trials=most), judge)
    for ended, event in enumerate(done.events, start=1):
        if event.state == "COMPLETE" and event.truly_feasible and event.may_be_feasible:
            return float(ended)
    return math.inf


def table(problems: Sequence[Problem], seeds: int, most: int) -> str:
    """Medians with their intervals as Markdown, a row a way of hunting."""
    lines = ["| hunts by | " + " | ".join(p.name for p in problems) + " |", "|---" * (1 + len(problems)) + "|"]
    for way in WAYS:
        cells = [way]
        for problem in problems:
            trials = [trials_until_feasible(problem, way, seed, most) for seed in range(seeds)]
            never = sum(map(math.isinf, trials))
            cells.append(results.median(measures.middle(trials), ".0f") + (f"; {never} never" if never else ""))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
