"""A model that is trained here, from nothing. It leaves a checkpoint in the store, at most every 10 s, and goes on from it."""

from __future__ import annotations

import time

from trainables.denoisers.models import model_facts, training_run
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.weights import weights_of
from trainables.relearning.origins import Wanted, register
from trainables.running.pace import Pace
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
    partial = store.mapped_partial(key)
    if partial is not None:
        run.restore(partial)
    resumed_at, pace = run.step, Pace()
    while not run.advance(recipe.train_steps, time.monotonic() + CHECKPOINT_SECONDS):
        pace.take(lambda: store.save_partial(key, run.state()))
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
