"""Attacks on an unlearned model: one file each, all ``(target, settings)`` → what one optimiser step minimises or follows.

An attack fine-tunes θᵤ and is scored at every rung of its ladder. Most are a loss: ``@register`` takes
``loss(target, settings) -> Loss``. One whose step depends on the run, such as a curriculum, gives a `Gradient` instead, by
``@register_gradient``. One that is more than that, or that moves no weight and changes what the model is told, begins a run of
its own, by ``@register_run``. Its settings are a frozen dataclass that extends `AttackSettings`, or `SharedSettings` where no
weight moves. An attack never depends on its horizon, so that a longer one continues a shorter one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import UNet2DModel

from trainables.auxiliary import known_auxiliary
from trainables.data import Images
from trainables.denoisers.live_prompts import TextEncoders
from trainables.denoisers.models import check_trained_parameters, drawn_loss, dropout_loss, parameters_to_train
from trainables.denoisers.recipes import Recipe
from trainables.diffusion import Loss
from trainables.fine_tuning import FineTuning, Gradient, Optimisation, descend
from trainables.forgetting import Forget
from trainables.registry import Registry, configure
from trainables.sampling.sampler import Sampler
from trainables.training.device import Device
from trainables.training.footprint import Footprint


@dataclass(frozen=True)
class Wording:
    """What an attacker on prompts may see beside his images: he knows what was unlearned, and has the public base model.

    `texts` are the prompts by number, `named` what each calls what it asks for in the forgotten facet ("" where it names none).
    `encoders` gives θᵤ's own text encoders, `base` θ₀, and `sampler` is how users of the model draw.
    """

    forgetting: Forget
    texts: Sequence[str]
    named: Sequence[str]
    encoders: Callable[[], TextEncoders]
    base: Callable[[], UNet2DModel]
    sampler: Sampler


@dataclass(frozen=True)
class Target:
    """What an attacker may see: his images and the base model's public recipe, not what was unlearned or how.

    `auxiliary` is the set he attacks with, as many of it as he has, none where he needs none; `sets` holds, by name, all of every
    set that the settings name. All on the CPU. Of a text-to-image model there is the `wording` of its prompts, which attacks on
    prompts alone look at.
    """

    auxiliary: Images
    recipe: Recipe
    null_condition: int
    device: Device
    sets: Mapping[str, Images] = field(default_factory=dict)
    wording: Wording | None = None

    def denoising(self, images: Images, settings: AttackSettings, batch: int | None = None) -> Loss:
        """DSM over random batches of `images`; the batch is the settings' unless given, the label dropout theirs."""
        size, dropout = batch or settings.batch, settings.label_dropout
        return dropout_loss(self.recipe, images, self.null_condition, self.device, size, dropout)

    def denoising_by(self, draw: Callable[[torch.Generator], Images], settings: AttackSettings) -> Loss:
        """DSM over the batches that `draw` gives, on the device."""
        return drawn_loss(self.recipe, draw, self.null_condition, settings.label_dropout)


@dataclass(frozen=True)
class SharedSettings:
    """What every attack shares."""

    auxiliary: str = "retain"  # a name of trainables.auxiliary; "": the attacker needs no images
    images: int = 0  # how many images of it the attacker has, always the same ones; 0: all there are
    batch: int = 32
    stop_after: int = 0  # steps after which the attack stands still, to be scored at later rungs; 0: never

    def __post_init__(self) -> None:
        for name in self.auxiliaries:
            known_auxiliary(name)
        if self.images < 0:
            raise ValueError(f"images must be at least 1, or 0 for all there are, not {self.images}")
        check_counts(self, "batch")
        if self.stop_after < 0:
            raise ValueError(f"stop_after must be at least 1, or 0 for never, not {self.stop_after}")

    @property
    def auxiliaries(self) -> tuple[str, ...]:
        """The auxiliary sets that the attack trains on."""
        return (self.auxiliary,) if self.auxiliary else ()


@dataclass(frozen=True)
class AttackSettings(SharedSettings):
    """What every fine-tuning attack shares."""

    learning_rate: float = 1e-3
    optimiser: str = "adam"  # or "sgd"
    grad_clip: float = 1.0
    trained_parameters: str = "all"  # a name of trainables.denoisers.models.TRAINED_PARAMETERS
    lora_rank: int = 4  # of the factors, where those are what trains
    label_dropout: float | None = None  # probability of the null condition; None: that of the base model's recipe

    def __post_init__(self) -> None:
        super().__post_init__()
        self.optimisation(0)  # refuses what no optimiser can do
        check_trained_parameters(self.trained_parameters, self.lora_rank)
        if not self.auxiliary:
            raise ValueError("auxiliary: fine-tuning needs an auxiliary set")
        if self.label_dropout is not None and not 0 <= self.label_dropout <= 1:
            raise ValueError(f"label_dropout must be from 0 to 1, or None for the recipe's, not {self.label_dropout}")

    def optimisation(self, steps: int) -> Optimisation:
        return Optimisation(self.learning_rate, steps, self.optimiser, self.grad_clip)


