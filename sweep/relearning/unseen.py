"""What stands for learning anew where there is no θ*: a concept that the base model never saw, taught to it by the same attacks.

Nobody has a Stable Diffusion that was trained without a concept. Whoever wants to know how much of what an attack brings back it
would have taught any model gives prompts of the role ``unseen``, with images: a subject of his own, say. θ₀ is θ* of that concept,
so the control ``unseen`` is θ₀, attacked and scored as if that had been forgotten. No method trains on it, no attack on what was
truly forgotten has it but one on all held-out images, and no figure of quality is over it. It is shown beside, by its name, and
nothing is computed in excess of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from trainables.data import Dataset
from trainables.data._facets import NOTHING, UNSEEN

if TYPE_CHECKING:  # whoever checks a plan imports no torch
    from trainables.relearning.experiment import Experiment
    from trainables.running.products import Product


def unseen_text(data: Dataset) -> str:
    """``concept:NAME``, what the prompts of the role ask for, as `--forget` has it; empty where there are none."""
    asking = [condition for condition, role in enumerate(data.roles) if role == UNSEEN]
    for facet in data.facets:
        labels = list(dict.fromkeys(facet.shown[condition] for condition in asking))
        if labels and NOTHING not in labels:
            return f"{facet.name}:{','.join(facet.labels[label] for label in labels)}"
    return ""


def experiment_of_unseen(experiment: Experiment) -> Experiment | None:
    """The experiment in which the unseen concept is what was forgotten; None where there is θ*, or no such concept."""
    text = unseen_text(experiment.dataset) if experiment.without_control else ""
    return dataclasses.replace(experiment, forget=text) if text else None


def products_beside(experiment: Experiment, graph: Mapping[str, Product]) -> Iterator[Product]:
    """What the control needs that trials do not share: sets and statistics of another concept."""
    from trainables.relearning.shared_products import products_of

    other = experiment_of_unseen(experiment)
    if other is None:
        return
    keys = {product.key() for product in graph.values()}
    theirs = {name: product for name, product in products_of(other).items() if name in graph}
    name_of = {n: n if product.key() in keys else f"{n} of {other.forget}" for n, product in theirs.items()}
    for name, product in theirs.items():
        if name_of[name] != name:
            needs = tuple(name_of[need] for need in product.needs)
            yield dataclasses.replace(product, name=name_of[name], needs=needs)
