"""Perceptrons whose gradients by their inputs are written out as layers of their own, and whose every use of a weight can be noted.

A net of linear layers and leaky rectifiers is linear on each side of its kinks, so its gradient by x is a product of the transposed
weights with the slopes between them, in which the slopes do not move. Written out, a gradient penalty is one more pass of plain
layers: no second derivative is taken of anything. And as every use of a weight W, forwards y = W a or backwards g = Wᵀ b, adds an
outer product of two vectors to a row's gradient of W, the two vectors tell its norm without the matrix
(Goodfellow 2015, arXiv 1510.01799; with clipping Lee and Kifer 2021, arXiv 2009.03106).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

SLOPE = 0.2  # of every leaky rectifier
Pull = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Use:
    """One use of a layer: what it `took` (n, ·), zeros (n, ·) that were added to what it `gave`; `forward`, or transposed."""

    took: torch.Tensor
    gave: torch.Tensor
    forward: bool


class Linear(nn.Linear):
    """A linear layer that notes its uses while `uses` is a list."""

    uses: list[Use] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._noted(x, super().forward(x), forward=True)

    def pullback(self, x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
        """What it gives of x (n, in), a constant, and what makes a gradient by x of one by that."""
        return F.linear(x, self.weight, self.bias).detach(), self._transposed

    def _transposed(self, gradient: torch.Tensor) -> torch.Tensor:
        return self._noted(gradient, gradient @ self.weight, forward=False)

    def _noted(self, took: torch.Tensor, gave: torch.Tensor, forward: bool) -> torch.Tensor:
        if self.uses is None:
            return gave
        zeros = torch.zeros_like(gave, requires_grad=True)
        self.uses.append(Use(took.detach(), zeros, forward))
        return gave + zeros


class Perceptron(nn.Sequential):
    """Linear layers and leaky rectifiers, one after the other."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int, bias: bool) -> None:
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [Linear(inputs, width, bias=bias), nn.LeakyReLU(SLOPE)]
            inputs = width
        super().__init__(*layers, *([Linear(inputs, outputs, bias=bias)] if outputs else []))

    def pullback(self, x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
        """What it gives of x (n, in), a constant, and what makes a gradient by x of one by that.

        That is differentiable by the weights, and not by x, on which it depends by the slopes alone.
        """
        steps: list[Pull] = []
        value = x.detach()
        for layer in self:
            if isinstance(layer, Linear):
                value, pull = layer.pullback(value)
            else:
                pull = torch.where(value > 0, 1.0, SLOPE).to(value.dtype).mul
                value = F.leaky_relu(value, SLOPE)
            steps.append(pull)

        def through(gradient: torch.Tensor) -> torch.Tensor:
            for step in reversed(steps):
                gradient = step(gradient)
            return gradient

        return value, through


@contextmanager
def noted(module: nn.Module) -> Iterator[dict[str, list[Use]]]:
    """Within, each linear layer of the module notes its uses, by its name. ValueError where a parameter is of another layer."""
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, Linear)}
    for name, _ in module.named_parameters():
        if name.rpartition(".")[0] not in layers:
            raise ValueError(
                f"parameter {name} is of no linear layer that notes its uses, so no row's gradient is known of it"
            )
    uses: dict[str, list[Use]] = {name: [] for name in layers}
    for name, layer in layers.items():
        layer.uses = uses[name]
    try:
        yield uses
    finally:
        for layer in layers.values():
            layer.uses = None
