"""Where Ray puts what a sweep asks for: two nodes with a GPU each, of which one has its type named."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.cluster_utils import Cluster

from sweep.driver.on_ray import OnRay, gpu_type_resource
from sweep.plan.place import Place
from sweep.procedures import Task
from sweep.terminal.lines import Progress
from trainables.trial import Trial

pytestmark = pytest.mark.slow


@dataclass
class Nodes:
    """Their ids."""

    plain: str
    typed: str


@pytest.fixture(scope="module")
def pair() -> Iterator[Nodes]:
    node = {"num_cpus": 4, "num_gpus": 1}
    with tempfile.TemporaryDirectory(prefix="ray-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)  # Ray notes there that a cluster runs, and other programs would join it
        cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
        try:
            typed = cluster.add_node(**node, resources={"accelerator_type:A10G": 1})
            ray.init(address=cluster.address, log_to_driver=False)
            yield Nodes(cluster.head_node.node_id, typed.node_id)
        finally:
            ray.shutdown()
            cluster.shutdown()


class Unasked(Progress):
    """Says nothing of how far tasks are: those here train nothing."""

    def quiet_for(self) -> float:
        return 0.0


@dataclass
class Planned:
    """A plan as far as its driver asks."""

    place: Place
    run_dir: str = "nowhere"  # nothing is written


def place(**values: Any) -> Place:
    return Place(workers=2, address="there", **values)


def nodes(place: Place, count: int) -> list[str]:
    """Where tasks of the prepare phase run, all asked for at once."""

    def here(seconds: float) -> str:
        import time

        import ray

        time.sleep(seconds)  # so that no task takes another's process
        return ray.get_runtime_context().get_node_id()

    workers = OnRay(Planned(place), [], Unasked())  # Ray is started
    return sorted(workers.execute({str(i): Task(here, (1.0,)) for i in range(count)}).values())


def test_tasks_that_prepare_are_spread_over_the_nodes(pair: Nodes) -> None:
    assert nodes(place(), 2) == sorted([pair.typed, pair.plain])


def test_a_gpu_type_is_looked_for(pair: Nodes) -> None:
    assert nodes(place(gpus_per_trial=0.5, gpu_type="A10G"), 2) == [pair.typed] * 2


def test_a_trial_that_shares_a_gpu_knows_its_share_of_it(pair: Nodes, tmp_path: Path) -> None:
    """Its memory is kept to it (`trainables.training.gpu_memory`)."""

    class Told(Trial):
        def step(self) -> dict[str, Any]:
            return {"share": self._gpu_share(), "node": ray.get_runtime_context().get_node_id(), "done": True}

    shared = place(gpus_per_trial=0.5, gpu_type="A10G")
    resources = {"cpu": 1.0, "gpu": shared.gpus_per_trial} | gpu_type_resource(shared)
    tuner = tune.Tuner(
        tune.with_resources(Told, resources),
        param_space={"spec": "none"},
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    )
    (result,) = tuner.fit()
    assert (result.metrics["share"], result.metrics["node"]) == (0.5, pair.typed)
