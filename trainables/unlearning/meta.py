"""Meta-Unlearning (Gao et al. 2024, arXiv 2410.12777): ``meta(METHOD)``, around any method that is a step to fine-tune by.

    L(θ) = L_unlearn(θ) + γ · L_meta(θ)
    L_meta(θ) = -min(DSM(θ_FT; D_FT), cap) - ζ · [DSM(θ_FT; D_ret) - DSM(θ; D_ret)]
    θ_FT = θ after M steps of SGD on DSM(D_FT)

θ is trained so that it unlearns, and so that whoever fine-tunes it on what was forgotten (D_FT: the forget set with its own
conditions, simulated from every θ) neither learns that nor keeps what is close to it: D_ret, the nearest retained
condition, is meant to go to ruin along. γ = `meta_weight` is the paper's γ₂ / γ₁, for only ratios matter to Adam. Both
D_ret terms are taken on the same noised images.

First order, as in public code: the gradients of both terms of θ_FT are taken at θ_FT and applied to θ. Here differs: -DSM
is unbounded below, so the forgotten images' loss counts up to `meta_cap` (public code has no cap); θ_FT is reached by SGD,
clipped like the run itself (public code: AdamW, at the outer learning rate, begun anew every time); D_FT of the inner
steps and of the outer term are other draws of one set (there two sets of images); a third, unrelated retained set is left
to METHOD's own retain term; weights are of means (there gradients add up over all batches of a set); every timestep is
used (there ``fix_timesteps`` holds all of a batch at one; the paper compares 1, 2, 5, 10 and off).

On digits, around DiMUM, fine-tuning on held-out images of the forgotten digit (Adam, 1e-4, 63 steps, three seeds) brings
it back in 52 to 58 % of samples with the meta objective and in 84 to 89 % without, for about 1 FID; at 1e-3 both come back.
With a vanishing `meta_inner_learning_rate` it is 42 % (one seed, 4 FID more): the ascent resists there, not the look ahead,
and with θ_FT far from θ (3 steps at 1.0) 85 %.
"""

from __future__ import annotations

from dataclasses import fields, make_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DModel

from trainables.data import Images
from trainables.diffusion import add_noise, denoising_loss
from trainables.features import features_of_set
from trainables.features._distances import nearest_squared_distance
from trainables.fine_tuning import FineTuning, Gradient, Run, Stateful
from trainables.forgetting import CONDITIONS
from trainables.unlearning import Method, Problem, register_wrapper
from trainables.unlearning._replacement import conditions_by_distance

# Of an unconditional model's retained images, how many of the nearest to the forgotten ones are D_ret.
_RELATED_IMAGES = 64

_SETTINGS: tuple[tuple[str, type, Any], ...] = (
    ("meta_weight", float, 0.03),  # γ; 0 is the method itself
    ("zeta", float, 0.1),  # ζ
    ("meta_inner_steps", int, 1),  # M
    ("meta_inner_learning_rate", float, 0.1),  # of the simulated fine-tuning
    ("meta_cap", float, 1.0),  # of DSM(θ_FT; D_FT); predicting no noise at all costs 1
    ("meta_inner_batch", int, 16),  # images of D_FT in each inner step, and of each set in L_meta
)


@register_wrapper("meta")
def meta(method: Method) -> Method:
    """`method` with the meta objective; ValueError for a method whose step is not a gradient, such as meta(…) itself."""
    if method.gradient is None:
        raise ValueError(
            f"meta({method.name}): {method.name} is more than a step to fine-tune by; give a method that is one"
        )

    def begin(model: UNet2DModel, problem: Problem, values: Any, seed: int) -> Run:
        run = method.begin(model, problem, values, seed)
        assert isinstance(run, FineTuning), f"{method.name} has a gradient, so its run is a fine-tuning run"
        run.gradient = MetaGradient(run.gradient, problem, values)
        return run

    return replace(
        method,
        name=f"meta({method.name})",
        settings=meta_settings(method.settings),  # type: ignore[arg-type]  # a class is hashable
        begin=begin,
        modules=(__name__, *method.modules),
        gradient=None,
        loss=None,
    )


