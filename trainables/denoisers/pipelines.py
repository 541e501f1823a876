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
from trainables.denoisers.layout import folder_of, scheduler_of
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
    model = _json(folder_of(root, kind) / "config.json", "the pipeline's denoiser is not there")
    where = scheduler_of(root)
    scheduler = _json(where, "the pipeline's scheduler is not there")
    try:
        schedule = schedule_from(scheduler)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None
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
        whose = " of its VAE's images" if pretrained.in_latents else ""
        raise ValueError(
            f"{where}: it makes {_size(pretrained.image_shape)}{whose}, but {dataset.name} has {_size(dataset.shape)}"
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
    classes = pretrained.classes - pretrained.null
    if pretrained.kind == UNET and classes == conditions + 1:
        return replace(pretrained, null=True)
    if classes != conditions:
        raise ValueError(
            f"{where}: it has {classes} classes, but {dataset.name} has {conditions} conditions; "
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
    folders = [folder_of(root, part) for part in ([kind] if kind == UNET else [kind, "vae"])]
    weights = [file for folder in folders for file in _weights(folder)]
    return sorted([*(folder / "config.json" for folder in folders), scheduler_of(root), *weights])


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

    files = ("config.json", "scheduler_config.json", "*.safetensors", "*.index.json")
    patterns = ["model_index.json", *files, *(f"*/{file}" for file in files)]
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
    where = folder_of(root, UNET) / "config.json"
    embeds = config.get("time_embedding_type", "positional")
    if embeds != "positional":
        raise ValueError(
            f"{where}: time_embedding_type {embeds!r}: only models that are told t by its position can be taken"
        )
    if config.get("class_embed_type"):
        raise ValueError(
            f"{where}: class_embed_type {config['class_embed_type']!r}: only num_class_embeds is known here"
        )
    channels, out = _whole(config, "in_channels", 3, where), _whole(config, "out_channels", 3, where)
    if channels != out:
        raise ValueError(
            f"{where}: {channels} channels in and {out} out: a UNet with learned variances cannot be taken"
        )
    size = config.get("sample_size")
    if size is None:
        raise ValueError(f"{where}: it names no sample_size, so nobody can say which images it is for")
    sides = list(size) if isinstance(size, list | tuple) else [size, size]
    if len(sides) != 2:
        raise ValueError(f"{where}: sample_size {size!r} is neither a side nor a height and a width")
    # diffusers makes nothing of a UNet's sample_size, so that 32.0 loads; of other numbers it makes layers
    sides = [int(side) if isinstance(side, float) and side.is_integer() else side for side in sides]
    height, width = (_whole_number(side, "sample_size", where) for side in sides)
    shape = (channels, height, width)
    classes = _whole(config, "num_class_embeds", 0, where)
    return {"shape": shape, "image_shape": shape, "classes": classes, "null": False}


def _dit(root: Path, config: dict[str, Any]) -> dict[str, Any]:
    vae = _json(root / "vae" / "config.json", "the pipeline's VAE is not there")
    where = root / DIT / "config.json"
    channels, size = _whole(config, "in_channels", 4, where), _whole(config, "sample_size", 32, where)
    out = _whole(config, "out_channels", channels, where)
    if out not in (channels, 2 * channels):
        raise ValueError(f"{where}: {channels} channels in and {out} out is no DiT's")
    latent = _whole(vae, "latent_channels", 4, root / "vae" / "config.json")
    if latent != channels:
        raise ValueError(f"{root}: its transformer takes {channels} channels, but its VAE makes {latent}")
    side = size * 2 ** (len(vae.get("block_out_channels", [64])) - 1)
    classes = _whole(config, "num_embeds_ada_norm", 1000, where) + 1  # diffusers appends the null class
    image_shape = (_whole(vae, "in_channels", 3, root / "vae" / "config.json"), side, side)
    return {"shape": (channels, size, size), "image_shape": image_shape, "classes": classes, "null": True}


def _check_part(root: Path, part: str, declared: Any) -> None:
    where = root / "model_index.json"
    if not isinstance(declared, list) or len(declared) != 2 or declared[0] != "diffusers":
        raise ValueError(
            f"{where}: {part} is {declared}, not one of diffusers' own classes: code of a model is never run"
        )
    if declared[1] not in _CLASSES[part]:
        raise ValueError(f"{where}: {part} is a {declared[1]}; known: {', '.join(_CLASSES[part])}")
    folder = folder_of(root, part)
    if _weights(folder):
        return
    pickles = sorted(f.name for f in folder.glob("*") if f.suffix in _PICKLES)
    if not pickles:
        raise ValueError(f"{folder}: no safetensors weights in it")
    name = _CLASSES[part][0]
    raise ValueError(
        f"{folder}: its weights are pickles ({', '.join(pickles)}), which can run code and are not read; where you trust "
        f"them, convert: {name}.from_pretrained('{folder}').save_pretrained('{folder}')"
    )


def _weights(folder: Path) -> list[Path]:
    """The safetensors that `from_pretrained` reads: one file, or shards with their index. Variants such as fp16 are not."""
    one, index = (folder / f"diffusion_pytorch_model.safetensors{suffix}" for suffix in ("", ".index.json"))
    if one.is_file():
        return [one]
    if not index.is_file():
        return []
    shard_of = _json(index, "").get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise ValueError(
            f"{index}: it has no weight_map that says which weights lie in which file; save the pipeline again"
        )
    shards = sorted(set(map(str, shard_of.values())))
    if odd := [name for name in shards if not re.fullmatch(r"\w[\w.-]*\.safetensors", str(name))]:
        raise ValueError(f"{index}: names {odd[0]!r}, which is no safetensors file beside it; it is not read")
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder}: its index names {missing[0]}, which is not there")
    return [index, *(folder / name for name in shards)]


def _json(path: Path, without: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))  # with a byte order mark or without
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file: {without}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: not a JSON object")
    return values


def _whole(config: dict[str, Any], name: str, default: int, where: Path) -> int:
    """A whole number of a configuration, at least 0, the default where it is not there; ValueError for anything else."""
    value = config.get(name)
    return default if value is None else _whole_number(value, name, where)


def _whole_number(value: Any, name: str, where: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{where}: {name} is {value!r}, where a whole number belongs")
    return value


def _size(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{channels}×{height}×{width} images"
