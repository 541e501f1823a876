"""How much of a GPU's memory this process takes: what a bench keeps of it is no leak."""

from __future__ import annotations

import torch


def allocated() -> int:
    """Bytes of a GPU's memory that tensors of this process take now; 0 without a GPU."""
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0
