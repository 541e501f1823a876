"""A diffusers pipeline's models as ours: read from safetensors, with a row for every condition of a data set.

A row is one of a class embedding; or of the table of the data set's prompts, encoded by the pipeline's own text encoders.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel, UNet2DModel
from safetensors import SafetensorError

from trainables.data import Dataset
from trainables.denoisers.dit import DiT, class_tables
from trainables.denoisers.edm_unet import EDMUNet
from trainables.denoisers.encoding import encoded_prompts
from trainables.denoisers.json_files import read_json
from trainables.denoisers.layout import folder_of
from trainables.denoisers.models import AttributeEmbedding, model_facts, plain_config
from trainables.denoisers.parts import EDM_UNET, PARTS, TRANSFORMERS, variant_in
from trainables.denoisers.prompts import KIND, Prompts, load_prompts, put_prompts
from trainables.denoisers.recipes import DIT, SDXL, UNET, Pretrained
from trainables.denoisers.text_pipelines import check_installed
from trainables.denoisers.text_unet import STOCK, TextUNet, with_prompts
from trainables.denoisers.weights import weights_of
from trainables.store import Artifact, Store, artifact_key, code_version

_READ: dict[str, Any] = {"local_files_only": True, "output_loading_info": True}
_READ_BY: dict[
    str, dict[str, Any]
] = {  # by the library whose class it is: everything in float32, whatever the files are in
    "diffusers": {"torch_dtype": torch.float32, "low_cpu_mem_usage": False},
    TRANSFORMERS: {"dtype": torch.float32},
}


def put_pretrained(
    store: Store,
    key: str,
    kind: str,
    pretrained: Pretrained,
    dataset: Dataset,
    facts: dict[str, Any],
    vae_key: str = "",
    parts: Mapping[str, str] | None = None,
) -> Artifact:
    """Copy a pipeline's denoiser into the store under `key`, and its VAE under `vae_key`, where one is given.

    Of a text-to-image pipeline the table of the data set's prompts is made too. `parts` are the keys of what else it is made of.
    """
    if vae_key:  # first: the model's artifact says that all is there
        put_vae(store, vae_key, pretrained)
    if pretrained.on_prompts:
        prompts = load_prompts(make_prompts(store, pretrained, dataset))
        model: torch.nn.Module = imported_text_unet(pretrained, prompts)
    else:
        model = imported_model(pretrained, dataset)
    return store.put(key, kind, model_facts(model, pretrained, parts) | facts, weights_of(model))


def put_vae(store: Store, key: str, pretrained: Pretrained) -> Artifact:
    """Copy the VAE of a pipeline of latents into the store."""
    vae = imported_vae(pretrained)
    return store.put(key, "vae", {"vae": plain_config(vae)}, weights_of(vae))


def prompts_key(pretrained: Pretrained, dataset: Dataset) -> str:
    """Key of the table of a data set's prompts, as a pipeline's text encoders encode them: on the CPU, wherever trials run."""
    config = {
        "texts": dataset.prompts,
        "encoders": pretrained.text_digest,
        "zeros_for_empty": pretrained.zeros_for_empty,
        "pixels": pretrained.image_shape[1:] if pretrained.kind == SDXL else None,
    }
    return artifact_key(KIND, config, {}, code_version(__name__))


def make_prompts(store: Store, pretrained: Pretrained, dataset: Dataset) -> Artifact:
    """The table of a data set's prompts, found or made; the text encoders are read for it and are gone afterwards."""
    key = prompts_key(pretrained, dataset)
    if artifact := store.whole(key):
        return artifact
    prompts = imported_prompts(pretrained, dataset.prompts)
    most = prompts.tokens.shape[1]
    facts = {
        "prompts": list(dataset.prompts),
        "encoders": pretrained.text_digest,
        "zeros_for_empty": pretrained.zeros_for_empty,
        "full": [text for text, real in zip(dataset.prompts, prompts.real, strict=False) if real == most],
    }
    return put_prompts(store, key, prompts, facts)


def imported_prompts(pretrained: Pretrained, texts: tuple[str, ...]) -> Prompts:
    """The table of `texts` and then the empty prompt. ValueError where transformers, an extra, is not installed."""
    tokenizers, encoders = imported_encoders(pretrained)
    height, width = pretrained.image_shape[1:]
    try:
        return encoded_prompts(texts, tokenizers, encoders, (height, width), pretrained.zeros_for_empty)
    except ValueError as error:
        raise ValueError(f"{pretrained.source}: {error}") from None


def imported_encoders(pretrained: Pretrained) -> tuple[list[Any], list[Any]]:
    """(tokenizers, text encoders) of a text-to-image pipeline, one of each or two, on the CPU, in evaluation mode."""
    check_installed(pretrained.source)
    import transformers

    transformers.utils.logging.disable_progress_bar()
    parts = PARTS[pretrained.kind]
    names = [name for name in parts if name.startswith("text_encoder")]
    tokenizers = [_tokenizer(pretrained, name.replace("text_encoder", "tokenizer")) for name in names]
    kinds = [getattr(transformers, parts[name].classes[0]) for name in names]
    encoders = [_read(kind, pretrained, name) for kind, name in zip(kinds, names, strict=True)]
    return tokenizers, [encoder.eval() for encoder in encoders]


def imported_text_unet(pretrained: Pretrained, prompts: Prompts) -> TextUNet:
    """The pipeline's U-Net, told rows of a table of prompts."""
    return with_prompts(_read(STOCK, pretrained, pretrained.kind), prompts)


def imported_model(pretrained: Pretrained, dataset: Dataset) -> torch.nn.Module:
    """The pipeline's denoiser with one row a condition and then the null row; `pretrained` fits the data set.

    A UNet without a null row gets one, the mean of its class rows: methods that ask for the null condition find something
    there, and nothing is ever dropped to it by the recipe.
    """
    if pretrained.kind == DIT:
        return _dit(pretrained)
    declared = read_json(_folder(pretrained, UNET) / "config.json", "the pipeline's denoiser is not there")
    model = _read(EDMUNet if declared.get("_class_name") == EDM_UNET else UNet2DModel, pretrained, UNET)
    if not pretrained.classes:
        return model
    table = model.class_embedding.weight.detach()
    classes = table[: dataset.conditions] if not pretrained.rows else table[list(pretrained.rows)]
    null = table[dataset.conditions :] if pretrained.null else classes.mean(dim=0, keepdim=True)
    table = torch.cat([classes, null])
    ours = type(model)(**plain_config(model) | {"num_class_embeds": len(table)})
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
    where, folder = f"{pretrained.source}: {part}", _folder(pretrained, part)
    of = PARTS[pretrained.kind].get(part) or next(iter(PARTS[pretrained.kind].values()))
    variant = variant_in(folder, of.weights)
    try:
        how = {"variant": variant, **_READ, **_READ_BY[of.library]}
        model, loading = kind.from_pretrained(folder, use_safetensors=True, **how)
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


def _folder(pretrained: Pretrained, part: str) -> Path:
    """Where a part of the pipeline lies; ValueError where it is gone since it was looked at."""
    folder = folder_of(Path(pretrained.folder), part)
    if not folder.is_dir():
        raise ValueError(f"{pretrained.source}: {folder} is not there any more; put the pipeline back")
    return folder


def _tokenizer(pretrained: Pretrained, part: str) -> Any:
    """A tokenizer of the pipeline; ValueError where its files are damaged."""
    from transformers import CLIPTokenizer

    folder = _folder(pretrained, part)
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises plain Exceptions
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise ValueError(f"{pretrained.source}: {part} cannot be read ({type(error).__name__}: {reason})") from error


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
