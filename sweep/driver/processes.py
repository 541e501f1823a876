"""Tasks side by side in processes of this machine, without Ray: for a command that has a few long ones and no trials."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from sweep.errors import UsageError
from sweep.procedures import Execute, Tasks

TOLD_EVERY_S = 15.0


def side_by_side(workers: int, tell: Callable[[Sequence[str]], None]) -> Execute:
    """What does tasks, at most so many at a time, each once those it needs are done; `tell` hears every while what goes on.

    Where one raises, or this process is stopped, the others are ended: what they leave in a store, they go on from.
    """

    def execute(tasks: Tasks) -> dict[str, Any]:
        made: dict[str, Any] = {}
        waiting, running = dict(tasks), dict[Future[Any], str]()
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin)
        try:
            while waiting or running:
                for name in [name for name, task in waiting.items() if made.keys() >= set(task.needs)]:
                    task = waiting.pop(name)
                    running[pool.submit(task.function, *task.arguments)] = name
                done, _ = wait(running, timeout=TOLD_EVERY_S, return_when=FIRST_COMPLETED)
                for future in done:
                    made[running[future]] = future.result()
                    del running[future]
                if not done:
                    tell(list(running.values()))
        except BrokenProcessPool:
            names = ", ".join(running.values())
            raise UsageError(
                f"{names}: the process was killed, as one is that takes more memory than there is"
            ) from None
        finally:
            if running:
                for child in multiprocessing.active_children():
                    child.terminate()
            pool.shutdown(cancel_futures=True)
        return made

    return execute


def _begin() -> None:
    """A worker computes on one thread, and ends by the terminal's Ctrl-C at once: its parent tells of it."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
