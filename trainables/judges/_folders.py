"""Folders of models in Hugging Face's layout, as judges read them: from this machine alone, and nothing that runs code."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

CONFIG, PROCESSOR, WEIGHTS = "config.json", "preprocessor_config.json", "model.safetensors"
LATER_PROCESSOR = "processor_config.json"  # goes before the other where both are there
INSTALL = "pip install -c constraints.txt -e '.[text2image]'"
BATCH = 64  # images at a time


def read_json(place: Path, name: str) -> dict[str, Any]:
    """A JSON file of a folder; ValueError where it is missing, is none, or names code of its own."""
    file = require(place, name)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: is no JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{file}: holds no settings by name")
    if "auto_map" in values:
        raise ValueError(f"{file}: names code of its own (auto_map), which is not run")
    return values


def require(place: Path, *names: str) -> Path:
    """The first of these files that a folder holds; ValueError where there is none."""
    if not place.is_dir():
        raise ValueError(f"{place}: no such folder")
    for name in names:
        if (place / name).is_file():
            return place / name
    raise ValueError(f"{place}: {' or '.join(names)} is missing")


def processors_in(place: Path) -> tuple[str, ...]:
    """The files of a folder that say how images are prepared; ValueError where there is none."""
    require(place, PROCESSOR, LATER_PROCESSOR)
    return tuple(name for name in (PROCESSOR, LATER_PROCESSOR) if (place / name).is_file())


def weights_in(place: Path) -> tuple[str, ...]:
    """The names of a folder's weights, one file or, by its index, several; ValueError where there are none in safetensors."""
    index = f"{WEIGHTS}.index.json"
    if (place / WEIGHTS).is_file() or not (place / index).is_file():  # as transformers chooses where both lie there
        require(place, WEIGHTS)
        return (WEIGHTS,)
    shard_of = read_json(place, index).get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise ValueError(f"{place / index}: has no weight_map that says which weights lie in which file")
    shards = sorted(set(map(str, shard_of.values())))
    for name in shards:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"{place / index}: {name!r} is no .safetensors file beside it")
        require(place, name)
    return (index, *shards)


def require_transformers(judge: str) -> None:
    """ValueError with the command that installs it where it is missing."""
    if importlib.util.find_spec("transformers") is None:
        raise ValueError(f"judge {judge!r} needs transformers, not installed here: {INSTALL}")


def load_quietly(kind: str, place: Path) -> Any:
    """The model of a folder by a class of transformers, in float32 for evaluation, without a bar of progress for each."""
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = getattr(transformers, kind).from_pretrained(
        place, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    return model.float().eval().requires_grad_(False)


def preprocessing(place: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """From images (N, C, H, W) in [-1, 1] to what the folder's model takes, as its own image processor makes it."""
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(place, local_files_only=True, trust_remote_code=False)

    def pixel_values(images: torch.Tensor) -> torch.Tensor:
        coloured = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1)
        return processor(images=list(coloured), return_tensors="pt", input_data_format="channels_first")["pixel_values"]

    return pixel_values
