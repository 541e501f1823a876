"""How far the long tasks of the prepare phase are, read from their checkpoints in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainables.running.products import Product
from trainables.store import Store


def progress(graph: Mapping[str, Product], store: Store, waiting: Sequence[str]) -> str:
    """How far the models in training are, ``base model 400/1300 steps``, and what else is waited for; many are counted."""
    trained = {name: _steps(graph.get(name), store) for name in waiting}
    named = [name for name in waiting if trained[name]] if len(waiting) > 3 else list(waiting)
    phrases = [name + trained[name] for name in named]
    if len(named) < len(waiting):
        phrases.append(f"{len(waiting) - len(named)} {'more ' if named else ''}tasks to go")
    return ", ".join(phrases)


def _steps(product: Product | None, store: Store) -> str:
    if product is None or not product.steps:
        return ""
    partial = store.mapped_partial(product.key(), verified=False)  # a few words, and nothing to go on from
    return f" {int(partial.array('step'))}/{product.steps} steps" if partial is not None and "step" in partial else ""
