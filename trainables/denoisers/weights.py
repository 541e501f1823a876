"""A model's tensors as artifacts of the store: whole, or only those that differ from the model it was made of.

    θᵤ is kept as {(name, value) : θᵤ[name] ≠ θ₀[name], to the bit}, with θ₀'s key and the hash of θ₀'s file

Each tensor keeps its own precision. A model of which little was trained takes little space, and whoever reads it gets it whole.
Another file of θ₀, made anew and not to the same bits, is not what was started from: what rests on it counts as damaged then,
and is made again.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from trainables.store import RESTS_ON, Artifact
from trainables.training.precision import rounds_to

_ITS_HASH = "rests_on_sha256"


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A model's state by name, for `Store.put`: its own memory."""
    return {name: value.detach() for name, value in model.state_dict().items()}


def changed_weights(model: torch.nn.Module, start: Artifact) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What of a model's state differs from the model that it was made of, and the facts that say which that was.

    A frozen weight that is held in less precision, and is the start's rounded to it, does not.
    """
    before = whole_weights(start)
    changed = {n: v for n, v in weights_of(model).items() if n not in before or not _unmoved(v, before[n])}
    return changed, {RESTS_ON: start.key, _ITS_HASH: start.sha256}


def whole_weights(artifact: Artifact) -> Mapping[str, torch.Tensor]:
    """All tensors of a model's artifact by name, on the CPU, each read when it is asked for; not to be written to.

    Raises CorruptArtifact where the file is damaged, or the model that it rests on is another one by now; MissingArtifact where
    that is gone.
    """
    tensors = artifact.mapped()
    if artifact.rests_on is None:
        return tensors
    store = artifact.store
    start = store.get(artifact.rests_on)
    if start.sha256 != artifact.facts[_ITS_HASH]:
        what = f"artifact {artifact.key[:12]} ({artifact.kind}) in {store.name}: the model that it differs from"
        raise store.corrupt(artifact, f"{what}, {start.key[:12]}, was made anew and is another one")
    return ChainMap(tensors, whole_weights(start))  # type: ignore[arg-type]  # nobody writes to it


def fill(model: torch.nn.Module, artifact: Artifact) -> torch.nn.Module:
    """The model with an artifact's tensors in place of its own, in their own precision. RuntimeError where they do not fit it."""
    model.load_state_dict({name: value.clone() for name, value in whole_weights(artifact).items()}, assign=True)
    return model


class Unset(TorchFunctionMode):
    """Within it modules are made without initial values, which take long to draw and are not needed where others follow."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)


def _unmoved(now: torch.Tensor, before: torch.Tensor) -> bool:
    return _same_bits(now, before) or rounds_to(before, now.cpu())


def _same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(*(t.cpu().contiguous().reshape(-1).view(torch.uint8) for t in (a, b)))
