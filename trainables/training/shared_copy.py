"""A copy of a model in the model's own memory: other parameters over the same numbers, for what a second copy would hold."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def shared_copy(model: Model, apart: Iterable[nn.Parameter] = ()) -> Model:
    """A copy whose parameters have their own gradients but the model's numbers; those of the parameters `apart` are copied.

    Whoever writes to a shared number writes to both.
    """
    copied = {id(parameter) for parameter in apart}
    tensors = [p for p in model.parameters() if id(p) not in copied]
    memo = {id(p): nn.Parameter(p.detach(), requires_grad=p.requires_grad) for p in tensors}
    return copy.deepcopy(model, memo)
