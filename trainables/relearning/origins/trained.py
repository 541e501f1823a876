"""A model that is trained here, from nothing. It leaves a checkpoint in the store, at most every 10 s, and goes on from it."""

from __future__ import annotations

from trainables.denoisers.models import model_facts, training_run
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.weights import weights_of
from trainables.relearning.origins import Wanted, register
from trainables.relearning.origins._resumable import trained_in
from trainables.store import Artifact, Store


@register("trained")
def train(wanted: Wanted) -> Artifact:
    """The model, trained on its images by the experiment's recipe and seed."""
    experiment, key = wanted.experiment, wanted.key
    store, recipe = Store(experiment.store), experiment.recipe(wanted.which)
    assert isinstance(recipe, BaseModel), "a recipe's origin says who makes it"
    images = wanted.images()
    run = training_run(recipe, experiment.dataset, images, experiment.base_seed, experiment.device)
    made = trained_in(store, key, run)
    facts = model_facts(run.model, recipe) | {"which": wanted.which, "images": len(images)} | made
    artifact = store.put(key, "model", facts, weights_of(run.trained()))
    store.drop_partial(key)
    return artifact
