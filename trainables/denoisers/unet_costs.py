"""What a text U-Net takes of memory and arithmetic, from its configuration alone: counted on the meta device, which holds no
numbers.

The forward pass is run there for its autograd graph: what this saves is what training keeps until the backward pass. What a
GPU does under autocast is put in by rule: matrix products and convolutions in bf16, norms in float32, attention without its
map.
"""

from __future__ import annotations

import copy
import json
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from trainables.denoisers.models import parameters_to_train, trained_parameters
from trainables.denoisers.prompts import Prompts
from trainables.denoisers.text_unet import TextUNet
from trainables.training.precision import cast_bytes, lower

TOKENS = 77  # of a prompt, as CLIP takes them
_IN_HALF = {torch.conv2d, F.conv2d, F.linear, torch.matmul, torch.bmm, torch.Tensor.matmul, torch.baddbmm}
_IN_FULL = {torch.group_norm, F.group_norm, torch.layer_norm, F.layer_norm}


@dataclass(frozen=True)
class ForwardCosts:
    """Of one image through the U-Net.

    `activations` are bytes that its backward pass needs; `checkpointed` are those with gradient checkpointing: what each block
    is given, and the largest block's own while it is run again. `inference` are the most that there are at a time in a pass of
    which no gradient is kept. `flops` count a multiplication and its addition as two.
    """

    activations: int
    checkpointed: int
    inference: int
    flops: int


def parameter_counts(config: Mapping[str, Any]) -> dict[str, int]:
    """The numbers in each parameter of a `UNet2DConditionModel`, by its name; `config` are its arguments.

    ``sum(parameter_counts(config).values())`` is 859.5 M of Stable Diffusion 1.4.
    """
    return {name: parameter.numel() for name, parameter in _on_meta(_frozen(config)).named_parameters()}


@dataclass(frozen=True)
class Weights:
    """Of a U-Net in training: its parameters and those that train, in numbers; bytes that hold all, and autocast's copies."""

    parameters: int
    trained: int
    held: int
    casts: int


def weights(
    config: Mapping[str, Any], trained: str, lora_rank: int = 1, half: bool = False, moved: str = ""
) -> Weights:
    """What the weights take where those of a choice train, or none, and those of another are moved too; `half`: computed in bf16.

    ValueError where the model has none of a choice.
    """
    return _weights(_frozen(config), trained, lora_rank, half, moved)


@cache
def _weights(config: str, trained: str, lora_rank: int, half: bool, moved: str) -> Weights:
    model = copy.deepcopy(_on_meta(config)).requires_grad_(False)
    numbers = sum(p.numel() for p in model.parameters())
    parameters = parameters_to_train(model, trained, lora_rank, 0) if trained else []
    for parameter in parameters:
        parameter.requires_grad_(True)
    if half:
        lower(model, [*parameters, *(trained_parameters(model, moved).values() if moved else ())])
    held = sum(p.nbytes for p in model.parameters())
    return Weights(numbers, sum(p.numel() for p in parameters), held, cast_bytes(model) if half else 0)


def text_encoder_parameters(config: Mapping[str, Any], kind: str) -> int:
    """The numbers in a text encoder of this class of transformers; `config` are its arguments."""
    import transformers

    encoder = getattr(transformers, kind)
    with torch.device("meta"):
        return sum(p.numel() for p in encoder(encoder.config_class(**config)).parameters())


def prompt_bytes(config: Mapping[str, Any], tokens: int = TOKENS) -> int:
    """The bytes of a prompt's row in the table that a `UNet2DConditionModel` is told by: 237 kB of Stable Diffusion 1.4."""
    return sum(table.nbytes for table in _some_prompt(_on_meta(_frozen(config)), tokens).tensors().values())


def decoding_bytes(config: Mapping[str, Any], shape: tuple[int, int, int], half: bool = False) -> tuple[int, int]:
    """(bytes of a VAE's weights, in float32; bytes at a time of decoding one image's latents (C, H, W), half: under autocast)."""
    return _decoding_bytes(_frozen(config), shape, half)


