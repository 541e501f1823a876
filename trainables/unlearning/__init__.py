"""Unlearning methods: one file each, all ``(problem, settings)`` → what one optimiser step minimises or follows.

Most methods are a loss to fine-tune the base model with: ``@register`` takes ``loss(problem, settings) -> Loss``, and a
`Loss` is a function of (model, generator). One whose step is more than one loss's gradient (bi-level, clipped, projected)
gives a `Gradient` instead, by ``@register_gradient``; one that is more than fine-tuning, or none, begins a `Run` of its own,
by ``@register_run``. Its settings are a frozen dataclass that extends `FineTuningSettings`, `Mixture` where a batch mixes
forgotten and retained images (`counts`, `condition_dropout`), or `MethodSettings` where nothing is fine-tuned. Every loss is
a mean over elements, so that weights compare across methods and image sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DModel

from trainables.data import Images
from trainables.denoisers.live_prompts import TextEncoders
from trainables.denoisers.models import LORA, check_trained_parameters, parameters_to_train, trained_parameters
from trainables.diffusion import Loss
from trainables.features import conditions_by_distance
from trainables.fine_tuning import FineTuning, Gradient, Optimisation, Run, descend
from trainables.forgetting import CONDITIONS, Forget
from trainables.registry import Registry, configure
from trainables.training.device import Device
from trainables.training.footprint import Footprint

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Problem:
    """What a method may see: the frozen base model θ₀, what to forget, what to keep, and the feature network.

    `forget` and `retain` are on the CPU; methods move what they train on. `features` maps images (N, C, H, W) to (N, d);
    `generated` returns n images (n, C, H, W) that the base model makes for a condition. `shared` holds, by name, the shared
    artifacts that the method said it needs, a tensor for each of θ₀'s parameters. `in_latents`: the sets, and what θ₀ makes, are a
    VAE's latents, which have no range. Of prompts there are their `texts` by number, and `encoders` gives the base model's text
    encoders, anew every time.
    """

    base_model: Callable[[], UNet2DModel]  # what `base` is had by
    schedule: DDIMScheduler
    forget: Images
    retain: Images
    forgetting: Forget
    null_condition: int
    features: Callable[[torch.Tensor], np.ndarray]
    generated: Callable[[int, int], torch.Tensor]
    device: Device
    shared: Mapping[str, Tensors] = field(default_factory=dict)
    in_latents: bool = False
    teaching_model: Callable[[], UNet2DModel] | None = None  # what `teacher` is had by, where it is not `base`
    texts: Sequence[str] = ()
    encoders: Callable[[], TextEncoders] | None = None
    by_distance: Callable[[], Sequence[int]] | None = None  # what `conditions_by_distance` is had by, where it is known

    @property
    def conditions_by_distance(self) -> Sequence[int]:
        """Retained conditions, nearest first, by their mean feature's distance to the forget set's; of prompts, their labels'."""
        if self.by_distance is not None:
            return self.by_distance()
        return conditions_by_distance(self.features, self.forget, self.retain, self.forgetting.shown)

    def text_encoders(self, method: str) -> TextEncoders:
        """The text encoders, for a method to train; ValueError where there are none."""
        if self.encoders is None:
            raise ValueError(f"method {method!r} trains the text encoder, which a class-conditional model has none of")
        return self.encoders()

    def draw_forgotten(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """(n,) forgotten conditions for what needs no image of them, on the device: as often as the forget set has them.

        Prompts, of which some may have no images, alike often, as they are scored; so conditions none of which has any.
        """
        if len(self.forget) and conditioned_on(self.forgetting) == CLASSES:
            return self.forget.draw_conditions(n, generator)
        conditions = torch.tensor(self.forgetting.conditions)
        return conditions[torch.randint(len(conditions), (n,), generator=generator)].to(self.device.name)

    @property
    def base(self) -> UNet2DModel:
        """θ₀, frozen. It is loaded when it is first asked for: beside the student only where a method looks at it."""
        return self.base_model()

    @property
    def teacher(self) -> UNet2DModel:
        """θ₀ for its predictions alone, which are the same: its weights are in bf16 where that is computed in."""
        return self.base if self.teaching_model is None else self.teaching_model()

    def here(self) -> Problem:
        """The same with both sets on the device."""
        return replace(self, forget=self.forget.to(self.device.name), retain=self.retain.to(self.device.name))


CLASSES, PROMPTS = "classes", "prompts"  # what a model is conditioned on, as far as a method cares


@dataclass(frozen=True)
class MethodSettings:
    """What every method's settings are: values that travel as JSON, checked when they are made."""

    def __post_init__(self) -> None:
        """ValueError where a value is none that the method can have."""

    def check_forgets(self, forgetting: Forget) -> None:
        """ValueError where these settings need what this forgetting does not have."""


@dataclass(frozen=True)
class FineTuningSettings(MethodSettings):
    """What every fine-tuning method shares; its defaults are what works on digits, found by hand.

    The learning rate warms up and decays to 0 over the run: at a constant one the last steps' noise costs more FID than
    forgetting does (on digits, DiMUM at 1e-3 for 100 steps: `fid_delta` 23.0 constant, 5.9 decayed).
    """

    learning_rate: float = 7e-4  # Adam's peak
    steps: int = 150
    batch: int = 64
    trained_parameters: str = "all"  # a name of trainables.denoisers.models.TRAINED_PARAMETERS
    lora_rank: int = 4  # of the factors, where those are what trains
    ema_decay: float = 0.9  # 0: the last weights; otherwise their exponential moving average
    schedule: str = "one-cycle"  # or "constant"
    grad_clip: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.optimisation()  # refuses what no optimiser can do
        check_trained_parameters(self.trained_parameters, self.lora_rank)
        if self.batch < 2:
            raise ValueError(f"a batch of {self.batch} cannot hold both kinds of image")

    def check_forgets(self, forgetting: Forget) -> None:
        super().check_forgets(forgetting)
        check_trained_parameters(self.trained_parameters, prompts=conditioned_on(forgetting) == PROMPTS)

    def optimisation(self) -> Optimisation:
        return Optimisation(
            self.learning_rate, self.steps, grad_clip=self.grad_clip, ema_decay=self.ema_decay, schedule=self.schedule
        )


@dataclass(frozen=True)
class Mixture(FineTuningSettings):
    """Settings of the methods that mix a forgetting loss with a retain loss; only the ratio of the two weights is free."""

    lambda_ratio: float = 0.3  # λ_f / λ_r
    forget_share: float = 0.2  # share of each batch spent on what is forgotten
    condition_dropout: float = 0.05  # probability that a retained image's condition becomes the null condition

    def __post_init__(self) -> None:
        super().__post_init__()
        balance(self.lambda_ratio)
        check_shares(self, "forget_share", "condition_dropout")

    @property
    def counts(self) -> tuple[int, int]:
        """(images of what is forgotten, retained images) in a batch: at least one of each."""
        forgotten = split_batch(self.batch, self.forget_share)
        return forgotten, self.batch - forgotten


@dataclass(frozen=True)
class Method:
    """A registered method: its settings' class, and how it begins a run on a copy of the start model.

    `gradient` is there where the method is no more than a step to fine-tune by, and `loss` where that step is one loss's.
    `needs` are the shared artifacts it reads, `forgets` the kinds of thing it can forget; `refuses` says why of models that
    are conditioned on `CLASSES` or on `PROMPTS`, where it has no use for them. Of a `closed_form` the run is no training, but
    an edit that takes seconds. What is `whole_before_meta` is made to its end before the meta objective begins, as a closed form
    is. `footprint` is what a run with these settings holds in memory, `drawn` how many images θ₀ makes for such runs, once.
    """

    name: str
    settings: type[MethodSettings]
    begin: Callable[[UNet2DModel, Problem, Any, int], Run]
    modules: tuple[str, ...]  # of the code that it is, for artifact keys
    gradient: Callable[[Problem, Any], Gradient] | None = None
    loss: Callable[[Problem, Any], Loss] | None = None
    needs: tuple[str, ...] = ()
    forgets: tuple[str, ...] = (CONDITIONS,)
    refuses: Mapping[str, str] = field(default_factory=dict)
    closed_form: bool = False
    whole_before_meta: bool = False
    footprint: Callable[[Any], Footprint] = lambda settings: Footprint()
    drawn: Callable[[Any, Forget], int] = lambda settings, forgetting: 0

    def configure(self, values: Mapping[str, Any]) -> MethodSettings:
        """The settings with these values; ValueError for a name the method does not have, or a choice it cannot make."""
        settings = configure(f"method {self.name!r}", self.settings, values)
        if isinstance(settings, FineTuningSettings) and settings.trained_parameters == LORA and self.needs:
            raise ValueError(
                f"method {self.name!r}: trained_parameters {LORA!r}: it treats each weight by its {', '.join(self.needs)}, "
                "which low-rank factors have none of; choose other parameters"
            )
        return settings

    def can_forget(self, forgetting: Forget) -> bool:
        """Whether the method can forget this, at some settings."""
        return forgetting.kind in self.forgets and conditioned_on(forgetting) not in self.refuses

    def check_forgets(self, forgetting: Forget, settings: MethodSettings | None = None) -> None:
        """ValueError where the method cannot forget this, or not at these settings."""
        if forgetting.kind not in self.forgets:
            raise ValueError(f"method {self.name!r} forgets {' and '.join(self.forgets)}, not {forgetting.text}")
        if why := self.refuses.get(conditioned_on(forgetting)):
            raise ValueError(f"method {self.name!r} {why}")
        if settings is not None:
            settings.check_forgets(forgetting)


def conditioned_on(forgetting: Forget) -> str:
    """``prompts`` where what is forgotten is asked for by prompts, else ``classes``."""
    return PROMPTS if forgetting.anchor_of else CLASSES


class Methods(Registry[Method]):
    """The methods by name; ``WRAPPER(METHOD)`` is a method too: what a registered wrapper makes of another."""

    def __init__(self) -> None:
        super().__init__("unlearning method", __name__)
        self.wrappers: Registry[Callable[[Method], Method]] = Registry("wrapper of methods", __name__)

    def __getitem__(self, name: str) -> Method:
        wrapper, bracket, inner = name.partition("(")
        if not bracket:
            return super().__getitem__(name)
        wrappers = self.wrappers.names()
        if wrapper not in wrappers or not inner.endswith(")"):
            raise ValueError(f"unknown unlearning method {name!r}: write one of {', '.join(wrappers)} as NAME(METHOD)")
        return self.wrappers[wrapper](super().__getitem__(inner[:-1]))


METHODS = Methods()

Masks = Callable[[dict[str, torch.nn.Parameter], Problem, Any], list[torch.Tensor]]
Start = Callable[[UNet2DModel, Problem, Any, int], None]


def register(name: str, settings: type[FineTuningSettings], **traits: Any) -> Callable:
    """Register ``loss(problem, settings) -> Loss`` as the method `name`: fine-tuning with that loss.

    `traits` are those of `fine_tuning`.
    """

    def method(loss: Callable[[Problem, Any], Loss]) -> Method:
        def gradient(problem: Problem, values: Any) -> Gradient:
            return descend(loss(problem, values))

        return replace(fine_tuning(name, settings, gradient, loss.__module__, **traits), loss=loss)

    return METHODS.decorator(name, method)


def register_gradient(name: str, settings: type[FineTuningSettings], **traits: Any) -> Callable:
    """Register ``gradient(problem, settings) -> Gradient`` as the method `name`: for a step that is not one loss's."""
    return METHODS.decorator(name, lambda g: fine_tuning(name, settings, g, g.__module__, **traits))


def register_run(name: str, settings: type[MethodSettings], **traits: Any) -> Callable:
    """Register ``begin(model, problem, settings, seed) -> Run`` as the method `name`: for what is more than fine-tuning, or none.

    `traits` are `needs`, `forgets`, `refuses`, `closed_form`, `whole_before_meta`, `footprint` and `drawn`; see `Method`.
    """
    return METHODS.decorator(name, lambda begin: Method(name, settings, begin, (begin.__module__,), **traits))


def register_wrapper(name: str) -> Callable:
    """Register ``wrap(method) -> Method``: `name` around any method, called ``NAME(METHOD)``."""
    return METHODS.wrappers.decorator(name, lambda wrap: wrap)


def fine_tuning(
    name: str,
    settings: type[FineTuningSettings],
    gradient: Callable[[Problem, Any], Gradient],
    module: str,
    *,
    needs: tuple[str, ...] = (),
    forgets: tuple[str, ...] = (CONDITIONS,),
    refuses: Mapping[str, str] | None = None,
    masks: Masks | None = None,
    start: Start | None = None,
    footprint: Callable[[Any], Footprint] = lambda settings: Footprint(),
    drawn: Callable[[Any, Forget], int] = lambda settings, forgetting: 0,
) -> Method:
    """A method that fine-tunes by `gradient`.

    `start` may change the start model's weights first; `masks` says which weights of each trained parameter move.
    """

    def begin(model: UNet2DModel, problem: Problem, values: FineTuningSettings, seed: int) -> Run:
        if start is not None:
            start(model, problem, values, seed)
        parameters = parameters_to_train(model, values.trained_parameters, values.lora_rank, seed)
        return FineTuning(
            model,
            None,
            values.optimisation(),
            seed,
            problem.device,
            parameters,
            gradient=gradient(problem, values),
            masks=masks(trained_parameters(model, values.trained_parameters), problem, values) if masks else None,
        )

    return Method(
        name,
        settings,
        begin,
        (module,),
        gradient,
        None,
        needs,
        forgets,
        refuses or {},
        footprint=footprint,
        drawn=drawn,
    )


def retained_batch(problem: Problem, n: int, dropout: float, generator: torch.Generator) -> Images:
    """n images drawn from the retain set, each condition replaced by the null condition with probability `dropout`."""
    drawn = problem.retain.draw(n, generator)
    dropped = torch.rand(n, generator=generator) < dropout
    return Images(
        drawn.images, drawn.conditions.masked_fill(dropped.to(drawn.conditions.device), problem.null_condition)
    )


def split_batch(batch: int, share: float) -> int:
    """How many of a batch's images are for what is forgotten: at least one of each kind."""
    if batch < 2:
        raise ValueError(f"a batch of {batch} cannot hold both kinds of image")
    return min(max(round(batch * share), 1), batch - 1)


def mixture_weights(forgotten: int, kept: int, forget_weight: float, retain_weight: float) -> torch.Tensor:
    """(B,) weights under which a batch's mean is w_f · mean(forgotten part) + w_r · mean(kept part)."""
    size = forgotten + kept
    ones = [
        torch.full((forgotten,), forget_weight * size / forgotten),
        torch.full((kept,), retain_weight * size / kept),
    ]
    return torch.cat(ones)


def balance(ratio: float) -> tuple[float, float]:
    """(λ_f, λ_r) with λ_f / λ_r = `ratio` and λ_f + λ_r = 1: only the ratio matters to Adam, so only it is searched."""
    if not 0 < ratio < float("inf"):
        raise ValueError(f"a ratio of loss weights must be positive and finite, not {ratio}")
    return ratio / (1 + ratio), 1 / (1 + ratio)


def check_shares(settings: FineTuningSettings, *names: str) -> None:
    """ValueError naming the first of these settings that is not from 0 to 1."""
    for name in names:
        if not 0 <= getattr(settings, name) <= 1:
            raise ValueError(f"{name} must be from 0 to 1, not {getattr(settings, name)}")
