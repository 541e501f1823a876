"""What a plan costs, roughly, before anything runs: steps and images counted, at the times of one machine."""

from __future__ import annotations

import math
from typing import Any

from sweep.plan.plan import Plan
from sweep.relearning.question import asks_of_fid
from sweep.relearning.setup import CALIBRATION_SEEDS
from sweep.space import Arm, Attack, Choice, SearchSpace

# Core-seconds on one core of the machine named in benchmarks/stage_times.md, for 8×8 images and the small UNet.
_STEP_S = {"base": 0.095, "unlearn": 0.065, "attack": 0.042}
_SAMPLE_S = 0.0022
_START_S = 45.0


def estimate(plan: Plan, space: SearchSpace) -> dict[str, float]:
    """Rough core-seconds of each phase and wall seconds of all, if nothing is cached and no trial is gated."""
    setup, retained = plan.setup, 9
    n_search = setup.samples_forgotten + retained * setup.samples_per_retained
    n_confirm = setup.confirm_samples[0] + retained * setup.confirm_samples[1]

    def replicate(arm: Arm | None, attacks: tuple[Attack, ...], forgotten: int, everything: int) -> float:
        rungs = len(space.rungs) - 2
        attack = space.rungs[-1] * _STEP_S["attack"] + (rungs * forgotten + everything) * _SAMPLE_S
        return (_steps(arm) if arm else 0.0) * _STEP_S["unlearn"] + everything * _SAMPLE_S + len(attacks) * attack

    models = 0 if setup.base else 2 + setup.shadow_models
    scored = 2 * CALIBRATION_SEEDS if asks_of_fid(space) else 1
    prepare = models * setup.base_steps * _STEP_S["base"] + 15 + scored * n_search * _SAMPLE_S
    searching = (space.search_attacks, setup.samples_forgotten, n_search)
    confirming = (space.confirm_attacks, setup.confirm_samples[0], n_confirm)
    search, confirm = 2 * replicate(None, *searching), 2 * replicate(None, *confirming)
    for arm in space.arms:
        trials = plan.budget_of(space, arm.name)
        search += trials * replicate(arm, *searching)
        confirm += min(trials, plan.confirm_members + plan.confirm_neighbours) * replicate(arm, *confirming)
    confirm *= plan.confirm_seeds
    total = prepare + search + confirm
    return {
        "prepare": prepare,
        "search": search,
        "confirm": confirm,
        "wall": _START_S + total / max(plan.place.workers, 1),
    }


def _steps(arm: Arm) -> float:
    """Steps of an arm's middling trial: the middle of its range of steps, each as long as its inner steps make it."""
    middle = {p.name: _middle(p) for p in arm.walk() if not isinstance(p, Choice)}
    inner = sum(steps for name, steps in middle.items() if name.endswith("inner_steps"))
    return middle.get("steps", 100.0) * (1 + inner)


def _middle(parameter: Any) -> float:
    low, high = parameter.low, parameter.high
    return math.sqrt(low * high) if parameter.log else (low + high) / 2
