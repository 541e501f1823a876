"""A text-to-image model's own text encoders on a workbench, and what whoever attacks its prompts sees of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from trainables.attacks import Wording
from trainables.data import NOTHING
from trainables.denoisers.live_prompts import TextEncoders
from trainables.denoisers.recipes import Pretrained
from trainables.relearning.experiment import Experiment
from trainables.relearning.origins import ORIGINS
from trainables.relearning.products.models import base_of
from trainables.relearning.workbench import Workbench
from trainables.store import Artifact
from trainables.training.device import Device

ENCODER = (
    "text_encoder"  # under which a model's artifact names its own text encoders, where they are not the base model's
)
TOKENIZERS = "tokenizers"  # a fact of these: the hash of what they were made with, where it may be another's


def encoders_of(experiment: Experiment, artifact: Artifact | None = None, device: Device | None = None) -> TextEncoders:
    """The text encoders of a model, frozen: the base model's, or those that unlearning made of them, or it came with.

    ValueError where the base model is a pipeline whose folder is not here any more or has other files, or the model came with text
    encoders of another kind.
    """
    tokenizers, encoders = ORIGINS[experiment.base.origin].encoders(experiment, artifact)
    if artifact is not None and ENCODER in artifact.named_with:
        encoder_artifact = artifact.store.get(artifact.key_read_with(ENCODER))
        tokens = tokens_of(tokenizers)
        if encoder_artifact.facts.get(TOKENIZERS, tokens) != tokens:
            raise ValueError(
                f"model {artifact.key[:12]}: its tokenizers are not the base model's, so that its prompts cannot be attacked"
            )
        fill_encoders(encoders, encoder_artifact.mapped())
    name = (device or experiment.device).name
    for encoder in encoders:
        encoder.requires_grad_(False).to(name).eval()
    base = experiment.base
    if isinstance(base, Pretrained):
        _, height, width = base.image_shape
        return TextEncoders(tokenizers, encoders, (height, width), base.zeros_for_empty)
    _, height, width = experiment.dataset.shape
    return TextEncoders(tokenizers, encoders, (height, width), len(encoders) > 1)


def tokens_of(tokenizers: Sequence[Any]) -> str:
    """A hash of what tokenizers make of texts: their vocabularies with the tokens' numbers, and how prompts are filled up."""
    vocabularies = [[sorted(t.get_vocab().items()), t.model_max_length, t.pad_token_id] for t in tokenizers]
    return hashlib.sha256(json.dumps(vocabularies).encode()).hexdigest()


def encoder_weights(encoders: TextEncoders) -> dict[str, torch.Tensor]:
    """The weights of all text encoders by name, for `Store.put`."""
    return {f"{i}.{n}": v.detach() for i, e in enumerate(encoders.encoders) for n, v in e.state_dict().items()}


def fill_encoders(encoders: list[Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Give text encoders the weights that `encoder_weights` took of others; ValueError where those are of another shape."""
    for i, encoder in enumerate(encoders):
        weights = encoder.state_dict()
        if any(f"{i}.{name}" not in tensors or tensors[f"{i}.{name}"].shape != weights[name].shape for name in weights):
            raise ValueError("text encoders of another shape than the base model's cannot be put in their place")
        encoder.load_state_dict({name: tensors[f"{i}.{name}"].clone() for name in weights})


def wording_of(bench: Workbench, model: str) -> Wording:
    """What an attacker on the prompts of the model with this key sees."""
    experiment = bench.experiment
    forgetting, data = experiment.forgetting, experiment.dataset
    facet = next(facet for facet in data.facets if facet.name == forgetting.facet)
    named = ["" if label == NOTHING else facet.labels[label] for label in facet.shown]

    def encoders() -> TextEncoders:
        return encoders_of(experiment, bench.store.get(model))  # a plan has prompts before there is a model

    return Wording(forgetting, data.prompts, named, encoders, partial(base_of, bench), experiment.sampling)
