"""DP-SGD on every critic (Abadi et al. 2016, arXiv 1607.00133): each row's gradient clipped, noise on every parameter.

Of each group γ of parameters, a party's local critic with its head or the server's, on a Poisson batch 𝓑 of B rows on average:

    g_i,γ = ∇_γ L_i,   ĝ_γ = ( Σ_{i ∈ 𝓑} g_i,γ · min(1, C / ‖g_i,γ‖) + σ C N(0, I) ) / B

L_i is all of the loss that row i has a part in, the gradient penalty included. Groups are clipped by themselves, so that no party
tells another a row's norm. All that critics are is then private, and generators and what they make are post-processing.
ε holds against whoever does not know the seeds that batches and noise come from; it is accounted for real numbers, as everywhere,
not for how floats round (Mironov 2012).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.func import functional_call, grad, vmap

from trainables.federated.accounting import Releases, epsilon, noise_for
from trainables.federated.critics import Critics
from trainables.federated.mechanisms import Batch, Gradients, Plan, Privacy, register

MOST_NUMBERS = 2**25  # of rows' gradients that are in memory at a time: 128 MiB


@dataclass(frozen=True)
class RecordSettings:
    clip_norm: float = 1.0  # C, of a row's gradient in one group
    noise_multiplier: float = 1.0  # σ of a group

    def __post_init__(self) -> None:
        if self.clip_norm <= 0 or self.noise_multiplier < 0:
            raise ValueError(
                f"clip_norm > 0 and noise_multiplier ≥ 0 are needed, not {self.clip_norm:g} and {self.noise_multiplier:g}"
            )


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
def record(critics: Critics, batch: Batch, settings: RecordSettings, generator: torch.Generator) -> Gradients:
    summed = clipped_sum(critics, batch, settings.clip_norm)
    deviation = settings.noise_multiplier * settings.clip_norm
    return {
        name: (total + deviation * torch.randn(total.shape, generator=generator, dtype=total.dtype).to(total.device))
        / batch.expected
        for name, total in summed.items()
    }


def clipped_sum(critics: Critics, batch: Batch, clip_norm: float) -> Gradients:
    """Σ_i g_i,γ min(1, C / ‖g_i,γ‖) over the batch's rows, without noise."""
    size = max(1, MOST_NUMBERS // sum(p.numel() for p in critics.parameters()))
    summed = {name: torch.zeros_like(p) for name, p in critics.named_parameters()}
    for start in range(0, len(batch.weight), size):
        rows = slice(start, start + size)
        by_row = record_gradients(
            critics, [x[rows] for x in batch.real], [x[rows] for x in batch.made], batch.alpha[rows]
        )
        for names in critics.groups.values():
            norms = torch.stack([by_row[name].flatten(1).norm(dim=1) for name in names]).norm(dim=0)
            kept = batch.weight[rows] * (clip_norm / norms).clamp(max=1)
            for name in names:
                summed[name] += torch.tensordot(kept.to(by_row[name].dtype), by_row[name], dims=1)
    return summed


def record_gradients(
    critics: Critics, real: list[torch.Tensor], made: list[torch.Tensor], alpha: torch.Tensor
) -> Gradients:
    """(S, *shape) by parameter's name: the gradient of each row's own loss."""
    parameters = {name: p.detach() for name, p in critics.named_parameters()}

    def loss(
        parameters: Gradients, real: list[torch.Tensor], made: list[torch.Tensor], alpha: torch.Tensor
    ) -> torch.Tensor:
        row = [x.unsqueeze(0) for x in real], [x.unsqueeze(0) for x in made], alpha.unsqueeze(0)
        return functional_call(critics, parameters, row).squeeze(0)

    gradients: Gradients = vmap(grad(loss), in_dims=(None, 0, 0, 0))(parameters, real, made, alpha)
    return gradients
