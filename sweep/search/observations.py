"""What is known of a trial, from its records' rows: what a sampler is told, and what a stopping rule asks.

The same rows say it while the trial runs and after a restart, so a restarted sweep knows what the first one knew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.reading.best import corner_of
from sweep.records import COMPLETE, FAIL
from sweep.samplers import Observation, Question
from sweep.search.dominated import Possible
from sweep.space import Arm, SearchSpace, Settings
from sweep.space.question import excesses
from trainables.metrics import aurc

Row = Mapping[str, Any]
Curves = dict[str, dict[int, float]]
"""Relearning accuracy by attack and attack step; step 0 is before any."""
WITHSTOOD = {"robustness": True, "malicious_robustness": False}  # 1 - max AURC, and whether of the attacks that count


def question_of(arm: Arm, space: SearchSpace, trials: int) -> Question:
    """What an arm's sampler is asked."""
    reference = corner_of(space.objectives, space.constraints)
    return Question(arm.parameters, space.objectives, space.constraints, reference, trials)


@dataclass(frozen=True)
class Yardstick:
    """The noise of one replicate's figures.

    `fid_delta_sd` is over sampling seeds, as the prepare phase measured it; `samples` are those of the forgotten condition.
    """

    fid_delta_sd: float = math.inf
    samples: int = 0


def observation(
    space: SearchSpace,
    number: int,
    settings: Settings,
    state: str,
    figures: Row,
    curves: Mapping[str, Curves],
    yardstick: Yardstick,
    core_s: float = 0.0,
) -> Observation:
    """What is known of a trial that ended. Of a failed one only that it failed: its figures may be of a broken model."""
    if state == FAIL:
        return Observation(number, settings, FAIL, core_s=core_s)
    known = {o.metric: float(figures[o.metric]) for o in space.objectives if figures.get(o.metric) is not None}
    bounds = {m: bound for m, bound in bounds_of(space, curves).items() if state != COMPLETE and m not in known}
    over = excesses(space, figures)
    sems = standard_errors(space, figures, curves, yardstick)
    return Observation(number, settings, state, known, over, bounds, sems, core_s=core_s)


def bounds_of(space: SearchSpace, curves: Mapping[str, Curves]) -> dict[str, float]:
    """What a partial attack leaves possible, by objective: 1 - the largest AURC that is certain already.

    A rung not reached may still show a relearning accuracy of 0 and counts as that: the whole trapezoid is at least that of
    the rungs that are there. Nothing of an objective without a rung, not even the one before any attack.
    """
    wanted = {o.metric for o in space.objectives}
    return {
        metric: 1.0 - max(_certain(curve, space.rungs) for curve in attacks.values())
        for metric, attacks in curves.items()
        if metric in wanted and attacks
    }


def possible(space: SearchSpace, figures: Row, curves: Mapping[str, Curves], yardstick: Yardstick) -> Possible:
    """The best that a trial under attack can still be."""
    known = {o.metric: float(figures[o.metric]) for o in space.objectives if figures.get(o.metric) is not None}
    sems = standard_errors(space, figures, curves, yardstick)
    bounds = {metric: bound for metric, bound in bounds_of(space, curves).items() if metric not in known}
    errors = {m: _error(_worst(curves[m], space.rungs), space.rungs, yardstick.samples) for m in bounds}
    return Possible(known | bounds, sems | errors, frozenset(bounds))


def standard_errors(
    space: SearchSpace, figures: Row, curves: Mapping[str, Curves], yardstick: Yardstick
) -> dict[str, float]:
    """Standard errors of one replicate's figures, over sampling: the seed of training adds to them.

    A share's is binomial, one hit and one miss added. An AURC's is that of its rungs, weighted as they enter it: they
    share their noise, so their errors add up. Of a figure that is a constraint and no objective it is in the units of the
    excess, which is all a sampler is told of it.
    """
    errors = {}
    if figures.get("fid_delta") is not None and math.isfinite(yardstick.fid_delta_sd):
        errors["fid_delta"] = yardstick.fid_delta_sd
    if yardstick.samples and figures.get("unlearning_accuracy") is not None:
        errors["unlearning_accuracy"] = _binomial(figures["unlearning_accuracy"], yardstick.samples)
    objectives = {o.metric for o in space.objectives}
    told = dict(errors)
    for constraint in space.constraints:
        if constraint.metric in errors and constraint.name not in objectives:
            told[constraint.name] = errors[constraint.metric] / constraint.unit
    for metric, attacks in curves.items():
        if figures.get(metric) is not None and attacks:
            told[metric] = _error(_worst(attacks, space.rungs), space.rungs, yardstick.samples)
    return told


def curves_of(rows: Iterable[Row]) -> dict[str, Curves]:
    """The curves that each objective of WITHSTOOD is of, from one replicate's rows of the curves table."""
    before: dict[int, float] = {}
    found: dict[str, Curves] = {metric: {} for metric in WITHSTOOD}
    for row in rows:
        if row["metric"] != "relearning_accuracy" or row["value"] is None:
            continue
        if row["attack"] == "none":
            before[row["attack_step"]] = row["value"]
        else:
            metric = next(m for m, counts in WITHSTOOD.items() if counts == bool(row["counts"]))
            found[metric].setdefault(row["attack"], {})[row["attack_step"]] = row["value"]
    return {metric: {attack: before | curve for attack, curve in attacks.items()} for metric, attacks in found.items()}


def _worst(attacks: Curves, rungs: tuple[int, ...]) -> dict[int, float]:
    return max(attacks.values(), key=lambda curve: _certain(curve, rungs))


def _certain(curve: Mapping[int, float], rungs: tuple[int, ...]) -> float:
    """The AURC that a curve has at least; its AURC where it lacks no rung."""
    return aurc({step: curve.get(step, 0.0) for step in rungs})


def _error(curve: Mapping[int, float], rungs: tuple[int, ...], samples: int) -> float:
    """Standard error of `_certain`."""
    return _certain({step: _binomial(accuracy, samples) for step, accuracy in curve.items()}, rungs) if samples else 0.0


def _binomial(share: float, n: int) -> float:
    p = (share * n + 1) / (n + 2)
    return math.sqrt(p * (1 - p) / n)
