"""A checkpoint's tensors out of its file, by readers that run no code: safetensors, or torch's for weights alone."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from trainables.denoisers.checkpoints import Tensors
from trainables.denoisers.checkpoints._shapes import some

EMA, MODEL = "ema", "model"
WEIGHTS = (EMA, MODEL)
_PARALLEL = "module."  # before every name of a model that torch's DataParallel holds
_NAMES = {MODEL: ("model", "state_dict", "model_state_dict", "net"), EMA: ("ema", "ema_state_dict", "model_ema")}


def read(file: Path, which: str = "") -> tuple[Tensors, str]:
    """The tensors of a state dict in `file`, and what they are, in words. ValueError, one line, where there are none.

    Taken are a state dict; a list ``[model, optimiser, …, EMA]``, as DDIM's code and its descendants save; and a dict of state
    dicts by their usual names. `which` of a list's two, ``ema`` or ``model``; by default the average where there is one, which
    is what such code samples from.
    """
    state = _loaded(file)
    states = _states(state)
    if not states:
        raise ValueError(f"{file}: holds no state dict, but {_what(state)}; save the model's state_dict() alone")
    chosen = which or (EMA if EMA in states else MODEL)
    if chosen not in states:
        raise ValueError(f"{file}: holds no {'averaged' if chosen == EMA else 'plain'} weights; leave out --weights")
    other = {EMA: "the average of its weights, which is there beside them", MODEL: "its weights, not their average"}
    return _bare(states[chosen]), other[chosen] if len(states) > 1 else "its weights"


def _loaded(file: Path) -> Any:
    if not file.is_file():
        raise ValueError(f"{file}: {'is no file' if file.exists() else 'no such file'}")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        with warnings.catch_warnings(action="ignore"):  # of pickle protocols
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what damaged bytes make of a reader is of any kind
        if type(error).__name__ == "UnpicklingError":
            named = re.search(r"GLOBAL ([\w.]+)", str(error))
            more = f" ({named[1]})" if named else ""
            raise ValueError(
                f"{file}: is a pickle of more than tensors{more}, which could run code and is not read; where you trust it, "
                f"save its state_dict() by safetensors.torch.save_file and import that"
            ) from None
        kind = "safetensors" if file.suffix == ".safetensors" else "torch.save"
        raise ValueError(
            f"{file}: cannot be read as tensors ({type(error).__name__}); name a whole file that {kind} wrote"
        ) from None


def _states(state: Any) -> dict[str, Tensors]:
    """The state dicts in what a file held: of the model, and of its average where there is one."""
    if _is_state(state):
        return {MODEL: state}
    if isinstance(state, list | tuple):
        states = {MODEL: state[0]} if state and _is_state(state[0]) else {}
        return states | ({EMA: state[-1]} if len(state) > 2 and _is_state(state[-1]) else {})
    if isinstance(state, Mapping):
        held = ((which, state[name]) for which, names in _NAMES.items() for name in names if name in state)
        return {which: one for which, one in held if _is_state(one)}
    return {}


def _is_state(held: Any) -> bool:
    return isinstance(held, Mapping) and bool(held) and all(isinstance(value, torch.Tensor) for value in held.values())


def _bare(state: Tensors) -> Tensors:
    """The tensors under the names they have without DataParallel."""
    if all(name.startswith(_PARALLEL) for name in state):
        return {name.removeprefix(_PARALLEL): value for name, value in state.items()}
    return state


def _what(state: Any) -> str:
    if isinstance(state, Mapping):
        return f"a dict of {some([repr(name) for name in state])}" if state else "an empty dict"
    return f"a {type(state).__name__}"
