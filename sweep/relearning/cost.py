"""What a plan costs, roughly, before anything runs: steps and images counted, at the times of one machine.

The times are of 8×8 images and the small base model; of others they are scaled by the multiply-adds of the base model for one
image. Measured on one core from small at 8 pixels to large at 64, a step took between .08 and .15 µs a thousand of them. Of
prompts the times are those of the text-to-image model for 16×16 images, scaled by pixels; of a text-to-image pipeline from
elsewhere they are its U-Net's counted operations, three passes an image of a training step, at a rate that is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sweep.errors import mistake_in
from sweep.plan.plan import Plan
from sweep.relearning.fitting import RATES, Fit
from sweep.relearning.question import asks_of_fid
from sweep.relearning.setup import CALIBRATION_SEEDS, Setup
from sweep.relearning.setup_flags import SYNTHETIC_OF_PROMPTS
from sweep.space import Arm, Attack, Choice, SearchSpace, Value
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.sizes import SIZES, fitting
from trainables.denoisers.text_to_image import TextToImage
from trainables.forgetting import parse_forget


@dataclass(frozen=True)
class _Times:
    """Core-seconds on one core: of a training step of the base model, of a method and of an attack, and of a sample by DDIM-10."""

    base: float
    unlearn: float
    attack: float
    sample: float

    def times(self, factor: float) -> _Times:
        return _Times(self.base * factor, self.unlearn * factor, self.attack * factor, self.sample * factor)


# On the machine named in benchmarks/stage_times.md, for 8×8 images and the small UNet.
_OF_CLASSES = _Times(base=0.095, unlearn=0.065, attack=0.042, sample=0.0022)
_CLASSIFIER_S = 15.0
_START_S = 45.0
_SHAPE, _SAMPLING_STEPS = (1, 8, 8), 10  # that these are of

# For 16×16 images and `trainables.denoisers.text_to_image.TextToImage` as it stands.
_OF_PROMPTS = _Times(base=0.15, unlearn=0.10, attack=0.077, sample=0.0085)
_VAE_STEP_S, _CLIP_STEP_S, _TEXT_SIDE = 0.06, 0.062, 16

# Of `trainables.audits`, which loads torch: images of each side at most, and timesteps that the loss of one is a mean over.
AUDITED, DRAWS = 300, 20


@dataclass(frozen=True)
class _Costs:
    """Core-seconds of replicates of a plan."""

    plan: Plan[Setup]
    space: SearchSpace

    @cached_property
    def larger(self) -> float:
        """How many times as much a step or a sample takes as of what the times are of."""
        shape = self.plan.setup.dataset().shape
        return multiply_adds(_base_model(self.plan.setup), shape) / multiply_adds(BaseModel(), _SHAPE)

    @cached_property
    def counted(self) -> Fit | None:
        """Of a text-to-image pipeline from elsewhere, how its trials fit, which says how they are computed."""
        return self.plan.setup.fit(self.space, self.plan.place)

    @cached_property
    def times(self) -> _Times:
        """Of this plan's model."""
        data, counted = self.plan.setup.dataset(), self.counted
        if counted is not None:
            forward, passes = counted.model.costs(counted.how.half).flops, 4 if counted.how.checkpointing else 3
            an_image = forward / RATES[counted.how.on_gpu]
            recipe_batch = counted.model.pretrained.batch
            step = passes * recipe_batch * an_image
            return _Times(base=0.0, unlearn=step, attack=step, sample=_SAMPLING_STEPS * an_image)
        if data.prompts:
            return _OF_PROMPTS.times(math.prod(data.shape[1:]) / _TEXT_SIDE**2)
        return _OF_CLASSES.times(self.larger)

    @property
    def sample_s(self) -> float:
        setup = self.plan.setup
        return self.times.sample * setup.sampling_steps / _SAMPLING_STEPS * (1 if setup.guidance == 1 else 2)

    @property
    def models_s(self) -> float:
        """The base model, its control and shadow models, and what they are made of."""
        setup = self.plan.setup
        if setup.base:
            return 0.0
        recipe = setup.base_recipe()
        made, parts_s, usual = 2 + setup.shadow_models, 0.0, BaseModel().batch
        if isinstance(recipe, TextToImage):
            parts_s = (
                recipe.vae.train_steps * _VAE_STEP_S + sum(clip.train_steps for clip in recipe.clips) * _CLIP_STEP_S
            )
            usual = TextToImage().batch
        return parts_s + made * setup.base_steps * self.times.base * recipe.batch / usual

    def samples(self, confirm: bool) -> tuple[int, int]:
        """N of what was forgotten, and of all conditions."""
        setup = self.plan.setup
        retained = len(parse_forget(setup.forget, setup.dataset()).retained)
        forgotten, each = setup.confirm_samples if confirm else (setup.samples_forgotten, setup.samples_per_retained)
        return forgotten, forgotten + retained * each

    @property
    def synthetic(self) -> int:
        """Images of an attacker's synthetic set of prompts; 0 where nobody trains on it."""
        from sweep.relearning.attacks import trains_on  # which loads torch: only a plan of prompts pays for it

        setup = self.plan.setup
        retained = len(parse_forget(setup.forget, setup.dataset()).retained)
        return retained * math.ceil(SYNTHETIC_OF_PROMPTS / retained) if trains_on(self.space, "synthetic") else 0

    @cached_property
    def audited(self) -> float:
        """Images that a model is audited on: of the forget set, and held-out ones of its kind; a share of each split by conditions.

        As many as ever are, where nobody counts a data set's images.
        """
        data, forget = self.plan.setup.dataset(), self.plan.setup.forget
        forgetting, counts = parse_forget(forget, data), data.counts() if data.counts else {}
        imaged = {condition for condition in data.present if not data.imaged or data.imaged[condition]}
        share = len(imaged.intersection(forgetting.conditions)) / max(len(imaged), 1)
        sides = [share * counts[split] for split in ("train", "test")] if counts else [AUDITED, AUDITED]
        if forgetting.instances:
            sides = [len(forgetting.instances), counts.get("test", AUDITED)]
        return sum(min(side, AUDITED) for side in sides) if all(sides) else 0.0

    @property
    def audit_s(self) -> float:
        """Of a score of all conditions, before an attack and after its last step: forward passes, as a sample is of several."""
        return self.audited * DRAWS * self.times.sample / _SAMPLING_STEPS

    def drawn_by_base(self, arm: Arm) -> int:
        """Images that θ₀ makes for an arm's method, once for all trials; of classes they are few, and not counted."""
        data = self.plan.setup.dataset()
        if not data.prompts:
            return 0
        from trainables.unlearning import METHODS  # which loads torch: only a plan of prompts pays for it

        method, forgetting = METHODS[arm.method], parse_forget(self.plan.setup.forget, data)
        drawn = []
        for values in _asked(arm):
            with mistake_in(f"space {self.space.name!r}, arm {arm.name!r}"):
                drawn.append(method.drawn(method.configure(values), forgetting))
        return max(drawn)

    def before_attacks(self, arm: Arm | None, confirm: bool) -> float:
        """Unlearning, of a control none, and the score."""
        unlearn = _steps(arm) * self.times.unlearn * self.batches(arm) if arm else 0.0
        return unlearn + self.samples(confirm)[1] * self.sample_s + self.audit_s

    def attacks(self, confirm: bool) -> float:
        forgotten, everything = self.samples(confirm)
        samples = (len(self.space.rungs) - 2) * forgotten + everything
        suite = self.space.confirm_attacks if confirm else self.space.search_attacks
        steps = sum(self.space.rungs[-1] * self.batches_of_attack(attack) for attack in suite)
        return steps * self.times.attack + len(suite) * (samples * self.sample_s + self.audit_s)

    def batches(self, arm: Arm) -> float:
        """Images of an arm's step, in units of the batch that the time of a step is of; 1 where that is measured."""
        if self.counted is None:
            return 1.0
        runs = [run for run in self.counted.runs if run.what == f"arm {arm.name}"]
        return max(run.batch for run in runs) / self.counted.model.pretrained.batch

    def batches_of_attack(self, attack: Attack) -> float:
        if self.counted is None:
            return 1.0
        run = next(run for run in self.counted.runs if run.what == f"attack {attack.name}")
        return run.step_images(self.counted.model.forgotten) / self.counted.model.pretrained.batch

    def replicate(self, arm: Arm | None, confirm: bool) -> float:
        return self.before_attacks(arm, confirm) + self.attacks(confirm)


