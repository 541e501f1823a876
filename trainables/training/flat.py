"""Parameters as parts of one vector, so that an optimiser, an average and a norm take one operation each and not one a tensor.

A small U-Net has a hundred tensors of a few hundred numbers: going through them one by one took Adam, clipping and the
average a third of a training step on a CPU. The arithmetic is the same, number by number; only a norm adds in another order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Flat:
    """Parameters laid out in one vector θ (P,), of which each becomes a view: its name, shape and memory format stay.

    `vector` is what an optimiser moves, its ``.grad`` the gradient (P,). ValueError where there is no parameter, or they are
    of several precisions or devices.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        kinds = {(p.dtype, p.device) for p in parameters}
        if len(kinds) != 1:
            raise ValueError(f"one vector needs parameters of one precision on one device, not of {len(kinds)}")
        self.parameters = list(parameters)
        # Dense, whatever its format: a weight in channels_last is as many numbers, in another order.
        self._layout = [(p.shape, _dense_strides(p)) for p in self.parameters]
        first = self.parameters[0]
        self.vector = torch.nn.Parameter(first.new_empty(sum(p.numel() for p in self.parameters)))
        with torch.no_grad():
            for parameter, part in zip(self.parameters, self.parts(self.vector), strict=True):
                part.copy_(parameter)
                parameter.data = part.detach()
        self._gradients: list[torch.Tensor] = []  # views of the vector's

    def parts(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Views of a vector (P,), one a parameter, in its shape and memory format."""
        views, start = [], 0
        with torch.no_grad():
            for shape, strides in self._layout:
                views.append(vector.as_strided(shape, strides, start))
                start += shape.numel()
        return views

    def of(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """One tensor a parameter, in its shape, as a vector (P,) of the parameters' precision."""
        vector = torch.empty_like(self.vector, requires_grad=False)
        for part, tensor in zip(self.parts(vector), tensors, strict=True):
            part.copy_(tensor)
        return vector

    @property
    def gradient(self) -> torch.Tensor:
        """(P,), 0 where there was none."""
        self._allocate_gradient()
        assert self.vector.grad is not None
        return self.vector.grad

    def _allocate_gradient(self) -> None:
        """Have a gradient and its views, unless they are there."""
        if self.vector.grad is None:
            self.vector.grad = torch.zeros_like(self.vector)
            self._gradients = self.parts(self.vector.grad)

    def clear_gradient(self) -> None:
        """Make the gradient 0; a backward pass then adds to it in place."""
        self.gradient.zero_()
        for parameter, part in zip(self.parameters, self._gradients, strict=True):
            parameter.grad = part

    def free_gradient(self) -> None:
        """Give the gradient's memory back until the next step."""
        self.vector.grad, self._gradients = None, []
        for parameter in self.parameters:
            parameter.grad = None

    def gather_gradient(self) -> None:
        """Take into the vector what was put into the parameters' ``.grad`` as tensors of their own; 0 where there is none."""
        self._allocate_gradient()
        for parameter, part in zip(self.parameters, self._gradients, strict=True):
            if parameter.grad is None:
                part.zero_()
            elif parameter.grad is not part:
                part.copy_(parameter.grad)
            parameter.grad = part

    def clip_gradient(self, most: float) -> torch.Tensor:
        """Scale the gradient down to a norm of `most`, as ``clip_grad_norm_`` does; returns its norm before, a scalar."""
        norm = torch.linalg.vector_norm(self.gradient)
        self.gradient.mul_((most / (norm + 1e-6)).clamp(max=1.0))
        return norm

    def adam(self, learning_rate: float, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Adam:
        """Adam of the vector, in one kernel where there is one for the device."""
        fused = self.vector.device.type in ("cpu", "cuda")
        return torch.optim.Adam([self.vector], learning_rate, betas, fused=fused)


def _dense_strides(parameter: torch.Tensor) -> tuple[int, ...]:
    """The strides that the parameter has without gaps, its order of dimensions kept."""
    return torch.empty_like(parameter, device="meta", memory_format=torch.preserve_format).stride()
