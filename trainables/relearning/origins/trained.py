"""A model that is trained here, from nothing. Training leaves a checkpoint in the store every 10 s and continues from it."""

from __future__ import annotations

import time

from trainables.denoisers.models import model_facts, training_run, weights_of
from trainables.denoisers.recipes import BaseModel
from trainables.relearning.origins import Wanted, register
from trainables.store import Artifact, Store, machine

CHECKPOINT_SECONDS = 10.0


@register("trained")
def train(wanted: Wanted) -> Artifact:
    """The model, trained on its images by the experiment's recipe and seed."""
    experiment, key = wanted.experiment, wanted.key
    store, recipe = Store(experiment.store), experiment.recipe(wanted.which)
    assert isinstance(recipe, BaseModel), "a recipe's origin says who makes it"
    images, start = wanted.images(), time.process_time()
    run = training_run(recipe, experiment.dataset, images, experiment.base_seed, experiment.device)
    if partial := store.load_partial(key):
        run.restore(partial)
    resumed_at = run.step
    while not run.advance(recipe.train_steps, time.monotonic() + CHECKPOINT_SECONDS):
        store.save_partial(key, run.state())
    facts = model_facts(run.model, recipe) | {
        "which": wanted.which,
        "images": len(images),
        "resumed_at_step": resumed_at,
        "core_s": time.process_time() - start,
        "machine": machine(),
    }
    artifact = store.put(key, "model", facts, weights_of(run.trained()))
    store.drop_partial(key)
    return artifact
