"""Products made by whoever executes tasks: those that are not in the store yet, each as soon as what it is made of is there."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.procedures import Execute, Task
from trainables.running.products import Product, waves
from trainables.store import Artifact, Store


def make_all(graph: Mapping[str, Product], execute: Execute, store: Store) -> dict[str, Artifact]:
    """Every product, found or made, by its name: one that is made of others as soon as these are there.

    What is whole in the store is no task: a worker that would only look takes ten seconds to begin.
    """
    artifacts = {name: store.whole(product.key()) for name, product in graph.items()}
    whole = {name: artifact for name, artifact in artifacts.items() if artifact is not None}
    missing = [product for wave in waves(graph) for product in wave if product.name not in whole]
    tasks = {p.name: Task(p.make, needs=tuple(need for need in p.needs if need not in whole)) for p in missing}
    return whole | (execute(tasks) if tasks else {})
