"""Who may stop a running trial: the gate after the score, and stopping rules under attack, as callables of one kind.

A `Judge` is asked at the end of every stage but the last: `judge(partial, front)` returns why the trial may stop, or None.
`front` are the COMPLETE trials whose measured figures are feasible and non-dominated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from benchmarks.search.staged import FID, OBJECTIVES, PER_RETAINED, RETAINED, ROBUSTNESS, Partial, Problem
from sweep.relearning.specs import gate_limit
from sweep.samplers import Observation
from sweep.search import dominated, observations
from trainables.relearning.experiment import Limit, Samples
from trainables.relearning.gate import GLANCE, excluded

Judge: TypeAlias = Callable[[Partial, Sequence[Observation]], str | None]


def gate(problem: Problem, margin: float = 0.0) -> Judge:
    """The gate of the real trial, `trainables.relearning.gate.excluded`: once after the glance, where there is one, and
    once after the score; figures that have not changed since say nothing new. `margin` is the share of a bound that it lets
    pass."""
    limits = [gate_limit(c, margin) for c in problem.constraints]

    def judge(partial: Partial, front: Sequence[Observation]) -> str | None:
        if partial.stage == "glance":
            samples = Samples(partial.samples, 0)
            return excluded(partial.figures, limits, samples, 0, math.inf, confidence=GLANCE)
        return excluded_by(problem, partial, limits) if partial.stage == "score" else None

    return judge


def excluded_by(problem: Problem, partial: Partial, limits: Sequence[Limit] = ()) -> str | None:
    """Why the figures of a scored trial exclude that it is feasible, by the gate's bounds; None where they do not.

    Without `limits` they are the constraints as they are.
    """
    limits = limits or [gate_limit(c) for c in problem.constraints]
    samples = Samples(partial.samples, PER_RETAINED)
    return excluded(partial.figures, limits, samples, RETAINED, problem.gate_sd)


def stop(problem: Problem, confidence: float = dominated.CONFIDENCE) -> Judge:
    """The stopping rule of the real sweep, `sweep.search.dominated.dominated`, asked between rungs."""

    def judge(partial: Partial, front: Sequence[Observation]) -> str | None:
        if not partial.curves:
            return None
        knowledge, curves = problem.knowledge(partial.samples), partial.curve_rows()
        possible = observations.possible(problem.space, partial.figures, curves, knowledge)
        return dominated.dominated(OBJECTIVES, possible, front, confidence)

    return judge


def bound(problem: Problem, margin: float = 0.0) -> Judge:
    """A simpler rule to compare with: stop what the front dominates by point estimates, whatever the rungs still show.

    A member must be at least as good in both figures and better in one. `margin`, in standard deviations of fid_delta, is how
    much better than measured the trial's fid_delta is taken to be.
    """

    def judge(partial: Partial, front: Sequence[Observation]) -> str | None:
        if FID not in partial.figures:
            return None
        most, least = partial.robustness_bound, partial.figures[FID] - margin * problem.gate_sd
        for member in front:
            robustness, fid = member.figures[ROBUSTNESS], member.figures[FID]
            if robustness >= most and fid <= least and (robustness > most or fid < least):
                return f"robustness at best {most:.3f}, fid_delta {least:.2f}: dominated by trial {member.number}"
        return None

    return judge


def either(*judges: Judge) -> Judge:
    """Stop as soon as one of them would; the first cause is the one that is told."""

    def judge(partial: Partial, front: Sequence[Observation]) -> str | None:
        return next((cause for j in judges if (cause := j(partial, front)) is not None), None)

    return judge


def never(partial: Partial, front: Sequence[Observation]) -> str | None:
    """Whole trials."""
    return None
