"""The VAE of a base model that is trained here: what all models of one recipe share."""

from __future__ import annotations

from dataclasses import asdict

from trainables.denoisers.models import plain_config
from trainables.denoisers.vae import set_scale, squared_error, vae_run
from trainables.denoisers.weights import weights_of
from trainables.relearning.experiment import Experiment, stream
from trainables.relearning.origins._recipe import text_to_image_recipe
from trainables.relearning.origins._resumable import trained_in
from trainables.store import Artifact, Store, artifact_key, code_version


def vae_key(experiment: Experiment) -> str:
    """Key of the VAE; it knows neither what is forgotten nor what denoises its latents."""
    config = {
        "data": experiment.data_identity,
        "recipe": asdict(text_to_image_recipe(experiment).vae),
        "seed": experiment.base_seed,
        "device": experiment.device_kind,
    }
    return artifact_key("vae", config, {}, code_version(__name__, experiment.dataset.module))


def make_vae(experiment: Experiment) -> Artifact:
    """The VAE, trained on the training images, with its scaling factor and its squared error on held-out images."""
    store, key = Store(experiment.store), vae_key(experiment)
    if artifact := store.whole(key):
        return artifact
    splits, seed = experiment.splits(), stream(experiment.base_seed, "vae")
    run = vae_run(text_to_image_recipe(experiment).vae, splits.train, seed, experiment.device)
    made = trained_in(store, key, run)
    vae = run.trained().eval()
    made["scaling_factor"] = set_scale(vae, splits.train)
    made["held_out_squared_error"] = squared_error(vae, splits.test)
    artifact = store.put(key, "vae", {"vae": plain_config(vae)} | made, weights_of(vae))
    store.drop_partial(key)
    return artifact
