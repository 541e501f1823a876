"""Diffusers pipelines from a folder or the hub, as base models: what their files say, and whether they fit a data set.

Reading costs no torch: JSON files, and the names and hashes of weights. Only safetensors are read, and no code that comes
with a model is ever run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainables.data import SIZES, Dataset
from trainables.denoisers import text_pipelines
from trainables.denoisers.json_files import read_json, sides, whole
from trainables.denoisers.layout import folder_of, scheduler_of
from trainables.denoisers.parts import (
    EDM_UNET,
    PARTS,
    PIPELINES,
    check_part,
    halves_to_fetch,
    to_fetch,
)
from trainables.denoisers.recipes import DIT, SD, UNET, Pretrained
from trainables.sampling.noise_schedule import EPSILON, NoiseSchedule, schedule_from


def read_pipeline(folder: str, source: str = "", commit: str = "", rows: tuple[int, ...] = ()) -> Pretrained:
    """What the pipeline in `folder` is. The digest is left out: see `hashed`. ValueError, one line, where it cannot be used."""
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"{source or folder}: no such folder")
    index = read_json(root / "model_index.json", "not a diffusers pipeline; save one with DDIMPipeline.save_pretrained")
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in PIPELINES:  # a list names code of the pipeline's own
        raise ValueError(f"{root / 'model_index.json'}: {name} is none of {', '.join(PIPELINES)}")
    kind = PIPELINES[name]
    for part, of in PARTS[kind].items():
        check_part(root, part, of, index.get(part))
    model = read_json(folder_of(root, kind) / "config.json", "the pipeline's denoiser is not there")
    where = scheduler_of(root)
    scheduler = read_json(where, "the pipeline's scheduler is not there")
    try:
        schedule = schedule_from(scheduler)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None
    if kind == UNET:
        about = _edm(root, model, schedule) if model.get("_class_name") == EDM_UNET else _unet(root, model)
    elif kind == DIT:
        about = _dit(root, model)
    else:
        about = text_pipelines.about(root, kind, index, model)
    if kind == SD:
        schedule, notes = text_pipelines.as_the_pipeline_has_it(schedule)
        about["notes"] += notes
    if rows and not about["classes"]:
        what = "an unconditional" if kind == UNET else "a text-to-image"
        raise ValueError(f"{source or folder}: {what} model has no classes to choose from")
    if rows and max(rows) >= (classes := about["classes"] - about["null"]):
        raise ValueError(f"{source or folder}: class {max(rows)} is asked for, but it has 0 to {classes - 1}")
    return Pretrained(source or folder, str(root), kind, schedule=schedule, commit=commit, rows=rows, **about)


def fitted(pretrained: Pretrained, dataset: Dataset) -> Pretrained:
    """The pipeline as the base model of a data set; ValueError, one line, where the two do not fit.

    A UNet's class embedding may or may not end with a null row: it does where it has one row more than there are
    conditions, and, where only some of its classes are taken, never. A text-to-image model is for a data set of prompts; where
    there are no images of any, the images are as large as the model's.
    """
    where = pretrained.source
    if pretrained.on_prompts != bool(dataset.prompts):
        whose = "it is told prompts" if pretrained.on_prompts else "it is told no prompts"
        raise ValueError(
            f"{where}: {whose}, but the conditions of {dataset.name} are {'prompts' if dataset.prompts else 'none'}"
        )
    if pretrained.on_prompts:
        text_pipelines.check_installed(where)
    no_images = bool(dataset.imaged) and not any(dataset.imaged)
    if pretrained.on_prompts and no_images:
        return pretrained
    if pretrained.image_shape != dataset.shape:
        whose = " of its VAE's images" if pretrained.in_latents else ""
        raise ValueError(
            f"{where}: it makes {_size(pretrained.image_shape)}{whose}, but {dataset.name} has {_size(dataset.shape)}"
            f"{_mend(pretrained.image_shape, dataset.shape)}"
        )
    if pretrained.on_prompts:
        return pretrained
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

    def fetched(names: Iterable[str], revision: str) -> Path:
        return Path(snapshot_download(source, revision=revision or None, allow_patterns=list(names)))

    try:
        folder = fetched(["model_index.json"], revision)
        commit = folder.name  # a snapshot's folder is named for its commit
        kind = _kind_of(folder)
        if kind:
            folder = fetched(to_fetch(kind), commit)
            if halves := halves_to_fetch(folder, kind):
                folder = fetched(halves, commit)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{source}: neither a folder nor to be had from the hub ({type(error).__name__}: {reason})"
        ) from None
    return str(folder), commit


def at_hand(source: str, revision: str = "") -> str:
    """The folder that a pipeline can be read from now, without a network: its own, or a hub id's snapshot; "" where none is cached.

    One that is cached in part counts for none: `located` fetches the rest, and says what cannot be used.
    """
    if Path(source).is_dir() or not is_hub_id(source):
        return source
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        index = try_to_load_from_cache(source, "model_index.json", revision=revision or None)
        folder = str(Path(index).parent) if isinstance(index, str) else ""
        return folder if folder and read_pipeline(folder) else ""
    except (HFValidationError, ValueError):
        return ""


def _kind_of(folder: Path) -> str:
    """The kind of a pipeline by its ``model_index.json``; empty where it is none that can be taken, which `read_pipeline` says."""
    try:
        name = read_json(folder / "model_index.json", "").get("_class_name")
    except ValueError:
        return ""
    return PIPELINES.get(name, "") if isinstance(name, str) else ""


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
    channels, out = whole(config, "in_channels", 3, where), whole(config, "out_channels", 3, where)
    if channels != out:
        raise ValueError(
            f"{where}: {channels} channels in and {out} out: a UNet with learned variances cannot be taken"
        )
    shape = (channels, *sides(config, where))
    classes = whole(config, "num_class_embeds", 0, where)
    return {"shape": shape, "image_shape": shape, "classes": classes, "null": False}


def _edm(root: Path, config: dict[str, Any], schedule: NoiseSchedule) -> dict[str, Any]:
    """An EDM network, which has the schedule that it gives ε on in its own file too."""
    where = folder_of(root, UNET) / "config.json"
    for name in ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end"):
        if config.get(name) != getattr(schedule, name) or schedule.trained_betas or schedule.prediction_type != EPSILON:
            raise ValueError(
                f"{where}: its {name} is not the scheduler's: its ε is right on one schedule alone; import the checkpoint again"
            )
    channels, classes = whole(config, "in_channels", 3, where), whole(config, "num_class_embeds", 0, where)
    shape = (channels, *sides(config, where))
    return {"shape": shape, "image_shape": shape, "classes": classes, "null": False}


def _dit(root: Path, config: dict[str, Any]) -> dict[str, Any]:
    vae = read_json(root / "vae" / "config.json", "the pipeline's VAE is not there")
    where = root / DIT / "config.json"
    channels, size = whole(config, "in_channels", 4, where), whole(config, "sample_size", 32, where)
    out = whole(config, "out_channels", channels, where)
    if out not in (channels, 2 * channels):
        raise ValueError(f"{where}: {channels} channels in and {out} out is no DiT's")
    latent = whole(vae, "latent_channels", 4, root / "vae" / "config.json")
    if latent != channels:
        raise ValueError(f"{root}: its transformer takes {channels} channels, but its VAE makes {latent}")
    side = size * 2 ** (len(vae.get("block_out_channels", [64])) - 1)
    classes = whole(config, "num_embeds_ada_norm", 1000, where) + 1  # diffusers appends the null class
    image_shape = (whole(vae, "in_channels", 3, root / "vae" / "config.json"), side, side)
    return {"shape": (channels, size, size), "image_shape": image_shape, "classes": classes, "null": True}


def _mend(asked: tuple[int, int, int], given: tuple[int, int, int]) -> str:
    """The words by which the data are read at the size of a model's images; none where no size would do."""
    channels, height, width = asked
    return f"; give --image-size {width}" if channels == given[0] and height == width and width in SIZES else ""


def _size(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{channels}×{height}×{width} images"
