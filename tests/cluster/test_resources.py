"""Where Ray puts what a sweep asks for: a head without CPUs and two workers with a GPU each, of which one has its type named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.cluster_utils import Cluster

from sweep.plan import Plan
from sweep.progress import Progress
from sweep.run import _gpu_type, _ray_executor
from trainables.trial import UnlearningTrial

pytestmark = pytest.mark.slow


@dataclass
class Workers:
    """Ids of the two workers."""

    typed: str
    plain: str


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        typed = cluster.add_node(num_cpus=4, num_gpus=1, resources={"accelerator_type:A10G": 1})
        plain = cluster.add_node(num_cpus=4, num_gpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        yield Workers(typed.node_id, plain.node_id)
    finally:
        ray.shutdown()
        cluster.shutdown()


def place(**values: Any) -> Plan:
    return Plan("dimum_robustness", "unused", "unused", workers=2, address="there", **values)


def nodes(plan: Plan, count: int) -> list[str]:
    """Where tasks of the prepare phase run, all asked for at once."""

    def here(seconds: float) -> str:
        import time

        import ray

        time.sleep(seconds)  # so that no task waits for another's process
        return ray.get_runtime_context().get_node_id()

    progress = Progress()
    progress.line("prepare")  # or it would want to say how far the long ones are
    execute = _ray_executor(ray, plan, [], progress)
    return sorted(execute({str(i): (here, (1.0,)) for i in range(count)}).values())  # type: ignore[dict-item,type-var]


def test_tasks_that_prepare_are_spread_over_the_nodes(workers: Workers) -> None:
    assert nodes(place(), 2) == sorted([workers.typed, workers.plain])


def test_a_gpu_type_is_looked_for(workers: Workers) -> None:
    assert nodes(place(gpus_per_trial=0.5, gpu_type="A10G"), 2) == [workers.typed] * 2


def test_trials_that_share_a_gpu_know_their_share_of_it(workers: Workers, tmp_path: Path) -> None:
    """Their memory is kept to it (`trainables.gpu_memory`)."""

    class Told(UnlearningTrial):
        def step(self) -> dict[str, Any]:
            return {"share": self._gpu_share(), "node": ray.get_runtime_context().get_node_id(), "done": True}

    plan = place(gpus_per_trial=0.5, gpu_type="A10G")
    resources = {"cpu": 1.0, "gpu": plan.gpus_per_trial} | _gpu_type(plan)
    tuner = tune.Tuner(
        tune.with_resources(Told, resources),
        param_space={"spec": "none"},
        tune_config=tune.TuneConfig(num_samples=2),
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    )
    told = [(result.metrics["share"], result.metrics["node"]) for result in tuner.fit()]
    assert told == [(0.5, workers.typed)] * 2
