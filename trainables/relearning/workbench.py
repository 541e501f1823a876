"""What a process keeps in memory between the trials of one experiment."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from trainables.relearning.experiment import Experiment
from trainables.running import gpu_bytes
from trainables.store import Store

Value = TypeVar("Value")


class Workbench:
    """An experiment with its store, and what `kept` functions made of them. All products must already be in the store."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.store = Store(experiment.store)
        self.made: dict[Callable[[Workbench], Any], Any] = {}
        self.gpu_bytes = 0  # of a GPU's memory, what is kept of it


def kept(make: Callable[[Workbench], Value]) -> Callable[[Workbench], Value]:
    """A function of a workbench whose value is made once and kept on the bench."""

    @wraps(make)
    def made(bench: Workbench) -> Value:
        if make not in bench.made:
            others, before = bench.gpu_bytes, gpu_bytes.allocated()  # what is made may be made of others that are kept
            bench.made[make] = make(bench)
            bench.gpu_bytes = others + gpu_bytes.allocated() - before
        return bench.made[make]

    return made
