"""A text-to-image model's own text encoders on a workbench, and what whoever attacks its prompts sees of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainables.attacks import Wording
from trainables.data import NOTHING
from trainables.denoisers.clip import load_clip, load_tokenizer, text_encoder, text_encoder_with_projection
from trainables.denoisers.imported import imported_encoders
from trainables.denoisers.live_prompts import TextEncoders
from trainables.denoisers.recipes import Pretrained
from trainables.relearning.experiment import Experiment
from trainables.relearning.origins import parts_of
from trainables.relearning.origins._trained_clip import CLIPS
from trainables.relearning.products.models import base_of
from trainables.relearning.workbench import Workbench
from trainables.store import Artifact, Store
from trainables.training.device import Device

ENCODER = "text_encoder"  # under which a model's artifact names its own text encoders, where unlearning changed them


def encoders_of(experiment: Experiment, artifact: Artifact | None = None, device: Device | None = None) -> TextEncoders:
    """The text encoders of a model, frozen: the base model's, or those that unlearning made of them.

    ValueError where the base model is a pipeline whose folder is not here any more.
    """
    tokenizers, encoders = _of_base(experiment, artifact)
    if artifact is not None and ENCODER in artifact.named_with:
        fill_encoders(encoders, artifact.store.get(artifact.key_read_with(ENCODER)).mapped())
    name = (device or experiment.device).name
    for encoder in encoders:
        encoder.requires_grad_(False).to(name).eval()
    base = experiment.base
    if isinstance(base, Pretrained):
        _, height, width = base.image_shape
        return TextEncoders(tokenizers, encoders, (height, width), base.zeros_for_empty)
    _, height, width = experiment.dataset.shape
    return TextEncoders(tokenizers, encoders, (height, width), len(encoders) > 1)


def encoder_weights(encoders: TextEncoders) -> dict[str, torch.Tensor]:
    """The weights of all text encoders by name, for `Store.put`."""
    return {f"{i}.{n}": v.detach() for i, e in enumerate(encoders.encoders) for n, v in e.state_dict().items()}


def fill_encoders(encoders: list[Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Give text encoders the weights that `encoder_weights` took of others."""
    for i, encoder in enumerate(encoders):
        encoder.load_state_dict({name: tensors[f"{i}.{name}"].clone() for name in encoder.state_dict()})


def wording_of(bench: Workbench, model: str) -> Wording:
    """What an attacker on the prompts of the model with this key sees."""
    experiment = bench.experiment
    forgetting, data = experiment.forgetting, experiment.dataset
    facet = next(facet for facet in data.facets if facet.name == forgetting.facet)
    named = ["" if label == NOTHING else facet.labels[label] for label in facet.shown]
    artifact = bench.store.get(model)
    encoders = partial(encoders_of, experiment, artifact)
    return Wording(forgetting, data.prompts, named, encoders, partial(base_of, bench), experiment.sampling)


def _of_base(experiment: Experiment, artifact: Artifact | None) -> tuple[list[Any], list[Any]]:
    """(tokenizers, text encoders) of the base model; by the keys that a model's artifact names, whatever code made them."""
    base = experiment.base
    if isinstance(base, Pretrained):
        if not Path(base.folder).is_dir():
            raise ValueError(f"{base.folder}: no such folder: the pipeline's text encoders are read from it")
        return imported_encoders(base)
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of megabytes
    if artifact is not None and CLIPS[0] in artifact.named_with:
        clips = [artifact.store.get(artifact.key_read_with(name)) for name in CLIPS if name in artifact.named_with]
    else:
        store, parts = Store(experiment.store), parts_of(experiment)
        clips = [store.get(parts[name].key()) for name in CLIPS if name in parts]
    models = [load_clip(clip) for clip in clips]
    encoders = [text_encoder(models[0]), *map(text_encoder_with_projection, models[1:])]
    return [load_tokenizer(clip) for clip in clips], encoders
