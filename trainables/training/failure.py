"""A stage's exception as its trial's outcome: FAIL with the cause, unless it is the process that is at fault.

Whoever runs stages, on Ray or not, records it so.
"""

from __future__ import annotations

import platform
import re
import sys
import traceback

import torch

from trainables.running.report import Report
from trainables.training import gpu_memory

# How CUDA, cuDNN, cuBLAS and NCCL say that a GPU, its driver or this process's use of them is broken.
_OF_THE_GPU = re.compile(
    r"CUDA error|CUDA driver|CUDA unknown error|CUDA initialization|No CUDA GPUs are available|NVIDIA driver|HIP error"
    r"|cuDNN error|CUDNN_STATUS|CUBLAS_STATUS|NCCL"
)


class SickProcess(RuntimeError):
    """A process whose GPU no longer does what it is told: all that it runs next fails too, so it has to end. Says on which node."""


def failure_report() -> Report:
    """FAIL with the exception being handled, its last lines of traceback included.

    Raises SickProcess from it where it tells of the process or its GPU, which is no outcome of a trial.
    """
    refuse_sickness(sys.exception())
    lines = traceback.format_exc().strip().splitlines()
    where = [line.strip() for line in lines if line.startswith("  File ")][-1:]
    mend = gpu_memory.mend(sys.exception())
    return Report(state="FAIL", cause=" | ".join([lines[-1], *where, *([mend] if mend else [])]))


def refuse_sickness(error: BaseException | None) -> None:
    """Raise SickProcess where this exception, or what it was raised from, tells of a GPU that is broken.

    Memory that a trial asks for in vain is no such thing: its process goes on.
    """
    cause = error
    while cause is not None:
        told = isinstance(cause, RuntimeError) and _OF_THE_GPU.search(str(cause))
        if (told or isinstance(cause, torch.AcceleratorError)) and not isinstance(cause, torch.OutOfMemoryError):
            raise SickProcess(f"{str(cause).partition(chr(10))[0]} (on {platform.node()})") from error
        cause = cause.__cause__
