"""MNIST: 60,000 + 10,000 handwritten digits, 28×28 pixels (LeCun et al. 1998, Gradient-based learning)."""

from __future__ import annotations

from pathlib import Path

from trainables.data import register_on_disk
from trainables.data._files.idx import idx_layout
from trainables.data._files.layout import Layout


@register_on_disk("mnist")
def mnist(folder: Path, option: str) -> Layout:
    """Four IDX files, in the folder itself or in torchvision's ``MNIST/raw``."""
    return idx_layout(folder, "MNIST/raw", tuple(map(str, range(10))))
