"""The parts of the pipelines that can be taken: their classes, a closed list, and the files of each that are read.

Only safetensors are read, and no code that comes with a model is ever run. What is in no list, a safety checker or an image
encoder, is not loaded, nor downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.denoisers.json_files import read_json
from trainables.denoisers.layout import folder_of, scheduler_of
from trainables.denoisers.recipes import DIT, SD, SDXL, UNET

DIFFUSERS, TRANSFORMERS = "diffusers", "transformers"
FP16 = "fp16"  # the variant that is taken where there is no other
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".msgpack")
_SHARD = r"\w[\w.-]*\.safetensors"


@dataclass(frozen=True)
class Part:
    """One part of a pipeline: whose classes it may be of, and what its file of weights is called; a tokenizer has none.

    `here` is the module and the class of this project's own that it may be of instead, as diffusers declares one.
    """

    library: str
    classes: tuple[str, ...]
    weights: str = "diffusion_pytorch_model"
    here: tuple[str, ...] = ()


_VAE = Part(DIFFUSERS, ("AutoencoderKL",))
_CLIP = Part(TRANSFORMERS, ("CLIPTextModel",), "model")
_CLIP_WITH_PROJECTION = Part(TRANSFORMERS, ("CLIPTextModelWithProjection",), "model")
_TOKENIZER = Part(TRANSFORMERS, ("CLIPTokenizer", "CLIPTokenizerFast"), "")
_STABLE_DIFFUSION = {
    UNET: Part(DIFFUSERS, ("UNet2DConditionModel",)),
    "vae": _VAE,
    "text_encoder": _CLIP,
    "tokenizer": _TOKENIZER,
}

_DIT = Part(
    DIFFUSERS, ("DiTTransformer2DModel", "Transformer2DModel")
)  # the latter is what DiT was called in older files

EDM_UNET = "EDMUNet"

PARTS: dict[str, dict[str, Part]] = {  # by a pipeline's kind; the first part of each is the denoiser
    UNET: {UNET: Part(DIFFUSERS, ("UNet2DModel",), here=("trainables.denoisers.edm_unet", EDM_UNET))},
    DIT: {DIT: _DIT, "vae": _VAE},
    SD: _STABLE_DIFFUSION,
    SDXL: _STABLE_DIFFUSION | {"text_encoder_2": _CLIP_WITH_PROJECTION, "tokenizer_2": _TOKENIZER},
}
PIPELINES = {  # the kinds, by what ``model_index.json`` calls them
    "DDPMPipeline": UNET,
    "DDIMPipeline": UNET,
    "DiTPipeline": DIT,
    "StableDiffusionPipeline": SD,
    "StableDiffusionXLPipeline": SDXL,
}

_IN_TWO = {"vocab.json", "merges.txt"}  # a tokenizer's words in two files, as CLIP's own are, …
_IN_ONE = {"tokenizer.json"}  # … or in one, as transformers has written them since version 5
_ABOUT_WORDS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def check_part(root: Path, name: str, part: Part, declared: Any) -> None:
    """ValueError unless ``model_index.json`` declares the part as one of its classes and its files are in its folder."""
    where = root / "model_index.json"
    if part.here and declared == list(part.here):
        declared = [part.library, part.classes[0]]
    if not isinstance(declared, list) or len(declared) != 2 or declared[0] not in (DIFFUSERS, TRANSFORMERS):
        if declared is None or declared == [None, None]:
            raise ValueError(f"{where}: it has no {name}, and a pipeline of this class cannot do without")
        whose = "diffusers' own classes" if part.library == DIFFUSERS else "the classes that are known"
        raise ValueError(f"{where}: {name} is {declared}, not one of {whose}: code of a model is never run")
    if declared[1] not in part.classes or declared[0] != part.library:
        raise ValueError(f"{where}: {name} is a {declared[1]}; known: {', '.join(part.classes)}")
    folder = folder_of(root, name)
    if not part.weights:
        tokenizer_files(folder)
    elif not weights_in(folder, part.weights):
        raise ValueError(_without_weights(folder, part))


def _without_weights(folder: Path, part: Part) -> str:
    pickles = sorted(f.name for f in folder.glob("*") if f.suffix in _PICKLES)
    if not pickles:
        return f"{folder}: no safetensors weights in it"
    return (
        f"{folder}: its weights are pickles ({', '.join(pickles)}), which can run code and are not read; where you trust "
        f"them, convert: {part.classes[0]}.from_pretrained('{folder}').save_pretrained('{folder}')"
    )


def files_of(root: Path, parts: Mapping[str, Part]) -> list[Path]:
    """The files that these parts are read from: configurations, weights, and a tokenizer's words."""
    files = []
    for name, part in parts.items():
        folder = folder_of(root, name)
        if part.weights:
            files += [folder / "config.json", *weights_in(folder, part.weights)]
        else:
            files += tokenizer_files(folder)
    return sorted(files)


