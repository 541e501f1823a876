"""In which precision weights are held: what trains in float32, what is frozen in bf16 where that is computed in.

Autocast computes convolutions and linear layers in bf16, whatever their weights are held in: of frozen ones the rounded numbers
alone are needed, and predictions are the same to the bit. Trained weights are never held in less than float32: an update below
half a unit in the last place, of bf16 2⁻⁹ of a weight, would vanish (mixed precision's master weights, Micikevicius et al. 2018,
arXiv 1710.03740). Norms, embeddings and the model's first weight stay too: autocast leaves norms' inputs as they are, and
diffusers reads a model's precision from its first parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import nn

_IN_HALF = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def check_trained(parameters: Iterable[nn.Parameter]) -> None:
    """ValueError where a parameter that is to train is held in less than float32."""
    lowered = [parameter.dtype for parameter in parameters if is_lower(parameter)]
    if lowered:
        raise ValueError(f"{len(lowered)} trained parameters are in {lowered[0]}: small updates of them would vanish")


def lower(model: nn.Module, exact: Iterable[nn.Parameter] = ()) -> nn.Module:
    """The model with its weights in bf16 where autocast would cast them, but for those in `exact`."""
    stay = {id(parameter) for parameter in exact}
    stay.update(id(parameter) for parameter in [next(model.parameters())])
    for parameter in _computed_in_half(model):
        if id(parameter) not in stay and parameter.dtype == torch.float32:
            parameter.data = parameter.data.to(torch.bfloat16)
    return model


def cast_bytes(model: nn.Module) -> int:
    """Bytes of the copies in bf16 that autocast keeps of trained weights while there is a graph that needs them."""
    return sum(2 * p.numel() for p in _computed_in_half(model) if p.requires_grad and not is_lower(p))


def is_lower(tensor: torch.Tensor) -> bool:
    """Whether a tensor of floating-point numbers is in less than float32."""
    return tensor.is_floating_point() and tensor.itemsize < torch.float32.itemsize


def rounds_to(exact: torch.Tensor, held: torch.Tensor) -> bool:
    """Whether `held` is `exact` in the lower precision that it is held in: what was frozen has not moved."""
    return exact.shape == held.shape and is_lower(held) and torch.equal(exact.to(held), held)


@torch.no_grad()
def raise_to(model: nn.Module, exact: Mapping[str, torch.Tensor]) -> None:
    """Give lowered parameters their numbers back by name, one at a time. ValueError where one is not what it was lowered from."""
    for name, parameter in model.named_parameters():
        if is_lower(parameter):
            if not rounds_to(exact[name], parameter.detach()):
                raise ValueError(f"{name}: a frozen weight in {parameter.dtype} is not that of the model begun on")
            parameter.data = exact[name].to(parameter.device, copy=True)


def _computed_in_half(model: nn.Module) -> Iterator[nn.Parameter]:
    for module in model.modules():
        if isinstance(module, _IN_HALF):
            yield from module.parameters(recurse=False)