@cache
def _decoding_bytes(config: str, shape: tuple[int, int, int], half: bool) -> tuple[int, int]:
    with torch.device("meta"):
        vae = AutoencoderKL(**json.loads(config))
    uncounted = {_storage(parameter) for parameter in vae.parameters()}  # of which linear layers make views
    live = _Live(uncounted)
    with torch.no_grad(), _AsOnGpu(vae, half, live=live), live:
        vae.decode(torch.empty(1, *shape, device="meta"))
    return sum(p.nbytes for p in vae.parameters()), live.most


def forward_costs(
    config: Mapping[str, Any], shape: tuple[int, int, int], tokens: int = TOKENS, autocast: bool = True
) -> ForwardCosts:
    """What one sample (C, H, W), latents of one image, costs; with `autocast` as on a GPU in bf16, else in float32."""
    return _forward_costs(_frozen(config), shape, tokens, autocast)


def _frozen(config: Mapping[str, Any]) -> str:
    return json.dumps(dict(config), sort_keys=True)


@cache
def _on_meta(config: str) -> TextUNet:
    with torch.device("meta"):
        return TextUNet(**json.loads(config))


@cache
def _forward_costs(config: str, shape: tuple[int, int, int], tokens: int, autocast: bool) -> ForwardCosts:
    model = _on_meta(config)
    model.prompts = _some_prompt(model, tokens)
    x = torch.empty(1, *shape, device="meta")
    t, row = (torch.zeros(1, dtype=torch.int64, device="meta") for _ in range(2))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x, t, row)
    uncounted = {_storage(parameter) for parameter in model.parameters()}  # of which linear layers make views
    live = _Live(uncounted)
    with torch.no_grad(), _AsOnGpu(model, autocast, live=live), live:
        model(x, t, row)
    return ForwardCosts(
        _Saved(model).of(x, t, row, autocast),
        _Checkpointed(model).of(x, t, row, autocast),
        live.most,
        counter.get_total_flops(),
    )


def _some_prompt(model: TextUNet, tokens: int) -> Prompts:
    """A table of one row, as wide as the model reads it."""
    cross = model.config["cross_attention_dim"]
    table = torch.empty(1, tokens, cross[0] if isinstance(cross, list | tuple) else cross, device="meta")
    words, real = (
        torch.zeros(1, tokens, dtype=torch.int64, device="meta"),
        torch.zeros(1, dtype=torch.int64, device="meta"),
    )
    if model.config["addition_embed_type"] is None:
        return Prompts(table, words, real)
    pooled = model.config["projection_class_embeddings_input_dim"] - 6 * model.config["addition_time_embed_dim"]
    sizes = torch.zeros(6, dtype=torch.int64, device="meta")
    return Prompts(table, words, real, torch.empty(1, pooled, device="meta"), sizes)


