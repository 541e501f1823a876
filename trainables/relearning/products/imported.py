"""Someone's own model as a trial's start: an unlearned pipeline, scored and attacked like θᵤ.

``TrialSpec(method="none", start=make_imported(experiment, pretrained).key)`` is the whole of it.
"""

from __future__ import annotations

from trainables.denoisers.imported import imported_encoders, put_pretrained
from trainables.denoisers.live_prompts import TextEncoders
from trainables.denoisers.recipes import Pretrained
from trainables.relearning.experiment import Experiment
from trainables.relearning.products.models import model_key
from trainables.relearning.products.text import ENCODER, TOKENIZERS, encoder_weights, tokens_of
from trainables.store import Artifact, Store, artifact_key, code_version


def imported_key(experiment: Experiment, pretrained: Pretrained) -> str:
    """Key of a pipeline beside the experiment's base model, whose noise schedule and VAE it is sampled with."""
    config = {"recipe": pretrained.identity, "data": experiment.data}
    code = code_version(__name__, experiment.dataset.module)
    return artifact_key("imported", config, {"base": model_key(experiment, "base")}, code)


def make_imported(experiment: Experiment, pretrained: Pretrained) -> Artifact:
    """The pipeline's denoiser in the store, found or made; `pretrained` has been `fitted` and `hashed`.

    ValueError where it denoises other things than the base model does, or on another schedule: it would be scored wrongly.
    """
    check_beside_base(experiment, pretrained)
    store, key = Store(experiment.store), imported_key(experiment, pretrained)
    encoder_keys = _encoder_keys(experiment, pretrained)  # ahead of what names them
    artifact = store.whole(key)
    if artifact:
        return artifact
    parts = store.get(model_key(experiment, "base")).named_with | encoder_keys  # its VAE is the base model's
    facts = {"source": pretrained.source}
    return put_pretrained(store, key, "imported", pretrained, experiment.dataset, facts, parts=parts)


def _encoder_keys(experiment: Experiment, pretrained: Pretrained) -> dict[str, str]:
    """The key of a pipeline's own text encoders, by its name, found or made; none where they are the base model's."""
    base = experiment.base
    if not pretrained.on_prompts or (isinstance(base, Pretrained) and base.text_digest == pretrained.text_digest):
        return {}
    store = Store(experiment.store)
    key = artifact_key(ENCODER, {"encoders": pretrained.text_digest}, {}, code_version(__name__))
    if store.whole(key) is None:
        tokenizers, encoders = imported_encoders(pretrained)
        _, height, width = pretrained.image_shape
        weights = encoder_weights(TextEncoders(tokenizers, encoders, (height, width)))
        store.put(key, ENCODER, {TOKENIZERS: tokens_of(tokenizers)}, weights)
    return {ENCODER: key}


def check_beside_base(experiment: Experiment, pretrained: Pretrained) -> None:
    """ValueError unless the pipeline takes what the base model takes and was noised as it was."""
    if pretrained.shape != experiment.model_shape:
        raise ValueError(
            f"{pretrained.source}: it denoises {pretrained.shape}, the base model {experiment.model_shape}"
        )
    theirs, ours = (p.noise_schedule() for p in (pretrained, experiment.base))
    if theirs.config["prediction_type"] != ours.config["prediction_type"]:
        raise ValueError(
            f"{pretrained.source}: it predicts {theirs.config['prediction_type']}, the base model "
            f"{ours.config['prediction_type']}; give the base model it is of"
        )
    imported, base = theirs.alphas_cumprod, ours.alphas_cumprod
    if imported.shape != base.shape or not imported.allclose(base, rtol=1e-4, atol=1e-7):
        raise ValueError(
            f"{pretrained.source}: its noise schedule is not the base model's; give the base model it is of"
        )
