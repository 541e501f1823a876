"""Tasks that Ray has not begun: which of what they ask for no node has, or all that have it are busy."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Mapping, Sequence

_TOLD_EVERY_S = 600.0
_NAMESPACE = b"unlearning-sweep"


def note_begun(run: str, task: str) -> None:
    """Say in Ray's own store that a task has begun. In the process that does it."""
    from ray.experimental.internal_kv import _internal_kv_put

    _internal_kv_put(f"{run} {task}", b"begun", namespace=_NAMESPACE)


def has_begun(run: str, task: str) -> bool:
    """Whether `note_begun` was called, in whichever process."""
    from ray.experimental.internal_kv import _internal_kv_exists

    return bool(_internal_kv_exists(f"{run} {task}", namespace=_NAMESPACE))


class Pending:
    """Looks after the tasks of one graph, by name with those each needs; each asks for the same resources of a node."""

    def __init__(self, run: str, needs: Mapping[str, Sequence[str]], asked: Mapping[str, float]) -> None:
        self.run, self.asked = run, asked
        self._needs = dict(needs)
        self._due: dict[str, float] = {}  # when it is to be said that a task waits still

    def overdue(self, made: Container[str]) -> Iterator[str]:
        """A line for each that could have been begun ten minutes ago and was not; again every ten minutes."""
        now = time.monotonic()
        for task, needs in list(self._needs.items()):
            if not all(need in made for need in needs):
                continue
            if now < self._due.setdefault(task, now + _TOLD_EVERY_S):
                continue
            if has_begun(self.run, task):
                del self._needs[task]
                continue
            self._due[task] = now + _TOLD_EVERY_S
            yield f"prepare: {task} has waited {_TOLD_EVERY_S / 60:.0f} min and more for a node: {missing(self.asked, _nodes())}"


def missing(asked: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> str:
    """What of these resources no node has; that none has all of them, or that those that have are busy."""
    if not nodes:
        return "the cluster has none"
    able = [name for name, amount in asked.items() if any(node.get(name, 0.0) >= amount for node in nodes)]
    lacking = [f"{name} {amount:g}" for name, amount in asked.items() if name not in able]
    if lacking:
        return f"none of {len(nodes)} has {', '.join(lacking)}"
    if not any(all(node.get(name, 0.0) >= amount for name, amount in asked.items()) for node in nodes):
        return f"none of {len(nodes)} has {', '.join(f'{name} {amount:g}' for name, amount in asked.items())} together"
    return "those that have what it asks for are busy"


def _nodes() -> list[dict[str, float]]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
