"""LoRA: low-rank adaptation (Hu et al. 2021, arXiv 2106.09685).

    W = W₀ + (α / r) · B A,  B = 0 and A ~ N(0, 1/n) at the start

W₀ (m, n) is a linear layer's weight, or a convolution's read as (m, channels · kernel); it stays as it is, and only
A (r, n) and B (m, r) train. Here α = r, so that the learning rate means the same at every rank, and r is never more than a
weight's own smaller side. A layer computes W₀ x + B (A x): W itself, as large as W₀, is made by nobody who trains or samples.
The model goes on being called and sampled as before, until `merge` makes plain weights of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from trainables.training.precision import is_lower

_FACTORS = "low_rank"  # the name of a layer's factors in it
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


class LowRank(nn.Module):
    """The factors of a layer whose weight has two or more dimensions, (m, …): what they add to what it computes."""

    def __init__(self, layer: _Layer, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        weight = layer.weight
        rows, columns = weight.shape[0], weight[0].numel()
        r = min(rank, rows, columns)
        self.a = nn.Parameter((torch.randn(r, columns, generator=generator) / columns**0.5).to(weight))
        self.b = nn.Parameter(weight.detach().new_zeros(rows, r))
        self.hook = layer.register_forward_hook(_add_factors_output)

    def forward(self, layer: _Layer, x: torch.Tensor) -> torch.Tensor:
        """B (A x), for the inputs of the layer."""
        if isinstance(layer, nn.Linear):
            return F.linear(F.linear(x, self.a), self.b)
        if layer.groups > 1:  # each group has its own columns of A: B A is no smaller than W₀ is there
            return layer._conv_forward(x, self.product(layer.weight.shape), None)
        lower = layer._conv_forward(x, self.a.view(len(self.a), *layer.weight.shape[1:]), None)
        pointwise = (F.conv1d, F.conv2d, F.conv3d)[layer.weight.ndim - 3]
        return pointwise(lower, self.b.view(*self.b.shape, *[1] * (layer.weight.ndim - 2)))

    def product(self, shape: torch.Size) -> torch.Tensor:
        """B A in the shape of the weight."""
        return (self.b @ self.a).view(shape)


def _add_factors_output(layer: _Layer, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
    return output + getattr(layer, _FACTORS)(layer, inputs[0])


def add_factors(model: nn.Module, rank: int, seed: int, where: Callable[[str], bool] = lambda name: True) -> None:
    """Give linear and convolution layers their factors, A drawn from `seed`. The model's outputs are as before.

    All of them, or those whose name `where` is true of.
    """
    generator = torch.Generator().manual_seed(seed + 1)  # the run's own stream begins at its seed
    for name, module in list(model.named_modules()):
        if isinstance(module, _LAYERS) and where(name):
            module.add_module(_FACTORS, LowRank(module, rank, generator))


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Make plain weights of factored ones; a model without factors stays as it is.

    ValueError where a weight is in less precision than its factors: what they add would be rounded away.
    """
    for layer, factors in list(_factored(model).values()):
        if layer.weight.itemsize < factors.a.itemsize:
            raise ValueError(
                f"low-rank factors in {factors.a.dtype} cannot be added to a weight in {layer.weight.dtype}"
            )
        layer.weight += factors.product(layer.weight.shape)
        factors.hook.remove()
        delattr(layer, _FACTORS)


@torch.no_grad()
def factor_products(model: nn.Module) -> dict[str, torch.Tensor]:
    """What a model's factors add to each weight, B A, by the weight's name."""
    return {name: factors.product(layer.weight.shape) for name, (layer, factors) in _factored(model).items()}


def drop_factors(model: nn.Module) -> None:
    """Take a model's factors out again, and leave its weights as they are."""
    for layer, factors in list(_factored(model).values()):
        factors.hook.remove()
        delattr(layer, _FACTORS)


def is_factor(name: str) -> bool:
    """Whether a parameter of this name is an A or a B."""
    return f".{_FACTORS}." in name


class ByName(Mapping[str, torch.Tensor]):
    """A tensor for each of these names, made when it is asked for: all of them are never in memory together."""

    def __init__(self, names: Iterable[str], make: Callable[[str], torch.Tensor]) -> None:
        self.names, self.make = dict.fromkeys(names), make

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    @torch.no_grad()
    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self.names:
            raise KeyError(name)
        return self.make(name)


def plain_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters but for factors, by name; the gradient of W₀ is that of W."""
    return {name: p for name, p in model.named_parameters() if not is_factor(name)}


def effective_weights(model: nn.Module, exact: Mapping[str, torch.Tensor] | None = None) -> Mapping[str, torch.Tensor]:
    """Every weight as the model uses it, factors multiplied out, by its name in the plain model; the others as views.

    Of frozen weights that are held in less precision, `exact` has the numbers that they are rounded from.
    """
    plain, factored = plain_parameters(model), _factored(model)

    def weight(name: str) -> torch.Tensor:
        value = plain[name].detach()
        if exact is not None and is_lower(value):
            value = exact[name].to(value.device)
        return value + factored[name][1].product(value.shape) if name in factored else value

    return ByName(plain, weight)


def displacement(model: nn.Module, moves: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """How the effective weights change, to first order, where parameters move so: ΔW = ΔW₀ + ΔB A + B ΔA.

    `moves` maps names of the model's own parameters to their changes; what it lacks stands still.
    """
    plain, factored = plain_parameters(model), _factored(model)

    def change(name: str) -> torch.Tensor:
        total = moves[name].detach() if name in moves else _still(plain[name])
        if name not in factored:
            return total
        factors, prefix = factored[name][1], name.removesuffix("weight") + _FACTORS
        for left, right in ((moves.get(f"{prefix}.b"), factors.a), (factors.b, moves.get(f"{prefix}.a"))):
            if left is not None and right is not None:
                total = total + (left @ right).view(total.shape)
        return total

    return ByName(plain, change)


def _still(parameter: nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter, dtype=torch.promote_types(parameter.dtype, torch.float32))


def _factored(model: nn.Module) -> dict[str, tuple[_Layer, LowRank]]:
    """By the name of the weight, the layer that has factors, and those."""
    named = model.named_modules()
    return {
        f"{n}.weight": (m, getattr(m, _FACTORS)) for n, m in named if isinstance(m, _LAYERS) and hasattr(m, _FACTORS)
    }
