"""What the files of a text-to-image pipeline say of it: Stable Diffusion 1.4, 1.5, 2.1, 2.1 for 768 pixels, and XL.

Whatever makes of its U-Net another one than these is refused: its inputs would be others, and its samples wrong without a word.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainables.denoisers.json_files import read_json, sides, whole
from trainables.denoisers.layout import folder_of
from trainables.denoisers.parts import PARTS, TRANSFORMERS, variant_in
from trainables.denoisers.recipes import SDXL
from trainables.sampling.noise_schedule import NoiseSchedule

INSTALL = "pip install -c constraints.txt -e '.[text2image]'"
_NEVER_LOADED = ("safety_checker", "feature_extractor", "image_encoder")
# What else a U-Net may be told than a prompt and t, by the option that says so.
_TOLD_MORE = ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type", "encoder_hid_dim", "time_cond_proj_dim")
_POSITIONS = 64 * 64  # of latents of 512×512 images, of which an attacker's batch holds 4
_TIME_NUMBERS = 6  # SDXL's height and width, offsets, height and width again


def about(root: Path, kind: str, index: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Fields of `Pretrained` from a pipeline's ``model_index.json`` and its U-Net's configuration.

    ValueError, one line, where it is no such U-Net, or its parts do not go together.
    """
    where = folder_of(root, kind) / "config.json"
    vae_file = root / "vae" / "config.json"
    vae = read_json(vae_file, "the pipeline's VAE is not there")
    channels = _channels(config, where)
    latent = whole(vae, "latent_channels", 4, vae_file)
    if latent != channels:
        raise ValueError(f"{root}: its U-Net takes {channels} channels, but its VAE makes {latent}")
    _check_vae(vae, vae_file)
    _check_told(root, kind, config, where)
    height, width = sides(config, where)
    factor = 2 ** (len(vae.get("block_out_channels", [64])) - 1)
    return {
        "shape": (channels, height, width),
        "image_shape": (whole(vae, "in_channels", 3, vae_file), height * factor, width * factor),
        "classes": 0,
        "null": True,
        "batch": max(1, min(128, 4 * _POSITIONS // (height * width))),
        "zeros_for_empty": kind == SDXL and bool(index.get("force_zeros_for_empty_prompt", True)),
        "notes": tuple(_notes(root, kind, index)),
    }


def check_installed(source: str) -> None:
    """ValueError unless transformers is there, an extra by which prompts are encoded."""
    if importlib.util.find_spec(TRANSFORMERS) is None:
        raise ValueError(f"{source}: its prompts are encoded by {TRANSFORMERS}, which is not installed; {INSTALL}")


def _channels(config: dict[str, Any], where: Path) -> int:
    channels, out = whole(config, "in_channels", 4, where), whole(config, "out_channels", 4, where)
    if channels == 9:
        raise ValueError(f"{where}: 9 channels in: a U-Net for inpainting, which is told an image too, cannot be taken")
    if out == 2 * channels:
        raise ValueError(
            f"{where}: {channels} channels in and {out} out: a U-Net with learned variances cannot be taken"
        )
    if channels != out:
        raise ValueError(
            f"{where}: {channels} channels in and {out} out: it is told more than x_t, and cannot be taken"
        )
    return channels


def _check_vae(config: dict[str, Any], where: Path) -> None:
    """ValueError where latents are made in a way that diffusers' pipelines of these classes do not know."""
    for name in ("shift_factor", "latents_mean", "latents_std"):
        if config.get(name):
            raise ValueError(
                f"{where}: it sets {name}, which no pipeline of this class makes use of; latents would be others"
            )


def _check_told(root: Path, kind: str, config: dict[str, Any], where: Path) -> None:
    """ValueError unless the U-Net is told a prompt by this kind's encoders, and nothing else."""
    embeds = config.get("time_embedding_type") or "positional"
    if embeds != "positional":
        raise ValueError(f"{where}: time_embedding_type {embeds!r}: only models told t by its position can be taken")
    for name in _TOLD_MORE:
        if config.get(name) is not None:
            raise ValueError(
                f"{where}: it sets {name}: only a U-Net that is told a prompt and nothing else can be taken"
            )
    added, expected = config.get("addition_embed_type"), "text_time" if kind == SDXL else None
    if added != expected:
        wants = "SDXL's is text_time" if expected else "that of Stable Diffusion has none; text_time is SDXL's"
        raise ValueError(f"{where}: addition_embed_type {added!r}: {wants}")
    encoders = {name: _encoder(root, name) for name in PARTS[kind] if name.startswith("text_encoder")}
    widths = [whole(encoder, "hidden_size", 512, root / name) for name, encoder in encoders.items()]
    cross = config.get("cross_attention_dim", 1280)
    if cross not in (sum(widths), [sum(widths)] * len(cross if isinstance(cross, list) else ())):
        of = " + ".join(map(str, widths))
        raise ValueError(f"{where}: cross_attention_dim is {cross}, but the text encoder makes vectors of {of}")
    if kind != SDXL:
        return
    pooled = whole(encoders["text_encoder_2"], "projection_dim", 512, root / "text_encoder_2")
    width = _TIME_NUMBERS * whole(config, "addition_time_embed_dim", 256, where) + pooled
    if config.get("projection_class_embeddings_input_dim") != width:
        raise ValueError(
            f"{where}: projection_class_embeddings_input_dim is {config.get('projection_class_embeddings_input_dim')}, but sizes "
            f"and the pooled vector of text_encoder_2 make {width}"
        )


def _encoder(root: Path, name: str) -> dict[str, Any]:
    return read_json(root / name / "config.json", "the pipeline's text encoder is not there")


def as_the_pipeline_has_it(schedule: NoiseSchedule) -> tuple[NoiseSchedule, tuple[str, ...]]:
    """The schedule as diffusers' `StableDiffusionPipeline` corrects it, and notes of that; `StableDiffusionXLPipeline` does not.

    x₀ of latents is not within [-1, 1], and the first timestep is 1: a file that says otherwise has a sampler's defaults.
    """
    right = replace(schedule, steps_offset=1, clip_sample=False)
    changed = [name for name in ("steps_offset", "clip_sample") if getattr(right, name) != getattr(schedule, name)]
    what = f"its scheduler's {' and '.join(changed)}: as diffusers' pipeline corrects them"
    return right, (what,) if changed else ()


def _notes(root: Path, kind: str, index: dict[str, Any]) -> list[str]:
    notes = []
    left_out = [name for name in _NEVER_LOADED if index.get(name) not in (None, [None, None])]
    if left_out:
        notes.append(f"its {', '.join(left_out)}: not loaded, no part of what is measured")
    parts = {name: part for name, part in PARTS[kind].items() if part.weights}
    half = [name for name, part in parts.items() if variant_in(folder_of(root, name), part.weights)]
    if half:
        notes.append(f"its {', '.join(half)}: in half precision alone, taken as they are")
    return notes
