"""Diffusers pipelines from a folder or the hub, as base models: what their files say, and whether they fit a data set.

Reading costs no torch: JSON files, and the names and hashes of weights. Only safetensors are read, and no code that comes
with a model is ever run.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainables.data import Dataset
from trainables.denoisers.recipes import DIT, UNET, Pretrained
from trainables.sampling.noise_schedule import schedule_from

PIPELINES = {"DDPMPipeline": UNET, "DDIMPipeline": UNET, "DiTPipeline": DIT}
_CLASSES = {
    UNET: ("UNet2DModel",),
    DIT: ("DiTTransformer2DModel", "Transformer2DModel"),  # the latter is what DiT was called in older files
    "vae": ("AutoencoderKL",),
}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".msgpack")


def read_pipeline(folder: str, source: str = "", commit: str = "", rows: tuple[int, ...] = ()) -> Pretrained:
    """What the pipeline in `folder` is. The digest is left out: see `hashed`. ValueError, one line, where it cannot be used."""
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"{source or folder}: no such folder")
    index = _json(root / "model_index.json", "not a diffusers pipeline; save one with DDIMPipeline.save_pretrained")
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in PIPELINES:  # a list names code of the pipeline's own
        raise ValueError(f"{root / 'model_index.json'}: {name} is none of {', '.join(PIPELINES)}")
    kind = PIPELINES[name]
    parts = (kind,) if kind == UNET else (kind, "vae")
    for part in parts:
        _check_part(root, part, index.get(part))
    model = _json(root / kind / "config.json", "the pipeline's denoiser is not there")
    scheduler = _json(root / "scheduler" / "scheduler_config.json", "the pipeline's scheduler is not there")
    try:
        schedule = schedule_from(scheduler)
    except ValueError as error:
        raise ValueError(f"{root / 'scheduler'}: {error}") from None
    about = _unet(root, model) if kind == UNET else _dit(root, model)
    if rows and not about["classes"]:
        raise ValueError(f"{source or folder}: an unconditional model has no classes to choose from")
    if rows and max(rows) >= (classes := about["classes"] - about["null"]):
        raise ValueError(f"{source or folder}: class {max(rows)} is asked for, but it has 0 to {classes - 1}")
    return Pretrained(source or folder, str(root), kind, schedule=schedule, commit=commit, rows=rows, **about)


def fitted(pretrained: Pretrained, dataset: Dataset) -> Pretrained:
    """The pipeline as the base model of a data set; ValueError, one line, where the two do not fit.

    A UNet's class embedding may or may not end with a null row: it does where it has one row more than there are
    conditions, and, where only some of its classes are taken, never.
    """
    where = pretrained.source
    if pretrained.image_shape != dataset.shape:
        told = " of its VAE's images" * pretrained.in_latents
        raise ValueError(
            f"{where}: it makes {_size(pretrained.image_shape)}{told}, but {dataset.name} has {_size(dataset.shape)}"
        )
    conditions = len(pretrained.rows) or dataset.conditions
    if pretrained.rows and len(pretrained.rows) != dataset.conditions:
        raise ValueError(
            f"{where}: {len(pretrained.rows)} classes are chosen, but {dataset.name} has {dataset.conditions} conditions"
        )
    if dataset.unconditional and pretrained.classes:
        raise ValueError(f"{where}: it is class-conditional, but {dataset.name} has no conditions")
    if not dataset.unconditional and not pretrained.classes:
        raise ValueError(f"{where}: it is unconditional, but {dataset.name} has {dataset.conditions} conditions")
    if dataset.unconditional or pretrained.rows:
        return pretrained
    own = pretrained.classes - pretrained.null
    if pretrained.kind == UNET and own == conditions + 1:
        return replace(pretrained, null=True)
    if own != conditions:
        raise ValueError(
            f"{where}: it has {own} classes, but {dataset.name} has {conditions} conditions; "
            f"say which of its classes they are, or take a data set with as many"
        )
    return pretrained


def hashed(pretrained: Pretrained) -> Pretrained:
    """The same with the SHA-256 of all files it is made of, names included."""
    root, digest = Path(pretrained.folder), hashlib.sha256()
    for file in files_of(root, pretrained.kind):
        with file.open("rb") as stream:
            digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return replace(pretrained, digest=digest.hexdigest())


def files_of(root: Path, kind: str) -> list[Path]:
    """The files a pipeline's figures depend on: its configurations and the weights that are read."""
    parts = [kind] if kind == UNET else [kind, "vae"]
    weights = [file for part in parts for file in _weights(root / part)]
    return sorted(
        [*(root / part / "config.json" for part in parts), root / "scheduler/scheduler_config.json", *weights]
    )


