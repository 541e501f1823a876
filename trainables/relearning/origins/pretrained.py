"""A model that was trained elsewhere: a diffusers pipeline, copied into the store with its VAE."""

from __future__ import annotations

from trainables.denoisers.imported import put_pretrained
from trainables.denoisers.recipes import Pretrained
from trainables.relearning.origins import Wanted, register
from trainables.store import Artifact, Store


@register("pretrained")
def import_(wanted: Wanted) -> Artifact:
    """The pipeline's denoiser; where a VAE is wanted, the pipeline's lies in the store beside it.

    So do the prompts that a text-to-image model is told.
    """
    experiment = wanted.experiment
    store, recipe = Store(experiment.store), experiment.recipe(wanted.which)
    assert isinstance(recipe, Pretrained), "a recipe's origin says who makes it"
    return put_pretrained(
        store, wanted.key, "model", recipe, experiment.dataset, {"which": wanted.which}, wanted.vae, experiment.device
    )
