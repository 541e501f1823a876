"""The products that trials of an experiment share, as a graph: what prepares them, mends them or asks how far they are walks it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from trainables.federated.experiment import Experiment
from trainables.federated.products.floors import floors_key, make_floors
from trainables.federated.products.judge import judge_key, make_judge
from trainables.federated.products.party_classifiers import make_party_classifiers, party_classifiers_key
from trainables.federated.products.reference import make_reference, reference_key
from trainables.federated.products.rows import make_rows, rows_key
from trainables.running.products import Product, by_name

ROWS = "rows"
JUDGE = "judge"
PARTIES = "parties' classifiers"
REFERENCE = "reference statistics"
FLOORS = "floors"


def products_of(experiment: Experiment, samples: int) -> dict[str, Product]:
    """The products by name; figures are over so many rows as `samples` says."""
    return by_name(_products(experiment, samples))


def make_again(experiment: Experiment, samples: int, key: str) -> None:
    """Make what all trials share, if the key is of that. Any other is a stage's product: the trial's own stages make it."""
    for product in _products(experiment, samples):
        if product.key() == key:
            product.make()


def _products(experiment: Experiment, samples: int) -> Iterator[Product]:
    e, images = experiment, bool(experiment.source.shape)
    yield Product(ROWS, partial(rows_key, e), partial(make_rows, e))
    judges: tuple[str, ...] = ()
    if images:
        judges = (JUDGE, PARTIES)
        yield Product(JUDGE, partial(judge_key, e), partial(make_judge, e), (ROWS,))
        yield Product(PARTIES, partial(party_classifiers_key, e), partial(make_party_classifiers, e), (ROWS,))
    yield Product(REFERENCE, partial(reference_key, e), partial(make_reference, e), (ROWS, *judges))
    of_floors = (e, samples)
    yield Product(FLOORS, partial(floors_key, *of_floors), partial(make_floors, *of_floors), (REFERENCE, *judges))