Begin = Callable[[Any, Target, Any, int, int], FineTuning]
"""``begin(model, target, settings, steps, seed)``: an attack's run on a copy of θᵤ."""


@dataclass(frozen=True)
class RegisteredAttack:
    """A registered attack: its settings' class and how it begins, and its step and `loss` where it is no more than that.

    `moves_weights`: θᵤ's weights change. Where they do not, what the model is told does; it is then shown apart. `on_prompts`:
    it is an attack on text-to-image models alone. `footprint` is what a run with these settings holds in memory, and for so many
    forgotten prompts `step_images` the images of a step, of all its passes, and `words_held` the numbers that it holds for words of
    its own, of a vocabulary of so many.
    """

    name: str
    settings: type[SharedSettings]
    module: str
    gradient: Callable[[Target, Any], Gradient] | None = None
    loss: Callable[[Target, Any], Loss] | None = None
    run: Begin | None = None
    moves_weights: bool = True
    on_prompts: bool = False
    footprint: Callable[[Any], Footprint] = lambda settings: Footprint()
    step_images: Callable[[Any, int], int] | None = None  # None: those that are kept together
    words_held: Callable[[Any, int, int], int] = lambda settings, forgotten, vocabulary: 0

    def configure(self, values: Mapping[str, Any]) -> Any:
        """The settings with these values; ValueError for a name the attack does not have."""
        return configure(f"attack {self.name!r}", self.settings, values)

    def begin(self, model: UNet2DModel, target: Target, settings: Any, steps: int, seed: int) -> FineTuning:
        """The attack's run on a copy of θᵤ. ValueError where the model or the sets cannot be attacked so."""
        self.check(target)
        if self.run is not None:
            return self.run(model, target, settings, steps, seed)
        assert self.gradient is not None, "an attack has a run of its own or a gradient"
        gradient = self.gradient(target, settings)
        parameters = parameters_to_train(model, settings.trained_parameters, settings.lora_rank, seed)
        how = settings.optimisation(steps)
        return FineTuning(model, None, how, seed, target.device, parameters, gradient=gradient)

    def check(self, target: Target) -> None:
        """ValueError where the attack is one on prompts, and there are none."""
        if self.on_prompts and target.wording is None:
            raise ValueError(f"attack {self.name!r} changes what a text-to-image model is told: no other has prompts")


ATTACKS: Registry[RegisteredAttack] = Registry("attack", __name__)


def register(name: str, settings: type[AttackSettings]) -> Callable:
    """Register ``loss(target, settings) -> Loss`` as the attack `name`."""

    def attack(loss: Callable[[Target, Any], Loss]) -> RegisteredAttack:
        def gradient(target: Target, values: Any) -> Gradient:
            return descend(loss(target, values))

        return RegisteredAttack(name, settings, loss.__module__, gradient, loss)

    return ATTACKS.decorator(name, attack)


def register_gradient(name: str, settings: type[AttackSettings]) -> Callable:
    """Register ``gradient(target, settings) -> Gradient`` as the attack `name`: for a step that depends on the run."""
    return ATTACKS.decorator(name, lambda g: RegisteredAttack(name, settings, g.__module__, g))


def register_run(
    name: str,
    settings: type[SharedSettings],
    *,
    moves_weights: bool = True,
    on_prompts: bool = False,
    footprint: Callable[[Any], Footprint] = lambda settings: Footprint(),
    step_images: Callable[[Any, int], int] | None = None,
    words_held: Callable[[Any, int, int], int] = lambda settings, forgotten, vocabulary: 0,
) -> Callable:
    """Register ``begin(model, target, settings, steps, seed) -> FineTuning`` as the attack `name`."""

    def attack(begin: Begin) -> RegisteredAttack:
        return RegisteredAttack(
            name,
            settings,
            begin.__module__,
            run=begin,
            moves_weights=moves_weights,
            on_prompts=on_prompts,
            footprint=footprint,
            step_images=step_images,
            words_held=words_held,
        )

    return ATTACKS.decorator(name, attack)


def check_counts(settings: Any, *names: str) -> None:
    """ValueError naming the first of these settings that is less than 1."""
    for name in names:
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} must be at least 1, not {getattr(settings, name)}")
