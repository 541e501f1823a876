"""Meta-Unlearning (Gao et al. 2024, arXiv 2410.12777): ``meta(METHOD)``, around any method that is a step to fine-tune by.

    L(θ) = L_unlearn(θ) + γ · L_meta(θ)
    L_meta(θ) = -DSM(θ_FT; D_FT) - ζ · [DSM(θ_FT; D_ret) - DSM(θ; D_ret)] + κ · DSM(θ; D_irt) - κ′ · DSM(θ_FT; D_irt)
    θ_FT = θ after M steps of SGD on DSM(D_FT)

θ is trained so that it unlearns, and so that whoever fine-tunes it on what was forgotten (D_FT: the forget set with its own
conditions, simulated from every θ) neither learns that nor keeps what is close to it: D_ret, the nearest retained
condition, is meant to go to ruin along. γ = `meta_weight` is the paper's γ₂ / γ₁, for only ratios matter to Adam. D_irt, what
is unrelated, is in both halves of public code, whose five weights are 1; here κ and κ′ are 0 unless they are set, for METHOD's
own retain term holds the rest. Both terms of a set are taken on the same noised images. Of prompts, D_ret and D_irt are those
of the roles related and unrelated, where somebody gave them.

Around a closed form (``meta(uce)``, ``meta(rece)``), and in ``meta(mace)``, the edit is made first and L_unlearn is 0 from
there on, as in public code; it has the settings of a fine-tuning run besides its own.

First order, as in public code: the gradients of both terms of θ_FT are taken at θ_FT and applied to θ. Here differs: -DSM
is unbounded below, so every loss of θ_FT counts up to `meta_cap` (public code has no cap); θ_FT is reached by SGD,
clipped like the run itself (public code: AdamW, at the outer learning rate, begun anew every time), in M steps on images
drawn anew, or with `meta_inner_pass` in one pass over the forget set (public code: that, three batches of 10); D_FT of the inner
steps and of the outer term are other draws of one set (there two sets of images); weights are of means (there gradients add
up over all batches of a set); every timestep is used (there ``fix_timesteps`` holds all of a batch at one; the paper compares
1, 2, 5, 10 and off). An attacker is not bound to what θ trains: `meta_inner_trains` says what θ_FT does.

On digits, around DiMUM, fine-tuning on held-out images of the forgotten digit (Adam, 1e-4, 63 steps, three seeds) brings
it back in 52 to 58 % of samples with the meta objective and in 84 to 89 % without, for about 1 FID; at 1e-3 both come back.
With a vanishing `meta_inner_learning_rate` it is 42 % (one seed, 4 FID more): the ascent resists there, not the look ahead,
and with θ_FT far from θ (3 steps at 1.0) 85 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, make_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DModel

from trainables.auxiliary import farther_half
from trainables.data import Images
from trainables.denoisers.models import check_trained_parameters, parameters_to_train, trained_parameters
from trainables.diffusion import Noised, add_noise, denoising_loss
from trainables.features import features_of_set
from trainables.features._distances import nearest_squared_distance
from trainables.fine_tuning import FineTuning, Run, Stateful
from trainables.forgetting import CONDITIONS, Forget
from trainables.unlearning import (
    PROMPTS,
    FineTuningSettings,
    Footprint,
    Method,
    Problem,
    conditioned_on,
    register_wrapper,
)
from trainables.unlearning._replacement import labelled_by_distance

# Of an unconditional model's retained images, how many of the nearest to the forgotten ones are D_ret.
_RELATED_IMAGES = 64

_SETTINGS: tuple[tuple[str, type, Any], ...] = (
    ("meta_weight", float, 0.03),  # γ; 0 is the method itself
    ("zeta", float, 0.1),  # ζ
    ("meta_inner_steps", int, 1),  # M
    ("meta_inner_learning_rate", float, 0.1),  # of the simulated fine-tuning
    ("meta_cap", float, 1.0),  # of each DSM of θ_FT; predicting no noise at all costs 1
    ("meta_inner_batch", int, 16),  # images of D_FT in each inner step, and of each set in L_meta
    ("meta_inner_pass", bool, False),  # one pass over the forget set instead of M steps
    (
        "meta_inner_trains",
        str,
        "",
    ),  # what the simulated fine-tuning trains, of models.TRAINED_PARAMETERS; "": what θ does
    ("meta_unrelated", float, 0.0),  # κ: of keeping what is unrelated
    ("meta_unrelated_after", float, 0.0),  # κ′: of ruining it by the simulated fine-tuning
)


@register_wrapper("meta")
def meta(method: Method) -> Method:
    """`method` with the meta objective; ValueError for one that is neither a step to fine-tune by nor made before it."""
    edited_first = method.closed_form or method.whole_before_meta
    if method.gradient is None and not edited_first:
        raise ValueError(
            f"meta({method.name}): {method.name} is more than a step to fine-tune by; give a method that is one"
        )

    def begin(model: UNet2DModel, problem: Problem, values: Any, seed: int) -> Run:
        run = method.begin(model, problem, values, seed)
        if edited_first:
            run = AfterEdit(run, problem, values, seed)
        assert isinstance(run, FineTuning), f"{method.name} has a gradient, so its run is a fine-tuning run"
        run.gradient = MetaGradient(run, problem, values)
        return run

    return replace(
        method,
        name=f"meta({method.name})",
        settings=meta_settings(method.settings),  # type: ignore[arg-type]  # a class is hashable
        begin=begin,
        modules=(__name__, *method.modules),
        gradient=None,
        loss=None,
        closed_form=False,
        whole_before_meta=False,
        footprint=lambda settings: meta_footprint(method, settings),
    )


def meta_footprint(method: Method, settings: Any) -> Footprint:
    """METHOD's own; the weights before the simulated fine-tuning and its gradient; the images of D_FT and of each other set."""
    inner = method.footprint(settings)
    sets = 2 if settings.meta_unrelated or settings.meta_unrelated_after else 1
    edited_first = method.closed_form or method.whole_before_meta  # nothing is unlearned by steps beside the objective
    inner_images = inner.images if edited_first else inner.images or settings.batch
    images = max(inner_images, (1 + sets) * settings.meta_inner_batch)
    return replace(inner, copies=max(inner.copies, 2), images=images, moves=settings.meta_inner_trains)