def located(source: str, revision: str = "") -> tuple[str, str]:
    """(folder, commit) of a pipeline: the folder itself with no commit, or a hub id's snapshot, fetched where it is not cached.

    ValueError where the hub has no such thing or cannot be reached.
    """
    if Path(source).is_dir() or not is_hub_id(source):
        if revision:
            raise ValueError(f"{source}: a revision is of a hub id, and this is a folder")
        return source, ""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["model_index.json", "*/config.json", "*/scheduler_config.json", "*/*.safetensors", "*/*.index.json"]
    try:
        folder = snapshot_download(source, revision=revision or None, allow_patterns=patterns)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{source}: neither a folder nor to be had from the hub ({type(error).__name__}: {reason})"
        ) from None
    return folder, Path(folder).name  # a snapshot's folder is named for its commit


def is_hub_id(source: str) -> bool:
    """Whether `source` can be a hub's ``owner/name``: what is no path that looks like one."""
    return not source.startswith((".", "/", "~")) and source.count("/") == 1 and not source.endswith("/")


def _unet(root: Path, config: dict[str, Any]) -> dict[str, Any]:
    where = root / UNET / "config.json"
    if config.get("class_embed_type"):
        raise ValueError(
            f"{where}: class_embed_type {config['class_embed_type']!r}: only num_class_embeds is known here"
        )
    channels, out = config.get("in_channels", 3), config.get("out_channels", 3)
    if channels != out:
        raise ValueError(
            f"{where}: {channels} channels in and {out} out: a UNet with learned variances cannot be taken"
        )
    size = config.get("sample_size")
    if size is None:
        raise ValueError(f"{where}: it names no sample_size, so nobody can say which images it is for")
    height, width = (size, size) if isinstance(size, int) else size
    shape = (channels, height, width)
    return {"shape": shape, "image_shape": shape, "classes": config.get("num_class_embeds") or 0, "null": False}


def _dit(root: Path, config: dict[str, Any]) -> dict[str, Any]:
    vae = _json(root / "vae" / "config.json", "the pipeline's VAE is not there")
    channels, size = config.get("in_channels", 4), config.get("sample_size", 32)
    out = config.get("out_channels") or channels
    if out not in (channels, 2 * channels):
        raise ValueError(f"{root / DIT / 'config.json'}: {channels} channels in and {out} out is no DiT's")
    latent = vae.get("latent_channels", 4)
    if latent != channels:
        raise ValueError(f"{root}: its transformer takes {channels} channels, but its VAE makes {latent}")
    side = size * 2 ** (len(vae.get("block_out_channels", [64])) - 1)
    classes = (config.get("num_embeds_ada_norm") or 1000) + 1  # diffusers appends the null class
    image_shape = (vae.get("in_channels", 3), side, side)
    return {"shape": (channels, size, size), "image_shape": image_shape, "classes": classes, "null": True}


def _check_part(root: Path, part: str, declared: Any) -> None:
    where = root / "model_index.json"
    if not isinstance(declared, list) or len(declared) != 2 or declared[0] != "diffusers":
        raise ValueError(
            f"{where}: {part} is {declared}, not one of diffusers' own classes: code of a model is never run"
        )
    if declared[1] not in _CLASSES[part]:
        raise ValueError(f"{where}: {part} is a {declared[1]}; known: {', '.join(_CLASSES[part])}")
    if _weights(root / part):
        return
    pickles = sorted(f.name for f in (root / part).glob("*") if f.suffix in _PICKLES)
    if not pickles:
        raise ValueError(f"{root / part}: no safetensors weights in it")
    name = _CLASSES[part][0]
    raise ValueError(
        f"{root / part}: its weights are pickles ({', '.join(pickles)}), which can run code and are not read; where you trust "
        f"them, convert: {name}.from_pretrained('{root / part}').save_pretrained('{root / part}')"
    )


def _weights(folder: Path) -> list[Path]:
    """The safetensors that `from_pretrained` reads: one file, or shards with their index. Variants such as fp16 are not."""
    one, index = (folder / f"diffusion_pytorch_model.safetensors{suffix}" for suffix in ("", ".index.json"))
    if one.is_file():
        return [one]
    if not index.is_file():
        return []
    shards = sorted(set(_json(index, "").get("weight_map", {}).values()))
    if odd := [name for name in shards if not re.fullmatch(r"\w[\w.-]*\.safetensors", str(name))]:
        raise ValueError(f"{index}: names {odd[0]!r}, which is no safetensors file beside it; it is not read")
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder}: its index names {missing[0]}, which is not there")
    return [index, *(folder / name for name in shards)]


def _json(path: Path, without: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file: {without}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: not a JSON object")
    return found


def _size(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{channels}×{height}×{width} images"
