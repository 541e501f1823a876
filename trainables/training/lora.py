"""LoRA: low-rank adaptation (Hu et al. 2021, arXiv 2106.09685).

    W = W₀ + (α / r) · B A,  B = 0 and A ~ N(0, 1/n) at the start

W₀ (m, n) is a linear layer's weight, or a convolution's read as (m, channels · kernel); it stays as it is, and only
A (r, n) and B (m, r) train. Here α = r, so that the learning rate means the same at every rank, and r is never more than a
weight's own smaller side. The factors are a parametrisation of the model, which goes on being called and sampled as
before, until `merge` makes plain weights of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn.utils import parametrize

_FACTORS = ".parametrizations.weight.0"  # what PyTorch calls a weight's first parametrisation
_ORIGINAL = ".parametrizations.weight.original"


class LowRank(torch.nn.Module):
    """W₀ ↦ W₀ + B A, for a weight (m, …) of two or more dimensions."""

    def __init__(self, weight: torch.Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        r = min(rank, rows, columns)
        self.a = torch.nn.Parameter((torch.randn(r, columns, generator=generator) / columns**0.5).to(weight))
        self.b = torch.nn.Parameter(weight.detach().new_zeros(rows, r))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.b @ self.a).view(weight.shape)


def add_factors(model: torch.nn.Module, rank: int, seed: int) -> None:
    """Give every linear and convolution weight its factors, A drawn from `seed`. The model's outputs are as before."""
    generator = torch.Generator().manual_seed(seed + 1)  # the run's own stream begins at its seed
    for module in list(model.modules()):
        if isinstance(module, torch.nn.Linear | torch.nn.modules.conv._ConvNd):
            factors = LowRank(module.weight, rank, generator)
            parametrize.register_parametrization(module, "weight", factors, unsafe=True)  # unchecked: shapes are kept


def merge(model: torch.nn.Module) -> None:
    """Make plain weights of factored ones; a model without factors stays as it is.

    PyTorch shares a factored layer's class with its deep copies, so a copy made before this has lost its weights after it.
    """
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def is_factor(name: str) -> bool:
    """Whether a parameter of this name is an A or a B."""
    return f"{_FACTORS}." in name


def plain_parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters but for factors, by the names they have in the plain model; the gradient of W₀ is that of W."""
    return {n.replace(_ORIGINAL, ".weight"): p for n, p in model.named_parameters() if not is_factor(n)}


def effective_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every weight as the model uses it, factors multiplied out, by its name in the plain model; the others as views."""
    weights = {name: p.detach() for name, p in plain_parameters(model).items()}
    with torch.no_grad():
        for name, factors in _factored(model):
            weights[name] = factors(weights[name])
    return weights


def displacement(model: torch.nn.Module, moves: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """How the effective weights change, to first order, where parameters move so: ΔW = ΔW₀ + ΔB A + B ΔA.

    `moves` maps names of the model's own parameters to their changes; what it lacks stands still.
    """
    parameters = {n.replace(_ORIGINAL, ".weight"): n for n, _ in model.named_parameters() if not is_factor(n)}
    plain = plain_parameters(model)
    changes = {name: moves.get(parameters[name], torch.zeros_like(p)).detach().clone() for name, p in plain.items()}
    with torch.no_grad():
        for name, factors in _factored(model):
            prefix = name.removesuffix(".weight") + _FACTORS
            for left, right in (
                (moves.get(f"{prefix}.b"), factors.a),
                (factors.b, moves.get(f"{prefix}.a")),
            ):
                if left is not None and right is not None:
                    changes[name] += (left @ right).view(changes[name].shape)
    return changes


def _factored(model: torch.nn.Module) -> list[tuple[str, LowRank]]:
    """(name of the weight in the plain model, its factors)."""
    named = model.named_modules()
    return [(name.removesuffix(_FACTORS) + ".weight", m) for name, m in named if isinstance(m, LowRank)]
