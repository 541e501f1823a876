"""A share of a GPU is a share of its memory too. Ray counts the shares and divides nothing, so each process keeps to its own."""

from __future__ import annotations

import torch

CONTEXT_BYTES = 600 * 2**20
"""What CUDA takes for every process beside what torch allocates: kernels, cuBLAS's and cuDNN's work spaces."""


def allowed(share: float, total_bytes: int) -> float:
    """The fraction of a GPU's memory that torch may allocate where a process has `share` of the GPU; whole GPUs: all of it."""
    return 1.0 if share >= 1 else max(share - CONTEXT_BYTES / total_bytes, 0.0)


def keep_to(share: float) -> None:
    """Have torch refuse this process more than its share: what doesn't fit fails alone, and not its neighbour on the GPU."""
    if share and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(allowed(share, torch.cuda.mem_get_info()[1]))


def mend(error: BaseException | None) -> str:
    """What helps a trial that needs more memory than it may have; nothing to say of other errors."""
    if not isinstance(error, torch.OutOfMemoryError):
        return ""
    return "a process may take no more of a GPU's memory than its share of the GPU: give it more by --gpus-per-trial"
