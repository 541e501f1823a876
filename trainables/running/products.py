"""Products: what all trials share, made once, as a graph that is walked in waves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from trainables.store import Artifact


@dataclass(frozen=True)
class Product:
    """Something that all trials share: its name, its key, what finds or makes it, and the products that it is made of.

    `make` takes no argument and travels to whoever runs it: a function of a module, or a partial of one. `steps` is how many
    training steps that takes, 0 for one that is not trained: its checkpoint in the store says how far it is.
    """

    name: str
    key: Callable[[], str]
    make: Callable[[], Artifact]
    needs: tuple[str, ...] = ()
    steps: int = 0


def by_name(products: Iterable[Product]) -> dict[str, Product]:
    """The products by their names; ValueError for a name that two have, or a need that is none of them."""
    graph: dict[str, Product] = {}
    for product in products:
        if product.name in graph:
            raise ValueError(f"product {product.name!r} is declared twice")
        graph[product.name] = product
    for product in graph.values():
        for need in product.needs:
            if need not in graph:
                raise ValueError(f"product {product.name!r} is made of {need!r}, which is none of them")
    return graph


def waves(graph: Mapping[str, Product]) -> Iterator[list[Product]]:
    """Products that can be made side by side, each wave once those before it are there. ValueError for a circle."""
    done: set[str] = set()
    while len(done) < len(graph):
        wave = [p for p in graph.values() if p.name not in done and done.issuperset(p.needs)]
        if not wave:
            raise ValueError(f"products {', '.join(sorted(set(graph) - done))} are made of one another")
        yield wave
        done |= {p.name for p in wave}
