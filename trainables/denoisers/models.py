"""Base models: a small class-conditional UNet trained here, and models as artifacts of the store.

A text-to-image model is a `trainables.denoisers.text_unet.TextUNet`: `isinstance` knows one, and so do its facts, which have
a ``text_unet``. Its condition enters by ``.attn2.`` and, of SDXL, by ``add_embedding.``; ``class_embedding`` is None.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from diffusers import DiTTransformer2DModel, UNet2DModel

from trainables.data import Dataset, Images
from trainables.denoisers.dit import DiT
from trainables.denoisers.edm_unet import EDMUNet
from trainables.denoisers.prompts import KIND as PROMPTS
from trainables.denoisers.prompts import load_prompts
from trainables.denoisers.recipes import BaseModel, Recipe
from trainables.denoisers.text_unet import TextUNet
from trainables.denoisers.weights import Unset, fill
from trainables.diffusion import Loss, Timesteps, denoising_loss, even_timesteps, stratified_timesteps
from trainables.fine_tuning import FineTuning, Optimisation
from trainables.store import READ_WITH, Artifact
from trainables.training.device import Device
from trainables.training.lora import add_factors, is_factor


class AttributeEmbedding(torch.nn.Module):
    """(B,) conditions that are vectors of attributes, as the bits of a whole number → (B, dimension), linear in the bits.

    The null condition is the bit after the last attribute's, so that it has a row of its own.
    """

    def __init__(self, attributes: int, dimension: int) -> None:
        super().__init__()
        self.attributes = attributes
        self.rows = torch.nn.Linear(attributes + 1, dimension, bias=False)

    def forward(self, conditions: torch.Tensor) -> torch.Tensor:
        bits = conditions[:, None] >> torch.arange(self.attributes + 1, device=conditions.device) & 1
        return self.rows(bits.to(self.rows.weight.dtype))


def build(config: dict[str, Any], attributes: int = 0) -> UNet2DModel:
    """A `UNet2DModel`; with `attributes`, one whose condition is their vector."""
    model = UNet2DModel(**config)
    if attributes:
        model.class_embedding = AttributeEmbedding(attributes, model.time_embedding.linear_2.out_features)
    return model


def training_run(recipe: BaseModel, dataset: Dataset, images: Images, seed: int, device: Device) -> FineTuning:
    """The run that trains a base model on `images`; on the retain set alone it trains the retrain control θ*."""
    torch.manual_seed(seed)  # the weights' initialisation draws from the global generator
    model = device.place(build(recipe.config(dataset), len(dataset.attributes)))
    loss = dropout_loss(recipe, images, dataset.conditions, device, timesteps=stratified_timesteps)
    how = Optimisation(recipe.learning_rate, recipe.train_steps, ema_decay=recipe.ema_decay, schedule="one-cycle")
    return FineTuning(model, loss, how, seed, device)


def dropout_loss(
    recipe: Recipe,
    images: Images,
    null_condition: int,
    device: Device,
    batch: int | None = None,
    label_dropout: float | None = None,
    timesteps: Timesteps = even_timesteps,
) -> Loss:
    """DSM over random batches of `images`, each condition replaced by the null condition with probability `label_dropout`.

    Batch and label dropout are the recipe's unless given.
    """
    data, size = images.to(device.name), batch or recipe.batch
    return drawn_loss(recipe, lambda generator: data.draw(size, generator), null_condition, label_dropout, timesteps)


def drawn_loss(
    recipe: Recipe,
    draw: Callable[[torch.Generator], Images],
    null_condition: int,
    label_dropout: float | None = None,
    timesteps: Timesteps = even_timesteps,
) -> Loss:
    """DSM over the batches that `draw` gives, on the model's device, under the same label dropout."""
    schedule = recipe.noise_schedule()
    share = recipe.label_dropout if label_dropout is None else label_dropout

    def loss(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        drawn = draw(generator)
        dropped = torch.rand(len(drawn), generator=generator) < share
        conditions = drawn.conditions.masked_fill(dropped.to(drawn.conditions.device), null_condition)
        return denoising_loss(model, schedule, drawn.images, conditions, generator, timesteps=timesteps)

    return loss


def plain_config(model: Any) -> dict[str, Any]:
    """The arguments a diffusers model was built from, as plain values; options that this diffusers does not know are none."""
    known = inspect.signature(DiTTransformer2DModel if isinstance(model, DiT) else type(model)).parameters
    return {name: value for name, value in json.loads(model.to_json_string()).items() if name in known}


def model_facts(
    model: UNet2DModel | DiT | EDMUNet | TextUNet, recipe: Any, parts: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What a sidecar says of a model: enough to build it again. `recipe` is a dataclass, `BaseModel` or `Pretrained`.

    `parts` are the keys, by name, of what else its pipeline is made of. Of a text U-Net the artifact of its prompts is one, and it
    says what it predicts.
    """
    with_it = dict(parts or {})
    if isinstance(model, TextUNet):
        prediction = recipe.noise_schedule().config["prediction_type"]
        with_it[PROMPTS] = model.prompts.key
        prompt_facts = {READ_WITH: with_it, "prediction": prediction}
        return {"text_unet": plain_config(model), **prompt_facts, "attributes": 0, "recipe": asdict(recipe)}
    part = "transformer" if isinstance(model, DiT) else "edm_unet" if isinstance(model, EDMUNet) else "unet"
    attributes = getattr(model.class_embedding, "attributes", 0)
    facts = {part: plain_config(model), "attributes": attributes, "recipe": asdict(recipe)}
    return facts | ({READ_WITH: with_it} if with_it else {})


def load_model(artifact: Artifact, device: Device) -> UNet2DModel:
    """The model of an artifact, on the device, in evaluation mode; a text U-Net with its prompts, which lie in the same store."""
    facts = artifact.facts
    with Unset():
        model = _unset(facts)
    model = device.place(fill(model, artifact)).eval()
    if isinstance(model, TextUNet):
        model.prompts = load_prompts(artifact.store.get(artifact.key_read_with(PROMPTS)), device.name)
    return model


def _unset(facts: Mapping[str, Any]) -> torch.nn.Module:
    """The model that a sidecar describes, before it has weights."""
    if "transformer" in facts:
        return DiT(**facts["transformer"])
    if "edm_unet" in facts:
        return EDMUNet(**facts["edm_unet"])
    if "text_unet" in facts:
        return TextUNet(**facts["text_unet"])
    return build(facts["unet"], facts["attributes"])


def _embeds_condition(name: str) -> bool:
    """The rows of the conditions: of a UNet one table, of a DiT one in every block."""
    return name.startswith("class_embedding.") or ".class_embedder." in name


def _where_condition_enters(name: str) -> bool:
    """The condition embedding and the projections by which it reaches every block: such models' cross-attention."""
    return _embeds_condition(name) or ".time_emb_proj." in name or ".norm1.linear." in name


def _cross_attention(name: str) -> bool:
    """Where a prompt enters: the cross-attention, and of SDXL the embedding of its pooled vector."""
    return ".attn2." in name or name.startswith("add_embedding.")


def _keys_and_values(name: str) -> bool:
    """The projections of a prompt's tokens: all that reads them."""
    return ".attn2.to_k." in name or ".attn2.to_v." in name


LORA = "lora"  # a choice of parameters that a model is given first: see trainables.training.lora

Choice = Callable[[str], bool]

_OF_CLASSES: dict[str, Choice] = {
    "all": lambda name: True,
    "condition_mid": lambda name: _embeds_condition(name) or name.startswith("mid_block."),
    "condition": _where_condition_enters,
    "rest": lambda name: not _where_condition_enters(name),
    "attention": lambda name: ".attentions." in name or ".attn1." in name,
    LORA: is_factor,
}

# Of a text U-Net's .attentions. a third is feed-forward layers and projections, which are no attention.
_OF_PROMPTS: dict[str, Choice] = {
    "all": lambda name: True,
    "condition_mid": lambda name: _cross_attention(name) or name.startswith("mid_block."),
    "condition": _cross_attention,
    "rest": lambda name: not _cross_attention(name),
    "attention": lambda name: ".attn1." in name or ".attn2." in name,
    "cross_attention": _cross_attention,
    "cross_attention_kv": _keys_and_values,
    LORA: is_factor,
}

TRAINED_PARAMETERS = tuple(_OF_PROMPTS)  # every choice; a class-conditional model has no cross-attention


def trained_parameters(model: UNet2DModel, which: str) -> dict[str, torch.nn.Parameter]:
    """The parameters a method may move, by name.

    ``all``; ``condition`` (where the condition enters: its embedding and its projections into the blocks, or of a text U-Net
    the cross-attention and the embedding of the pooled vector); ``condition_mid`` (that of a text U-Net, or the condition
    embedding, and the mid block); ``rest`` (all but ``condition``); ``attention``; ``lora`` (the low-rank factors, once the
    model has them). Of a text U-Net alone, ``cross_attention`` and ``cross_attention_kv`` (of that the keys and values): ESD-x
    and its strict form, as ``rest`` is ESD-u (arXiv 2303.07345). ValueError for any other name, or where the model has none such.
    """
    check_trained_parameters(which)
    chosen_by = (_OF_PROMPTS if isinstance(model, TextUNet) else _OF_CLASSES).get(which)
    chosen = {name: p for name, p in model.named_parameters() if chosen_by is not None and chosen_by(name)}
    if not chosen:
        raise ValueError(f"trained_parameters {which!r}: the model has no such parameters")
    return chosen


def check_trained_parameters(
    which: str, lora_rank: int = 1, prompts: bool = True, setting: str = "trained_parameters"
) -> None:
    """ValueError where `which` names no choice of parameters, one that only models of prompts have, or the rank is none.

    `setting` is what it is the value of.
    """
    if which not in TRAINED_PARAMETERS:
        raise ValueError(f"{setting} {which!r} is none of {', '.join(TRAINED_PARAMETERS)}")
    if not prompts and which not in _OF_CLASSES:
        raise ValueError(f"{setting} {which!r}: the model has no such parameters; choose {', '.join(_OF_CLASSES)}")
    if lora_rank < 1:
        raise ValueError(f"lora_rank must be at least 1, not {lora_rank}")


def parameters_to_train(model: UNet2DModel, which: str, lora_rank: int, seed: int) -> list[torch.nn.Parameter]:
    """The `trained_parameters` of a model that a run begins on; for ``lora`` it is given its factors first."""
    if which == LORA:
        add_factors(model, lora_rank, seed)
    return list(trained_parameters(model, which).values())
