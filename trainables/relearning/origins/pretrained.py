"""A model that was trained elsewhere: a diffusers pipeline, copied into the store.

The VAE of a DiT comes with it. Of a text-to-image pipeline the VAE, the latents of the data set and the table of its prompts are
parts of their own, which are made once. A trial needs the folder only where it trains the text encoders or attacks prompts: these
are read from it, and refused where they are not those that it was taken with.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from trainables.denoisers import imported
from trainables.denoisers.digests import text_digest_of
from trainables.denoisers.imported import put_pretrained, put_vae
from trainables.denoisers.recipes import Pretrained
from trainables.relearning.experiment import Experiment
from trainables.relearning.origins import LATENTS, PROMPTS, VAE, Wanted, goes_with, register
from trainables.relearning.origins._latents import latents_key, make_latents
from trainables.running.products import Product
from trainables.store import Artifact, Store, artifact_key, code_version


def parts(experiment: Experiment) -> Mapping[str, Product]:
    """What a text-to-image pipeline is taken apart into, beside its U-Net; of any other there are none."""
    if not _recipe(experiment).on_prompts:
        return {}
    e, vae = experiment, partial(vae_key, experiment)
    made = [
        Product(VAE, partial(vae_key, e), partial(make_vae, e)),
        Product(PROMPTS, partial(prompts_key, e), partial(make_prompts, e)),
        Product(LATENTS, partial(latents_key, e, vae), partial(make_latents, e, vae), (VAE,)),
    ]
    return {product.name: product for product in made}


def vae_key(experiment: Experiment) -> str:
    """Key of a text-to-image pipeline's VAE."""
    return artifact_key("vae", {"pipeline": _recipe(experiment).digest}, {}, code_version(__name__))


def make_vae(experiment: Experiment) -> Artifact:
    """A text-to-image pipeline's VAE, found or copied into the store."""
    store, key = Store(experiment.store), vae_key(experiment)
    return store.whole(key) or put_vae(store, key, _recipe(experiment))


def prompts_key(experiment: Experiment) -> str:
    """Key of the table of the data set's prompts, by the base model's text encoders."""
    return imported.prompts_key(_recipe(experiment), experiment.dataset)


def make_prompts(experiment: Experiment) -> Artifact:
    """The table of the data set's prompts, found or made."""
    store = Store(experiment.store)
    return imported.make_prompts(store, _recipe(experiment), experiment.dataset)


def encoders(experiment: Experiment, artifact: Artifact | None) -> tuple[list[Any], list[Any]]:
    """(tokenizers, text encoders), read from the pipeline's folder; ValueError where that is gone, or has other ones now."""
    base = _recipe(experiment)
    if not Path(base.folder).is_dir():
        raise ValueError(f"{base.folder}: no such folder: the pipeline's text encoders are read from it")
    if text_digest_of(base) != base.text_digest:
        raise ValueError(f"{base.folder}: its text encoders have changed since it was taken; put the pipeline back")
    return imported.imported_encoders(base)


@register("pretrained", parts, encoders)
def import_(wanted: Wanted) -> Artifact:
    """The pipeline's denoiser; where a VAE is wanted, the pipeline's lies in the store beside it.

    So do the prompts that a text-to-image model is told.
    """
    experiment = wanted.experiment
    store, recipe = Store(experiment.store), experiment.recipe(wanted.which)
    assert isinstance(recipe, Pretrained), "a recipe's origin says who makes it"
    data, facts = experiment.dataset, {"which": wanted.which}
    return put_pretrained(store, wanted.key, "model", recipe, data, facts, wanted.vae, goes_with(wanted))


def _recipe(experiment: Experiment) -> Pretrained:
    assert isinstance(experiment.base, Pretrained), "a recipe's origin says whose parts these are"
    return experiment.base
