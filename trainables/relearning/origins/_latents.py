"""A data set's latents by the VAE of its base model: encoded once, and not by every process."""

from __future__ import annotations

from collections.abc import Callable

from trainables.denoisers.dit import load_vae
from trainables.denoisers.latents import latent_tensors
from trainables.relearning.experiment import Experiment
from trainables.store import Artifact, Store, artifact_key, code_version


def latents_key(experiment: Experiment, vae: Callable[[], str]) -> str:
    """Key of the latents of all splits, by the VAE whose key `vae` gives."""
    config = {"data": experiment.data_identity, "device": experiment.device_kind}
    code = code_version(__name__, experiment.dataset.module)
    return artifact_key("latents", config, {"vae": vae()}, code)


def make_latents(experiment: Experiment, vae: Callable[[], str]) -> Artifact:
    """The latents of all splits, found or made."""
    store, key = Store(experiment.store), latents_key(experiment, vae)
    if artifact := store.whole(key):
        return artifact
    model = load_vae(store.get(vae()), experiment.device.name)
    tensors = latent_tensors(model, experiment.splits())
    return store.put(key, "latents", {"shape": list(tensors["train"].shape)}, tensors)
