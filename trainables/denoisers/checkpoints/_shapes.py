"""Tensors by their names in someone else's code: which are missing, which nobody knows, which have a wrong shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from trainables.denoisers.checkpoints import Tensors

_SHOWN = 3


class Layout:
    """A network's tensors, of which each is asked for once by its name there; `check` then says what did not fit."""

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors
        self._missing: list[str] = []
        self._wrong: list[str] = []
        self._used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """The shape of a tensor without which nothing can be said of the others; ValueError where it is not there."""
        if name not in self.tensors:
            others = f"; it has {some(sorted(self.tensors))}" if self.tensors else ""
            raise ValueError(f"lacks {name}, by which its layout is known{others}")
        shape = tuple(self.tensors[name].shape)
        if len(shape) != dimensions:
            raise ValueError(f"{name} is {_by(shape)}, where {dimensions} dimensions belong")
        return shape

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """The tensor of this name in float32; where it is missing or of another shape, zeros, and `check` tells."""
        self._used.add(name)
        tensor = self.tensors.get(name)
        if tensor is not None and tuple(tensor.shape) == shape:
            return tensor.detach().float()
        if tensor is None:
            self._missing.append(name)
        else:
            self._wrong.append(f"{name} is {_by(tensor.shape)} where {_by(shape)} belongs")
        return torch.zeros(shape)

    def leave(self, names: Iterable[str]) -> None:
        """Tensors that are known and of which no prediction depends."""
        self._used.update(names)

    def levels(self, before: str) -> int:
        """How many of ``{before}0.``, ``{before}1.``, … there are."""
        number = 0
        while any(name.startswith(f"{before}{number}.") for name in self.tensors):
            number += 1
        return number

    def check(self) -> None:
        """ValueError, one line, unless every tensor asked for was there in its shape and finite, and no other is."""
        unknown = sorted(self.tensors.keys() - self._used)
        faults = [f"lacks {some(self._missing)}"] if self._missing else []
        faults += [f"has {some(unknown)}, which its layout does not know"] if unknown else []
        faults += [some(self._wrong)] if self._wrong else []
        if faults:
            raise ValueError("; ".join(faults))
        for name in sorted(self._used & self.tensors.keys()):
            if not torch.isfinite(self.tensors[name].float()).all():
                raise ValueError(f"{name} holds weights that are no finite numbers; it makes nothing")


def fill(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Put every weight of the model in its place, none left over."""
    model.load_state_dict(dict(weights), strict=True)


def some(names: list[str]) -> str:
    """``a, b, c and 4 more``."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _by(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape)) or "a single number"
