"""What a plan costs, roughly, before anything runs: steps and images counted, at the times of one machine.

The times are of 8×8 images and the small base model; of others they are scaled by the multiply-adds of the base model for one
image. Measured on one core from small at 8 pixels to large at 64, a step took between .08 and .15 µs a thousand of them.
"""

from __future__ import annotations

import math
from typing import Any

from sweep.plan.plan import Plan
from sweep.relearning.question import asks_of_fid
from sweep.relearning.setup import CALIBRATION_SEEDS, Setup
from sweep.space import Arm, Attack, Choice, SearchSpace
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.sizes import SIZES, fitting
from trainables.forgetting import parse_forget

# Core-seconds on one core of the machine named in benchmarks/stage_times.md, for 8×8 images and the small UNet.
_STEP_S = {"base": 0.095, "unlearn": 0.065, "attack": 0.042}
_SAMPLE_S = 0.0022  # by DDIM-10
_CLASSIFIER_S = 15.0
_START_S = 45.0
_SHAPE, _SAMPLING_STEPS = (1, 8, 8), 10  # that these are of


def estimate(plan: Plan[Setup], space: SearchSpace) -> dict[str, float]:
    """Rough core-seconds of each phase and wall seconds of all, if nothing is cached and no trial is gated."""
    setup = plan.setup
    data = setup.dataset()
    retained = len(parse_forget(setup.forget, data).retained)
    n_search = setup.samples_forgotten + retained * setup.samples_per_retained
    n_confirm = setup.confirm_samples[0] + retained * setup.confirm_samples[1]
    base = _base_model(setup)
    larger = multiply_adds(base, data.shape) / multiply_adds(BaseModel(), _SHAPE)
    sample_s = _SAMPLE_S * larger * setup.sampling_steps / _SAMPLING_STEPS * (1 if setup.guidance == 1 else 2)

    def replicate(arm: Arm | None, attacks: tuple[Attack, ...], forgotten: int, everything: int) -> float:
        rungs = len(space.rungs) - 2
        attack = space.rungs[-1] * _STEP_S["attack"] * larger + (rungs * forgotten + everything) * sample_s
        unlearn = _steps(arm) * _STEP_S["unlearn"] * larger if arm else 0.0
        return unlearn + everything * sample_s + len(attacks) * attack

    models = 0 if setup.base else 2 + setup.shadow_models
    training = setup.base_steps * _STEP_S["base"] * larger * base.batch / BaseModel().batch
    classifier = _CLASSIFIER_S * math.prod(data.shape[1:]) / math.prod(_SHAPE[1:])
    scored = 2 * CALIBRATION_SEEDS if asks_of_fid(space) else 1
    prepare = models * training + classifier + scored * n_search * sample_s
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


def multiply_adds(base: BaseModel, shape: tuple[int, int, int]) -> float:
    """Multiply-adds of a base model's convolutions for one image (C, H, W), forward; they are nearly all there are."""
    colours, height, width = shape
    channels, layers = base.channels, base.layers_per_block
    total, before, skips = 2.0 * 9 * colours * channels[0] * height * width, channels[0], [channels[0]]
    for level, outputs in enumerate(channels):
        pixels = height * width / 4**level
        for _ in range(layers):
            total += _block(before, outputs) * pixels
            before = outputs
            skips.append(outputs)
        if level < len(channels) - 1:
            total += 9 * outputs * outputs * pixels / 4
            skips.append(outputs)
    total += 2 * _block(before, before) * height * width / 4 ** (len(channels) - 1)
    for level in reversed(range(len(channels))):
        outputs, pixels = channels[level], height * width / 4**level
        for _ in range(layers + 1):
            total += _block(before + skips.pop(), outputs) * pixels
            before = outputs
        if level:
            total += 9 * outputs * outputs * pixels * 4
    return total


def _block(inputs: int, outputs: int) -> float:
    """Of a residual block, a pixel: two convolutions of 3×3, and one of 1×1 where the number of channels changes."""
    return 9.0 * inputs * outputs + 9 * outputs * outputs + (inputs * outputs if inputs != outputs else 0)


def _base_model(setup: Setup) -> BaseModel:
    """The base model that is trained here; of one from elsewhere, what would be trained for these images stands for it."""
    size = fitting(setup.dataset().shape) if setup.base else setup.base_size
    return BaseModel(**SIZES[size])


def _steps(arm: Arm) -> float:
    """Steps of an arm's middling trial: the middle of its range of steps, each as long as its inner steps make it."""
    middle = {p.name: _middle(p) for p in arm.walk() if not isinstance(p, Choice)}
    inner = sum(steps for name, steps in middle.items() if name.endswith("inner_steps"))
    return middle.get("steps", 100.0) * (1 + inner)


def _middle(parameter: Any) -> float:
    low, high = parameter.low, parameter.high
    return math.sqrt(low * high) if parameter.log else (low + high) / 2