class _Saved:
    """Counts the bytes of what a forward pass saves, each storage once; parameters, and their casts, are counted elsewhere."""

    def __init__(self, model: TextUNet) -> None:
        self.model = model
        self.uncounted = {_storage(parameter) for parameter in model.parameters()}

    def of(self, x: torch.Tensor, t: torch.Tensor, row: torch.Tensor, autocast: bool) -> int:
        with _AsOnGpu(self.model, autocast, self.uncounted), self.counting() as saved:
            self.model(x, t, row)
        return sum(size for size, _ in saved.values())

    @contextmanager
    def counting(self) -> Iterator[dict[int, tuple[int, torch.Tensor]]]:
        """Within it what autograd saves is put down: bytes by storage; tensors are held so that no storage comes twice."""
        saved: dict[int, tuple[int, torch.Tensor]] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            if (storage := _storage(tensor)) not in self.uncounted:
                saved[storage] = (tensor.untyped_storage().nbytes(), tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield saved


class _Checkpointed(_Saved):
    """Counts what stays with checkpointing: all that blocks are given, and of one block at a time what it saves itself."""

    def of(self, x: torch.Tensor, t: torch.Tensor, row: torch.Tensor, autocast: bool) -> int:
        given: dict[int, tuple[int, torch.Tensor]] = {}
        largest = 0

        def run(block: Any, *inputs: Any) -> Any:
            nonlocal largest
            tensors = [tensor for tensor in inputs if isinstance(tensor, torch.Tensor)]
            given.update({_storage(tensor): (tensor.untyped_storage().nbytes(), tensor) for tensor in tensors})
            with self.counting() as inside:
                outputs = block(*inputs)
            largest = max(largest, sum(size for storage, (size, _) in inside.items() if storage not in given))
            return outputs

        self.model.enable_gradient_checkpointing(run)
        try:
            with _AsOnGpu(self.model, autocast, self.uncounted), self.counting() as saved:
                self.model.train()(x, t, row)
        finally:
            self.model.disable_gradient_checkpointing()
        return sum(size for size, _ in (given | saved).values()) + largest


class _Live(TorchDispatchMode):
    """Within it the bytes of all storages made are put down while there are such, but for those whose number is in `uncounted`."""

    def __init__(self, uncounted: set[int]) -> None:
        super().__init__()
        self.uncounted = uncounted
        self.known: weakref.WeakKeyDictionary[Any, weakref.finalize] = weakref.WeakKeyDictionary()
        self.now = self.most = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and _storage(tensor) not in self.uncounted:
                storage = tensor.untyped_storage()
                if storage not in self.known:
                    self.known[storage] = weakref.finalize(storage, self._gone, storage.nbytes())
                    self.now += storage.nbytes()
                    self.most = max(self.most, self.now)
        return made

    def leave_out(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage no longer, nor views of it."""
        self.uncounted.add(_storage(tensor))
        counted = self.known.pop(tensor.untyped_storage(), None)
        if counted is not None:
            counted()

    def _gone(self, size: int) -> None:
        self.now -= size


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


class _Attention(torch.autograd.Function):
    """softmax(q kᵀ) v of (B, heads, L, d) as fused kernels have it: q, k, v, the outcome and a number a query are saved, no map."""

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        batch, heads, length, _ = q.shape
        out = q.new_empty((batch, length, heads, v.shape[-1])).transpose(
            1, 2
        )  # so laid out that heads are joined for nothing
        ctx.save_for_backward(q, k, v, out, q.new_empty(q.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        raise NotImplementedError("nothing is computed on the meta device")


class _AsOnGpu(TorchFunctionMode):
    """Within it operations save what fused attention does and, with `autocast`, what CUDA's autocast to bf16 does.

    Casts of parameters are kept once each, as autocast does; their storages are added to `uncounted`.
    """

    def __init__(
        self, model: torch.nn.Module, autocast: bool, uncounted: set[int] | None = None, live: _Live | None = None
    ) -> None:
        super().__init__()
        self.live = live  # what is counted where no gradient is kept; casts of parameters are left out
        self.parameters = {_storage(parameter) for parameter in model.parameters()}
        self.autocast, self.uncounted = autocast, uncounted if uncounted is not None else set()
        self.casts: dict[int, torch.Tensor] = {}

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention and (self.live or torch.is_grad_enabled()):
            return _Attention.apply(*(self._cast(tensor, torch.bfloat16) for tensor in args[:3]))
        dtype = torch.bfloat16 if function in _IN_HALF else torch.float32 if function in _IN_FULL else None
        if self.autocast and dtype is not None:
            args = tuple(self._cast(argument, dtype) for argument in args)
            kwargs = {name: self._cast(argument, dtype) for name, argument in kwargs.items()}
        return function(*args, **kwargs)

    def _cast(self, value: Any, dtype: torch.dtype) -> Any:
        if (
            not self.autocast
            or not isinstance(value, torch.Tensor)
            or not value.is_floating_point()
            or value.dtype == dtype
        ):
            return value
        if (storage := _storage(value)) not in self.parameters:
            return value.to(dtype)
        if storage not in self.casts:
            self.casts[storage] = value.to(dtype)
            self.uncounted.add(_storage(self.casts[storage]))
            if self.live:
                self.live.leave_out(self.casts[storage])
        return self.casts[storage]