class AfterEdit(FineTuning):
    """A fine-tuning run of a model that a closed form has edited, with nothing more to unlearn. A continued run edits first too."""

    def __init__(self, edit: Run, problem: Problem, values: FineTuningSettings, seed: int) -> None:
        if isinstance(edit, FineTuning):
            edit.keep_exact(edit.model.parameters())  # any of which may train from here on
        edit.advance(edit.steps)
        model, self._facts = edit.trained(), edit.facts
        parameters = parameters_to_train(model, values.trained_parameters, values.lora_rank, seed)
        super().__init__(model, None, values.optimisation(), seed, problem.device, parameters, gradient=_no_gradient)
        self.keep_exact(
            trained_parameters(model, "cross_attention").values()
        )  # which was edited, whether it trains or not

    @property
    def facts(self) -> dict[str, Any]:
        return self._facts


def _no_gradient(run: FineTuning) -> torch.Tensor:
    return torch.zeros((), device=run.parameters[0].device)


@cache
def meta_settings(inner: type[Any]) -> type[Any]:
    """The settings of a method with those of the meta objective, and of a closed form with those of fine-tuning.

    ValueError where one name would mean two things.
    """
    if twice := {name for name, _, _ in _SETTINGS} & {f.name for f in fields(inner)}:
        raise ValueError(f"meta: {inner.__name__} has settings of the same name: {', '.join(sorted(twice))}")

    def check(self: Any) -> None:
        inner.__post_init__(self)
        if self.meta_inner_trains:
            check_trained_parameters(self.meta_inner_trains, setting="meta_inner_trains")
        for name in ("meta_weight", "zeta", "meta_unrelated", "meta_unrelated_after"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and not negative, not {getattr(self, name)}")
        for name in ("meta_inner_steps", "meta_inner_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("meta_inner_learning_rate", "meta_cap"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")

    def check_forgets(self: Any, forgetting: Forget) -> None:
        super(made, self).check_forgets(forgetting)
        if self.meta_inner_trains:
            of_prompts = conditioned_on(forgetting) == PROMPTS
            check_trained_parameters(self.meta_inner_trains, prompts=of_prompts, setting="meta_inner_trains")
        if forgetting.kind == CONDITIONS and not (forgetting.with_role("related") or forgetting.labelled):
            raise ValueError(
                f"meta: no prompt that stays asks for another {forgetting.facet} than {forgetting.text}, so none is near it; "
                "give some the role related"
            )

    bases = (inner,) if issubclass(inner, FineTuningSettings) else (inner, FineTuningSettings)
    namespace = {"__post_init__": check, "check_forgets": check_forgets}
    made: type[Any] = make_dataclass(f"Meta{inner.__name__}", _SETTINGS, bases=bases, frozen=True, namespace=namespace)
    made.__doc__ = f"Settings of {inner.__name__} and of the meta objective around it."
    return made


class MetaGradient:
    """∇L_unlearn + γ · ∇L_meta, left in the parameters' ``.grad``. What the inner gradient keeps, it keeps."""

    def __init__(self, run: FineTuning, problem: Problem, settings: Any) -> None:
        self.inner, self.problem, self.settings = run.gradient, problem.here(), settings
        zeta, kappas = settings.zeta, (settings.meta_unrelated, settings.meta_unrelated_after)
        sets = [(zeta, zeta, related_benign(problem))]
        if any(kappas):
            sets.append((*kappas, unrelated(problem)))
        # (its weight at θ, its weight at θ_FT, images) of every set that is no harm
        self.sets = [(before, after, images.to(problem.device.name)) for before, after, images in sets]
        which = settings.meta_inner_trains
        self.attacked = list(trained_parameters(run.model, which).values()) if which else run.parameters
        run.keep_exact(self.attacked)  # the attacker's steps are taken in float32 too

    def __call__(self, run: FineTuning) -> torch.Tensor:
        loss = self.inner(run)
        gamma = self.settings.meta_weight
        if not gamma:
            return loss
        noised = [self._noised(images, run) for _, _, images in self.sets]
        with run.device.autocast():
            before = _weighted(run.model, [w for w, _, _ in self.sets], noised)
        (gamma * before).backward()

        theta = [p.detach().clone() for p in self.attacked]
        try:
            with trainable(self.attacked):
                for x_f in self._harmful(run):
                    self._attack(run, x_f)
            with run.device.autocast():
                harm = self._harm(run, self._drawn(run)).clamp(max=self.settings.meta_cap)
                after = _weighted(run.model, [w for _, w, _ in self.sets], noised, self.settings.meta_cap)
            (-gamma * (harm + after)).backward()  # taken at θ_FT, added to what was taken at θ
        finally:
            with torch.no_grad():
                for parameter, kept in zip(self.attacked, theta, strict=True):
                    parameter.copy_(kept)
        return loss + gamma * (before - harm - after).detach()

    def _noised(self, images: Images, run: FineTuning) -> tuple[Noised, torch.Tensor]:
        """Images drawn from a set and noised, with their conditions."""
        drawn = images.draw(self.settings.meta_inner_batch, run.generator)
        return add_noise(self.problem.schedule, drawn.images, run.generator), drawn.conditions

    def _drawn(self, run: FineTuning) -> Images:
        return self.problem.forget.draw(self.settings.meta_inner_batch, run.generator)

    def _harmful(self, run: FineTuning) -> Iterator[Images]:
        """The batches of the simulated fine-tuning."""
        if not self.settings.meta_inner_pass:
            yield from (self._drawn(run) for _ in range(self.settings.meta_inner_steps))
            return
        order = torch.randperm(len(self.problem.forget), generator=run.generator)
        yield from (self.problem.forget.batch(chosen) for chosen in order.split(self.settings.meta_inner_batch))

    def _attack(self, run: FineTuning, x_f: Images) -> None:
        """One step of SGD on DSM(D_FT) by all that the attacker trains, masked or not: he knows of no mask."""
        with run.device.autocast():
            harm = self._harm(run, x_f)
        gradients = torch.autograd.grad(harm, self.attacked, allow_unused=True, materialize_grads=True)
        norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))
        step = self.settings.meta_inner_learning_rate * (run.how.grad_clip / norm).clamp(max=1)
        with torch.no_grad():
            for parameter, gradient in zip(self.attacked, gradients, strict=True):
                parameter.sub_(step * gradient)

    def _harm(self, run: FineTuning, x_f: Images) -> torch.Tensor:
        """DSM(D_FT) of the model as it is, on these images."""
        return denoising_loss(run.model, self.problem.schedule, x_f.images, x_f.conditions, run.generator)

    def state(self) -> dict[str, torch.Tensor]:
        return self.inner.state() if isinstance(self.inner, Stateful) else {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        if isinstance(self.inner, Stateful):
            self.inner.restore(state)


def _weighted(
    model: UNet2DModel, weights: list[float], noised: list[tuple[Noised, torch.Tensor]], cap: float = math.inf
) -> torch.Tensor:
    """Σ w · min(DSM, cap) over sets of noised images with their conditions."""
    losses = [n.loss(model, c).clamp(max=cap) for n, c in noised]
    return torch.stack([w * loss for w, loss in zip(weights, losses, strict=True)]).sum()


@contextmanager
def trainable(parameters: Iterable[torch.nn.Parameter]) -> Iterator[None]:
    """Within it all of these have a gradient, whether they train or not."""
    frozen = [p for p in parameters if not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def related_benign(problem: Problem) -> Images:
    """D_ret: images of the retained condition nearest in feature space, of prompts all that ask for the same label.

    Where prompts have roles, those that are related; without conditions, the nearest images.
    """
    if problem.forgetting.kind != CONDITIONS:
        return problem.retain.where(_by_distance(problem)[:_RELATED_IMAGES])
    with_role = _with_role(problem, "related")
    if with_role is not None:
        return with_role
    label_of, nearest = problem.forgetting.label_of, labelled_by_distance("meta: D_ret", problem)[0]
    alike = [c for c in problem.forgetting.retained if label_of(c) == label_of(nearest)]
    return problem.retain.where(torch.isin(problem.retain.conditions, torch.tensor(alike)))


def unrelated(problem: Problem) -> Images:
    """D_irt: images of the half of the retained conditions that lies farthest; roles and images as for D_ret."""
    if problem.forgetting.kind != CONDITIONS:
        return problem.retain.where(_by_distance(problem)[-max(len(problem.retain) // 2, 1) :])
    with_role = _with_role(problem, "unrelated")
    if with_role is not None:
        return with_role
    far = farther_half(problem.forgetting, problem.conditions_by_distance)
    return problem.retain.where(torch.isin(problem.retain.conditions, torch.tensor(far)))


def _with_role(problem: Problem, role: str) -> Images | None:
    """Retained images of the prompts of a role; None where nobody gave it. ValueError where there are no images of them."""
    prompts = problem.forgetting.with_role(role)
    if not prompts:
        return None
    images = problem.retain.where(torch.isin(problem.retain.conditions, torch.tensor(prompts)))
    if not len(images):
        raise ValueError(
            f"meta: the prompts of role {role} have no training images; give some of them, or no such role"
        )
    return images


def _by_distance(problem: Problem) -> torch.Tensor:
    """Which retained images are nearest to a forgotten one in feature space, nearest first."""
    retain, forget = (features_of_set(problem.features, images) for images in (problem.retain, problem.forget))
    return torch.from_numpy(np.argsort(nearest_squared_distance(retain, forget), kind="stable").copy())
