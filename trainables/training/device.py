"""Where tensors are computed, and how."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from diffusers import UNet2DModel

BF16, FP32 = "bf16", "fp32"
PRECISIONS = (FP32, BF16)


@dataclass(frozen=True)
class Device:
    """Where and how tensors are computed: one thread and float32 on a CPU, bf16 autocast and channels_last on a GPU.

    `precision`: "fp32" or "bf16" instead of what is usual there (see `trainables.training.precision`). `checkpointing`: whether
    training keeps of the denoiser's blocks what goes in alone and runs each again in its backward pass (Chen et al. 2016, arXiv
    1604.06174); its figures are the same.
    """

    name: str = "cpu"
    precision: str = ""
    checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.precision and self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r} is none of {', '.join(PRECISIONS)}")
        if self.on_gpu and torch.cuda.is_available():
            _compute_alike()

    @property
    def on_gpu(self) -> bool:
        return self.name.startswith("cuda")

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``, and the precision where it is not the usual one there: what numbers depend on."""
        return self.processor if self.in_half == self.on_gpu else f"{self.processor} {self.precision}"

    @property
    def processor(self) -> str:
        """``cpu`` or ``cuda``: what numbers depend on that are computed in float32 whatever the precision."""
        return "cuda" if self.on_gpu else "cpu"

    @property
    def in_half(self) -> bool:
        """Whether matrix products are computed in bf16, by autocast."""
        return self.on_gpu if not self.precision else self.precision == BF16

    def place(self, model: UNet2DModel) -> UNet2DModel:
        """`model` on this device, in its memory format."""
        return model.to(self.name, memory_format=torch.channels_last if self.on_gpu else torch.preserve_format)  # type: ignore[call-overload]

    def checkpoint(self, model: torch.nn.Module) -> None:
        """Have the model's blocks run again in every backward pass, where that is asked for: diffusers' larger models can."""
        if self.checkpointing and getattr(model, "_supports_gradient_checkpointing", False):
            model.enable_gradient_checkpointing()  # type: ignore[operator]

    def autocast(self) -> torch.autocast:
        return torch.autocast("cuda" if self.on_gpu else "cpu", dtype=torch.bfloat16, enabled=self.in_half)


def _compute_alike() -> None:
    """Have this process's GPU compute the same from the same, in float32 where float32 is meant; a CPU does so by itself.

    Of operations that have no such kernel, torch warns, and their last digits may differ from run to run.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may choose another way every time
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
