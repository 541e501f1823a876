"""A diffusers pipeline's models as ours: read from safetensors, with a class row for every condition of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel, UNet2DModel
from safetensors import SafetensorError

from trainables.data import Dataset
from trainables.denoisers.dit import DiT, class_tables
from trainables.denoisers.layout import folder_of
from trainables.denoisers.models import AttributeEmbedding, build, model_facts, plain_config
from trainables.denoisers.recipes import DIT, UNET, Pretrained
from trainables.denoisers.weights import weights_of
from trainables.store import Artifact, Store

_READ: dict[str, Any] = {
    "local_files_only": True,
    "low_cpu_mem_usage": False,
    "torch_dtype": torch.float32,
    "output_loading_info": True,
}


def put_pretrained(
    store: Store,
    key: str,
    kind: str,
    pretrained: Pretrained,
    dataset: Dataset,
    facts: dict[str, Any],
    vae_key: str = "",
) -> Artifact:
    """Copy a pipeline's denoiser into the store under `key`, and its VAE under `vae_key`, where one is given."""
    if vae_key:  # first: the model's artifact says that all is there
        vae = imported_vae(pretrained)
        store.put(vae_key, "vae", {"vae": plain_config(vae)}, weights_of(vae))
    model = imported_model(pretrained, dataset)
    return store.put(key, kind, model_facts(model, pretrained) | facts, weights_of(model))


def imported_model(pretrained: Pretrained, dataset: Dataset) -> torch.nn.Module:
    """The pipeline's denoiser with one row a condition and then the null row; `pretrained` fits the data set.

    A UNet without a null row gets one, the mean of its class rows: methods that ask for the null condition find something
    there, and nothing is ever dropped to it by the recipe.
    """
    if pretrained.kind == DIT:
        return _dit(pretrained)
    model = _read(UNet2DModel, pretrained, UNET)
    if not pretrained.classes:
        return model
    table = model.class_embedding.weight.detach()
    classes = table[: dataset.conditions] if not pretrained.rows else table[list(pretrained.rows)]
    null = table[dataset.conditions :] if pretrained.null else classes.mean(dim=0, keepdim=True)
    table = torch.cat([classes, null])
    ours = build(plain_config(model) | {"num_class_embeds": len(table)})
    ours.load_state_dict(dict(model.state_dict()) | {"class_embedding.weight": table})
    return _with_attributes(ours, len(dataset.attributes)) if dataset.attributes else ours


def imported_vae(pretrained: Pretrained) -> AutoencoderKL:
    """The VAE of a pipeline of latents."""
    return _read(AutoencoderKL, pretrained, "vae")


def bits_of(codes: int, attributes: int) -> torch.Tensor:
    """(codes, attributes + 1) float: the bits of 0, 1, …, the null condition's last."""
    return (torch.arange(codes)[:, None] >> torch.arange(attributes + 1) & 1).float()


def _read(kind: Any, pretrained: Pretrained, part: str) -> Any:
    """A part of the pipeline. ValueError where its files are damaged, or lack weights: diffusers would make some up."""
    where, folder = f"{pretrained.source}: {part}", folder_of(Path(pretrained.folder), part)
    try:
        model, loading = kind.from_pretrained(folder, use_safetensors=True, **_READ)
    except (OSError, RuntimeError, ValueError, TypeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{where} cannot be read ({type(error).__name__}: {reason})") from error
    if missing := sorted(loading["missing_keys"]):
        raise ValueError(
            f"{where} lacks {len(missing)} of its weights, {missing[0]} among them; save the pipeline again"
        )
    broken = [name for name, weights in model.state_dict().items() if not torch.isfinite(weights).all()]
    if broken:
        raise ValueError(f"{where} has weights that are no finite numbers, in {broken[0]}; it makes nothing")
    return model


def _with_attributes(model: UNet2DModel, attributes: int) -> UNet2DModel:
    """A model of attributes that was saved as a table of all their vectors gets its embedding back; any other keeps its table."""
    table = model.class_embedding.weight.detach()
    rows = table[[1 << bit for bit in range(attributes + 1)]]
    if not torch.allclose(bits_of(len(table), attributes) @ rows, table, rtol=1e-4, atol=1e-5):
        return model
    embedding = AttributeEmbedding(attributes, table.shape[1])
    with torch.no_grad():
        embedding.rows.weight.copy_(rows.T)
    model.class_embedding = embedding
    return model


def _dit(pretrained: Pretrained) -> DiT:
    theirs = _read(DiTTransformer2DModel, pretrained, DIT)
    config, state = plain_config(theirs), theirs.state_dict()
    if pretrained.rows:
        null = config["num_embeds_ada_norm"]
        config["num_embeds_ada_norm"] = len(pretrained.rows)
        for name in class_tables(theirs):
            state[f"{name}.embedding_table.weight"] = state[f"{name}.embedding_table.weight"][[*pretrained.rows, null]]
    model = DiT(**config)
    model.load_state_dict(state)
    return model
