"""Where tensors are computed, and how."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DModel


@dataclass(frozen=True)
class Device:
    """Where and how tensors are computed: one thread and float32 on a CPU, bf16 autocast and channels_last on a GPU."""

    name: str = "cpu"

    @property
    def on_gpu(self) -> bool:
        return self.name.startswith("cuda")

    def place(self, model: UNet2DModel) -> UNet2DModel:
        """`model` on this device, in its memory format."""
        return model.to(self.name, memory_format=torch.channels_last if self.on_gpu else torch.preserve_format)  # type: ignore[call-overload]

    def autocast(self) -> torch.autocast:
        return torch.autocast("cuda" if self.on_gpu else "cpu", dtype=torch.bfloat16, enabled=self.on_gpu)
