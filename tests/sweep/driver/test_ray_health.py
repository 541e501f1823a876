"""A driver hears that the Ray it stands on has died, and of no other machine's death; and it does not ask all the time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import ray

from sweep.driver import ray_health
from sweep.driver.ray_health import RayDied, RayHealth


class Cluster:
    """Ray's answers about a cluster of two machines, the first of which is the driver's, and the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alive, self.asked, self.now = {"here": True, "there": True}, 0, 1000.0
        monkeypatch.setattr(ray_health, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "here"))
        monkeypatch.setattr(ray, "nodes", self.nodes)

    def nodes(self) -> list[dict[str, object]]:
        self.asked += 1
        return [{"NodeID": name, "Alive": alive} for name, alive in self.alive.items()]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def test_the_death_of_the_drivers_own_machine_ends_it_and_anothers_does_not(cluster: Cluster) -> None:
    health = RayHealth()
    health.check(now=True)
    cluster.alive["there"] = False
    health.check(now=True)
    cluster.alive["here"] = False
    with pytest.raises(RayDied, match="Ray died on the driver's machine"):
        health.check(now=True)
    assert cluster.asked == 3


def test_ray_is_asked_every_few_seconds_at_most(cluster: Cluster) -> None:
    health = RayHealth()
    asked = []
    for _ in range(12):
        health.check()
        asked.append(cluster.asked)
        cluster.now += 1.0
    assert asked == [0] * 5 + [1] * 5 + [2] * 2
    cluster.alive["here"] = False
    health.check()
    with pytest.raises(RayDied):
        cluster.now += 5.0
        health.check()