@cache
def meta_settings(inner: type[Any]) -> type[Any]:
    """The settings of a method with those of the meta objective; ValueError where one name would mean two things."""
    if twice := {name for name, _, _ in _SETTINGS} & {f.name for f in fields(inner)}:
        raise ValueError(f"meta: {inner.__name__} has settings of the same name: {', '.join(sorted(twice))}")

    def check(self: Any) -> None:
        inner.__post_init__(self)
        for name in ("meta_weight", "zeta"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and not negative, not {getattr(self, name)}")
        for name in ("meta_inner_steps", "meta_inner_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("meta_inner_learning_rate", "meta_cap"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")

    made = make_dataclass(
        f"Meta{inner.__name__}", _SETTINGS, bases=(inner,), frozen=True, namespace={"__post_init__": check}
    )
    made.__doc__ = f"Settings of {inner.__name__} and of the meta objective around it."
    return made


class MetaGradient:
    """∇L_unlearn + γ · ∇L_meta, left in the parameters' ``.grad``. What the inner gradient keeps, it keeps."""

    def __init__(self, inner: Gradient, problem: Problem, settings: Any) -> None:
        self.inner, self.problem, self.settings = inner, problem.here(), settings
        self.related = related_benign(problem).to(problem.device.name)

    def __call__(self, run: FineTuning) -> torch.Tensor:
        loss = self.inner(run)
        gamma, zeta, schedule = self.settings.meta_weight, self.settings.zeta, self.problem.schedule
        if not gamma:
            return loss
        x_ret = self.related.draw(self.settings.meta_inner_batch, run.generator)
        noised = add_noise(schedule, x_ret.images, run.generator)
        with run.device.autocast():
            before = zeta * noised.loss(run.model, x_ret.conditions)
        (gamma * before).backward()

        theta = [p.detach().clone() for p in run.parameters]
        try:
            for _ in range(self.settings.meta_inner_steps):
                self._attack(run)
            with run.device.autocast():
                harm = self._harm(run).clamp(max=self.settings.meta_cap)
                after = zeta * noised.loss(run.model, x_ret.conditions)
            (-gamma * (harm + after)).backward()  # taken at θ_FT, added to what was taken at θ
        finally:
            with torch.no_grad():
                for parameter, kept in zip(run.parameters, theta, strict=True):
                    parameter.copy_(kept)
        return loss + gamma * (before - harm - after).detach()

    def _attack(self, run: FineTuning) -> None:
        """One step of SGD on DSM(D_FT) by all that trains, masked or not: an attacker knows of no mask."""
        with run.device.autocast():
            harm = self._harm(run)
        gradients = torch.autograd.grad(harm, run.parameters, allow_unused=True, materialize_grads=True)
        norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))
        step = self.settings.meta_inner_learning_rate * (run.how.grad_clip / norm).clamp(max=1)
        with torch.no_grad():
            for parameter, gradient in zip(run.parameters, gradients, strict=True):
                parameter.sub_(step * gradient)

    def _harm(self, run: FineTuning) -> torch.Tensor:
        """DSM(D_FT) of the model as it is, on images drawn anew."""
        x_f = self.problem.forget.draw(self.settings.meta_inner_batch, run.generator)
        return denoising_loss(run.model, self.problem.schedule, x_f.images, x_f.conditions, run.generator)

    def state(self) -> dict[str, torch.Tensor]:
        return self.inner.state() if isinstance(self.inner, Stateful) else {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        if isinstance(self.inner, Stateful):
            self.inner.restore(state)


def related_benign(problem: Problem) -> Images:
    """D_ret: images of the retained condition nearest in feature space; without conditions, the nearest images."""
    if problem.forgetting.kind == CONDITIONS:
        return problem.retain.of(conditions_by_distance(problem)[0])
    retain, forget = (features_of_set(problem.features, images) for images in (problem.retain, problem.forget))
    nearest = np.argsort(nearest_squared_distance(retain, forget), kind="stable")[:_RELATED_IMAGES]
    return problem.retain.where(torch.from_numpy(nearest.copy()))