def all_files(root: Path, kind: str) -> list[Path]:
    """The files that a pipeline's figures depend on."""
    return sorted([*files_of(root, PARTS[kind]), scheduler_of(root)])


def weights_in(folder: Path, name: str) -> list[Path]:
    """The safetensors that are read: one file, or shards with their index; in half precision only where there is nothing else."""
    one, index = folder / f"{name}.safetensors", folder / f"{name}.safetensors.index.json"
    if one.is_file():
        return [one]
    if index.is_file():
        return [index, *_shards(folder, index)]
    half = folder / f"{name}.{FP16}.safetensors"
    return [half] if half.is_file() else []


def denoiser_weights(root: Path, kind: str) -> list[Path]:
    """The safetensors of a pipeline's denoiser that are read, without the index of shards."""
    name, part = next(iter(PARTS[kind].items()))
    return [file for file in weights_in(folder_of(root, name), part.weights) if file.suffix == ".safetensors"]


def variant_in(folder: Path, name: str) -> str | None:
    """What ``from_pretrained`` must be told to read `weights_in`: the variant, if it is one."""
    return FP16 if [file.name for file in weights_in(folder, name)] == [f"{name}.{FP16}.safetensors"] else None


def tokenizer_files(folder: Path) -> list[Path]:
    """A tokenizer's words and what says how they are used. ValueError, one line, where some of it is not there."""
    there = {file.name for file in folder.glob("*")} if folder.is_dir() else set()
    words = (_IN_ONE if there >= _IN_ONE else set()) | (_IN_TWO if there >= _IN_TWO else set())
    if not words:
        raise ValueError(
            f"{folder}: no tokenizer in it; neither tokenizer.json nor vocab.json and merges.txt are there, "
            f"and without its words no prompt can be read"
        )
    if _ABOUT_WORDS[0] not in there:
        raise ValueError(f"{folder}: no {_ABOUT_WORDS[0]} in it, which says how many tokens a prompt has")
    return sorted(folder / name for name in (words | {*_ABOUT_WORDS}) & there)


def to_fetch(kind: str) -> list[str]:
    """Patterns of what a pipeline of this kind is read from, by exact names: no half-precision twins, nothing of other parts."""
    names = ["scheduler/scheduler_config.json", "scheduler_config.json"]
    for folder, part in PARTS[kind].items():
        files = [*sorted(_IN_ONE | _IN_TWO), *_ABOUT_WORDS] if not part.weights else _fetched_weights(part.weights)
        names += [f"{folder}/{file}" for file in files]
        if kind == UNET:  # older pipelines have it in the root
            names += files
    return names


def halves_to_fetch(root: Path, kind: str) -> list[str]:
    """Of the parts that lack weights in a folder, the names of those in half precision, in case there are no others."""
    parts = {name: part for name, part in PARTS[kind].items() if part.weights}
    return [
        f"{name}/{part.weights}.{FP16}.safetensors"
        for name, part in parts.items()
        if not weights_in(folder_of(root, name), part.weights)
    ]


def _fetched_weights(name: str) -> list[str]:
    one = f"{name}.safetensors"
    return ["config.json", one, f"{one}.index.json", f"{name}-?????-of-?????.safetensors"]


def _shards(folder: Path, index: Path) -> list[Path]:
    shard_of = read_json(index, "").get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise ValueError(
            f"{index}: it has no weight_map that says which weights lie in which file; save the pipeline again"
        )
    shards = sorted(set(map(str, shard_of.values())))
    if odd := [name for name in shards if not re.fullmatch(_SHARD, str(name))]:
        raise ValueError(f"{index}: names {odd[0]!r}, which is no safetensors file beside it; it is not read")
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder}: its index names {missing[0]}, which is not there")
    return [folder / name for name in shards]
