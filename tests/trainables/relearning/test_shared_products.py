"""The graph of shared products: what it says a product is made of is what its making reads, and a walk makes all of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pipelines
import pytest

from trainables.denoisers.digests import hashed
from trainables.denoisers.pipelines import fitted, read_pipeline
from trainables.denoisers.recipes import BaseModel, ClassifierRecipe
from trainables.needs import SHARED
from trainables.relearning.experiment import AttackPlan, Experiment, Samples, TrialSpec
from trainables.relearning.shared_products import make_again, products_of, score_of
from trainables.running.products import Product, by_name, waves
from trainables.store import Store

SAMPLES = Samples(forgotten=4, per_retained=1)


def experiment(folder: Path, kind: str) -> Experiment:
    tiny = Experiment(
        store=str(folder / "store"),
        base=BaseModel(channels=(8, 8), train_steps=2, batch=8),
        classifier=ClassifierRecipe(width=4, features=8, train_steps=3, batch=16),
        sampling_steps=2,
        synthetic_per_condition=1,
        shadow_models=1,
    )
    if kind == "digits":
        return tiny
    (folder / "pipeline").mkdir()
    pipelines.save_dit(folder / "pipeline")
    return replace(tiny, base=hashed(fitted(read_pipeline(str(folder / "pipeline")), tiny.dataset)), shadow_models=0)


@pytest.mark.parametrize("kind", ["digits", "latents"])
def test_a_product_is_made_of_what_the_graph_says(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = experiment(tmp_path, kind)
    graph = products_of(tiny, SHARED.names())
    score = score_of(tiny, "score", "base", SAMPLES, 0)
    graph = by_name([*graph.values(), score])
    names = {product.key(): name for name, product in graph.items()}
    read: set[str] = set()
    get = Store.get

    def spied(self: Store, key: str) -> Any:
        read.add(names[key])
        return get(self, key)

    monkeypatch.setattr(Store, "get", spied)
    for wave in waves(graph):
        for product in wave:
            assert Store(tiny.store).find(product.key()) is None or product.name == "VAE", f"{product.name} is there"
            read.clear()
            product.make()
            read.discard(product.name)
            assert read <= set(product.needs), f"{product.name} is made of more than it says"
            # a VAE comes with its model; a class that is forgotten is a product's input by the sets alone
            assert read == set(product.needs) or product.name == "VAE", f"{product.name} is made of less than it says"
            assert Store(tiny.store).whole(product.key()) is not None


def test_a_lost_product_is_made_again_by_its_key_and_no_other_is(tmp_path: Path) -> None:
    tiny = experiment(tmp_path, "digits")
    graph = products_of(tiny)
    for wave in waves(graph):
        for product in wave:
            product.make()
    store = Store(tiny.store)
    attack = AttackPlan("dimra", "dimra", {"auxiliary": "retain"})
    spec = TrialSpec("t", 0, tiny, "dimum", {}, 0, (attack,), (0, 1), SAMPLES)
    for product in graph.values():
        before = {file.key for file in store.files()}
        store.delete(product.key())
        make_again(spec, product.key())
        assert {file.key for file in store.files()} == before, product.name
    make_again(spec, "0" * 64)  # a stage's own


def product(name: str, *needs: str) -> Product:
    return Product(name, lambda: name, lambda: None, needs)  # type: ignore[arg-type, return-value]


def test_a_walk_makes_each_once_after_all_that_it_is_made_of() -> None:
    graph = by_name([product("d", "b", "c"), product("b", "a"), product("c", "a"), product("a"), product("e")])
    assert [[p.name for p in wave] for wave in waves(graph)] == [["a", "e"], ["b", "c"], ["d"]]


@pytest.mark.parametrize(
    ("products", "said"),
    [
        ([product("a"), product("a")], "declared twice"),
        ([product("a", "b")], "made of 'b', which is none of them"),
        ([product("a", "b"), product("b", "a")], "a, b are made of one another"),
    ],
)
def test_a_graph_that_cannot_be_walked_is_refused(products: list[Product], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        list(waves(by_name(products)))
