"""How far the long tasks of the prepare phase are, read from their checkpoints in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainables.running.products import Product
from trainables.store import Store


def progress(graph: Mapping[str, Product], store: Store, waiting: Sequence[str]) -> str:
    """One phrase a product still waited for: ``base model 400/1300 steps``; more than three are only counted."""
    if len(waiting) > 3:
        return f"{len(waiting)} tasks to go"
    return ", ".join(name + _steps(graph.get(name), store) for name in waiting)


def _steps(product: Product | None, store: Store) -> str:
    if product is None or not product.steps:
        return ""
    partial = store.mapped_partial(product.key(), verified=False)  # a few words, and nothing to go on from
    return f" {int(partial.array('step'))}/{product.steps} steps" if partial is not None and "step" in partial else ""