def estimate(plan: Plan[Setup], space: SearchSpace) -> dict[str, float]:
    """Rough core-seconds of each phase and wall seconds of all, if nothing is cached and no trial is gated."""
    costs, setup = _Costs(plan, space), plan.setup
    data = setup.dataset()
    classifier = _CLASSIFIER_S * math.prod(data.shape[1:]) / math.prod(_SHAPE[1:])
    scored = 2 * CALIBRATION_SEEDS if asks_of_fid(space) else 1
    drawn = scored * costs.samples(False)[1] + (costs.synthetic if data.prompts else 0)
    prepare = costs.models_s + classifier + drawn * costs.sample_s + scored * costs.audit_s
    search, confirm = 2 * costs.replicate(None, False), 2 * costs.replicate(None, True)
    for arm in space.arms:
        trials = plan.budget_of(space, arm.name)
        search += trials * costs.replicate(arm, False) + costs.drawn_by_base(arm) * costs.sample_s
        confirm += min(trials, plan.confirm_members + plan.confirm_neighbours) * costs.replicate(arm, True)
    confirm *= plan.confirm_seeds
    total = prepare + search + confirm
    return {
        "prepare": prepare,
        "search": search,
        "confirm": confirm,
        "wall": _START_S + total / max(plan.place.workers, 1),
    }


def part_before_attacks(plan: Plan[Setup], space: SearchSpace, arm: Arm) -> float:
    """What a confirm replicate of the arm costs before its attacks, as a part of all of it."""
    costs = _Costs(plan, space)
    return costs.before_attacks(arm, True) / costs.replicate(arm, True)


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


def _asked(arm: Arm) -> Iterator[Mapping[str, Value]]:
    """Settings that an arm's method may be given: what all trials have, with each end or option of what they differ in alone."""
    if arm.attack:
        yield arm.held
        return
    ends = {p.name: list(p.branches) if isinstance(p, Choice) else [p.low, p.high] for p in arm.walk()}
    same = {p.name: ends[p.name][0] for p in arm.parameters if len(set(ends[p.name])) == 1}
    yield same
    yield from (same | {name: value} for name, values in ends.items() for value in values)
    yield from arm.start_points


def _steps(arm: Arm) -> float:
    """Steps of an arm's middling trial: the middle of its range of steps, each as long as its inner steps make it."""
    middle = {p.name: _middle(p) for p in arm.walk() if not isinstance(p, Choice)}
    inner = sum(steps for name, steps in middle.items() if name.endswith("inner_steps"))
    return middle.get("steps", 100.0) * (1 + inner)


def _middle(parameter: Any) -> float:
    low, high = parameter.low, parameter.high
    return math.sqrt(low * high) if parameter.log else (low + high) / 2
