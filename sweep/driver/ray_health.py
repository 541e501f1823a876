"""Whether the Ray that a driver stands on is alive. Without a raylet of its own it gets no worker any more, and waits for ever."""

from __future__ import annotations

import time

_EVERY_S = 5.0


class RayDied(RuntimeError):
    """Ray has died under the driver; what is recorded stays, and the run can be resumed."""


class RayHealth:
    """Asks Ray's GCS for the state of the driver's own node, every few seconds at most."""

    def __init__(self) -> None:
        self._asked = time.monotonic()

    def check(self, now: bool = False) -> None:
        """Raises RayDied where the driver's node counts as dead. With `now` it is asked in any case."""
        if not now and time.monotonic() - self._asked < _EVERY_S:
            return
        import ray

        self._asked = time.monotonic()
        here = ray.get_runtime_context().get_node_id()
        if any(node["NodeID"] == here and not node["Alive"] for node in ray.nodes()):
            raise RayDied("Ray died on the driver's machine: its raylet was killed, for memory perhaps")
