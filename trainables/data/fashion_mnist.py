"""Fashion-MNIST: 60,000 + 10,000 pictures of clothing, 28×28 pixels, ten classes (Xiao et al. 2017, arXiv 1708.07747)."""

from __future__ import annotations

from pathlib import Path

from trainables.data import register_on_disk
from trainables.data._files.idx import idx_layout
from trainables.data._files.layout import Layout

CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


@register_on_disk("fashion_mnist", folder="/usr/share/datasets/fashion-mnist")
def fashion_mnist(folder: Path, option: str) -> Layout:
    """Four IDX files; the folder that Debian's package ``dataset-fashion-mnist`` fills is the one looked in by itself."""
    return idx_layout(folder, "FashionMNIST/raw", CLASSES)
