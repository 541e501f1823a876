"""DP-SGD on every critic (Abadi et al. 2016, arXiv 1607.00133): each row's gradient clipped, noise on every parameter.

Of each group γ of parameters, a party's local critic with its head or the server's, on a Poisson batch 𝓑 of B rows on average:

    g_i,γ = ∇_γ L_i,   ĝ_γ = ( Σ_{i ∈ 𝓑} g_i,γ · min(1, C / ‖g_i,γ‖) + σ C N(0, I) ) / B

L_i is all of the loss that row i has a part in, the gradient penalty included. Groups are clipped by themselves, so that no party
tells another a row's norm. All that critics are is then private, and generators and what they make are post-processing.
ε holds against whoever does not know the seeds that batches and noise come from; it is accounted for real numbers, as everywhere,
not for how floats round (Mironov 2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from trainables.federated.accounting import Releases, epsilon, noise_for
from trainables.federated.critics import Critics
from trainables.federated.mechanisms import Batch, Gradients, Plan, Privacy, register
from trainables.federated.perceptrons import noted
from trainables.federated.streams import normal_like


@dataclass(frozen=True)
class RecordSettings:
    clip_norm: float = 1.0  # C, of a row's gradient in one group
    noise_multiplier: float = 1.0  # σ of a group

    def __post_init__(self) -> None:
        if not (0 < self.clip_norm < math.inf and 0 <= self.noise_multiplier < math.inf):
            given = f"{self.clip_norm:g} and {self.noise_multiplier:g}"
            raise ValueError(f"clip_norm > 0 and noise_multiplier ≥ 0, both finite, are needed, not {given}")


def _privacy(settings: RecordSettings, plan: Plan) -> Privacy:
    noise, releases = settings.noise_multiplier, Releases(plan.sampling_rate, plan.steps, plan.groups)
    spent = epsilon(noise, releases, plan.delta)
    return Privacy(
        spent.epsilon, None, plan.delta, noise, plan.sampling_rate, plan.steps, plan.groups, spent.accountant
    )


def _calibrated(wanted: float, plan: Plan) -> float:
    return noise_for(wanted, Releases(plan.sampling_rate, plan.steps, plan.groups), plan.delta)


@register(
    "record",
    RecordSettings,
    privacy=_privacy,
    calibrated=_calibrated,
    released=lambda critics: [name for name, _ in critics.named_parameters()],
    poisson=True,
    certified=True,
)
def record(critics: Critics, batch: Batch, settings: RecordSettings, generator: np.random.Generator) -> Gradients:
    summed = clipped_sum(critics, batch, settings.clip_norm)
    deviation = settings.noise_multiplier * settings.clip_norm
    return {
        name: (total + deviation * normal_like(total, generator)) / batch.expected for name, total in summed.items()
    }


def clipped_sum(critics: Critics, batch: Batch, clip_norm: float) -> Gradients:
    """Σ_i g_i,γ min(1, C / ‖g_i,γ‖) over the batch's rows, without noise.

    A row's gradient of a weight is a sum of outer products, one a use of the layer: of it no more is made than its norm.
    A row whose norm in a group is infinite, NaN or too large for floats to shorten it to C adds exactly 0 to that group. How many
    there are is private, and told nowhere.
    """
    outer = outer_products(critics, batch)
    dtype, summed = batch.alpha.dtype, {}
    for names in critics.groups.values():
        kept = batch.weight * (clip_norm / _norms([outer[name] for name in names])).clamp(max=1)
        left_out = ~(kept >= torch.finfo(dtype).tiny)  # of NaN too
        kept = kept.to(dtype)
        for name in names:
            left, right = outer[name]
            scaled = (left * kept[None, :, None]).masked_fill(left_out[None, :, None], 0)
            right = right.masked_fill(left_out[None, :, None], 0)  # 0 · ∞ is NaN
            total = scaled.flatten(0, 1).T @ right.flatten(0, 1)
            summed[name] = total.reshape(critics.get_parameter(name).shape)
    return summed


Outer = tuple[torch.Tensor, torch.Tensor]


def outer_products(critics: Critics, batch: Batch) -> dict[str, Outer]:
    """By parameter, (u, S, out) and (u, S, in): row i's gradient of it is Σ_u left[u, i] right[u, i]ᵀ, over u uses of its layer."""
    with noted(critics) as uses:
        losses = critics(batch.real, batch.made, batch.alpha)
    every = [use for of_layer in uses.values() for use in of_layer]
    gradients = iter(torch.autograd.grad(losses.sum(), [use.gave for use in every]))
    rows, outer = len(losses), {}
    for name, of_layer in uses.items():
        left, right, ones = [], [], []
        for use in of_layer:
            took, gave = (
                x.unflatten(0, (-1, rows)) for x in (use.took, next(gradients))
            )  # real rows and made ones are one use
            left.append(gave if use.forward else took)
            right.append(took if use.forward else gave)
            ones.append(torch.full_like(took[..., :1], float(use.forward)))  # a bias has no part in a gradient by x
        outer[f"{name}.weight"] = torch.cat(left), torch.cat(right)
        if critics.get_submodule(name).bias is not None:
            outer[f"{name}.bias"] = torch.cat(left), torch.cat(ones)
    return outer


def _norms(outer: list[Outer]) -> torch.Tensor:
    """(S,) float64, of each row: of several weights' gradients g = Σ_u left[u, i] right[u, i]ᵀ together, the norm.

    ‖g‖² = Σ_uv ⟨left_u, left_v⟩ ⟨right_u, right_v⟩ of each.

    In float64: uses nearly cancel, as a real row and a made one do, and a norm that came out too small would clip too little.
    Where they cancel to less than what the gradient's own floats tell from 0, that counts as the norm.
    """
    squares = uncertain = torch.zeros(())
    for left, right in outer:
        of_left, of_right = (torch.einsum("uin,vin->iuv", x, x) for x in (left.double(), right.double()))
        products = of_left * of_right
        squares = squares + products.sum(dim=(1, 2))
        uncertain = uncertain + products.diagonal(dim1=1, dim2=2).sqrt().sum(dim=1)
    least = 8 * torch.finfo(outer[0][0].dtype).eps * uncertain
    return torch.maximum(squares.clamp(min=0).sqrt(), least)
