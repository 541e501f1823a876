"""What a plan costs, roughly, before anything runs: critic steps counted, at the times of one machine."""

from __future__ import annotations

import math
from typing import Any

from sweep.federated.question import RECORD, mechanism_of
from sweep.federated.setup import Setup
from sweep.federated.specs import CENTRAL, INDEPENDENT, control_settings
from sweep.plan.plan import Plan
from sweep.space import Arm, Choice, SearchSpace

# Core-seconds of a critic step on digits halves, batch 64, the usual nets: of them, and of each row's multiply-adds in them.
_STEP_S = {"vflgan": 4.8e-3, "vertigan": 3.8e-3, CENTRAL: 2.6e-3, INDEPENDENT: 4.2e-3}
_PER_RECORD = 1.6  # times as long
_USUAL_WORK = 64 * (64 + 128)  # batch × (row + hidden layer) that these are of
_FIXED_SHARE = 0.7  # of a small step: overhead of calls, whatever their size
_SCORE_S, _START_S, _JUDGE_S, _TABLE_S = 2.0, 30.0, 15.0, 1.0


def estimate(plan: Plan[Setup], space: SearchSpace) -> dict[str, float]:
    """Rough core-seconds of each phase and wall seconds of all, if nothing is cached."""
    source = plan.setup.source
    pixels = math.prod(source.shape) / 64 if source.shape else 0.0
    prepare = _JUDGE_S * pixels if pixels else _TABLE_S
    controls = sum(_control(plan, name) for name in (CENTRAL, INDEPENDENT)) + _SCORE_S
    search, confirm = controls, controls
    for arm in space.arms:
        trials = plan.budget_of(space, arm.name)
        each = _trial(plan, arm)
        search += trials * each
        confirm += min(trials, plan.confirm_members + plan.confirm_neighbours) * each
    confirm *= plan.confirm_seeds
    wall = _START_S + (prepare + search + confirm) / max(plan.place.workers, 1)
    return {"prepare": prepare, "search": search, "confirm": confirm, "wall": wall}


def _trial(plan: Plan[Setup], arm: Arm) -> float:
    """Core-seconds of an arm's middling trial."""
    middle: dict[str, Any] = {p.name: _middle(p) for p in arm.walk() if not isinstance(p, Choice)}
    return _training(plan, arm.method, {**arm.held, **middle}, mechanism_of(arm) == RECORD) + _SCORE_S


def _control(plan: Plan[Setup], name: str) -> float:
    return _training(plan, name, control_settings(plan, name), per_record=False) + _SCORE_S


def _training(plan: Plan[Setup], synthesizer: str, settings: dict[str, Any], per_record: bool) -> float:
    work = settings.get("batch", 64) * (plan.setup.source.parties.width + settings.get("critic_width", 128))
    larger = _FIXED_SHARE + (1 - _FIXED_SHARE) * work / _USUAL_WORK
    step = _STEP_S.get(synthesizer, max(_STEP_S.values())) * (_PER_RECORD if per_record else 1.0)
    return float(settings.get("steps", 2000)) * step * larger


def _middle(parameter: Any) -> float:
    low, high = parameter.low, parameter.high
    return math.sqrt(low * high) if parameter.log else (low + high) / 2
