"""Tiny text-to-image pipelines with random weights, laid out as Stable Diffusion 1.4, 2.1 at 768 pixels and XL are on disk.

Saved by diffusers and transformers themselves; then what today's versions write otherwise is put as those files have it:
1.4's tokenizer in two files, its text encoder's old names, its safety checker, which is junk here, for nobody may read it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

_CHANNELS = (320, 640, 1280, 1280)
SD_14: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": _CHANNELS,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
SD_21: dict[str, Any] = {
    "sample_size": 96,
    "block_out_channels": _CHANNELS,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
SD_XL: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": _CHANNELS[:3],
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
"""Arguments of the true U-Nets, which have 860, 866 and 2,567 million parameters."""

POSITIONS = 16
PROMPTS = (
    "a sketch of a cat",
    "a photo of a dog",
    "a dog",
    "words " * 20,
)  # the last one is longer than the table is wide
OWN = (  # a user's: prompt, role, concept
    ("a photo of a cat", "forget", "cat"),
    ("a drawing of a cat", "forget", "cat"),
    ("a photo of a dog", "related", "dog"),
    ("a drawing of a dog", "retain", "dog"),
    ("a photo of a house", "unrelated", "house"),
)
_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_MERGES = [("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>")]


def tokenizer(pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """A genuine one of characters and a few merges; ``!`` is token 0, as in CLIP's vocabulary."""
    letters = sorted(ByteLevel.alphabet())
    symbols = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, _MERGES)]
    symbols = [*dict.fromkeys(symbols), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {symbol: number for number, symbol in enumerate(symbols)}
    return CLIPTokenizer(vocab=vocabulary, merges=_MERGES, model_max_length=POSITIONS, pad_token=pad)


def text_encoder(kind: Any = CLIPTextModel, width: int = 12, seed: int = 0, **changes: Any) -> Any:
    torch.manual_seed(seed)
    made = tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(made), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3,
        num_attention_heads=2, max_position_embeddings=POSITIONS, projection_dim=6, bos_token_id=made.bos_token_id,
        eos_token_id=made.eos_token_id, pad_token_id=made.pad_token_id, **changes,
    )  # fmt: skip
    model = kind(config).eval()
    for parameter in model.parameters():  # CLIP's own initialisation is so small that all texts look alike
        torch.nn.init.normal_(parameter, std=0.4) if parameter.ndim > 1 else None
    return model


def unet(cross: int = 12, seed: int = 0, **changes: Any) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        **{"sample_size": 8, "layers_per_block": 1, "block_out_channels": (8, 16), "norm_num_groups": 4}
        | {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "attention_head_dim": 4}
        | {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": cross}
        | changes
    ).eval()


def vae(seed: int = 0, **changes: Any) -> AutoencoderKL:
    """16×16 colour images, 4×8×8 latents."""
    torch.manual_seed(seed)
    return AutoencoderKL(
        **{"latent_channels": 4, "norm_num_groups": 4, "block_out_channels": (8, 8), "sample_size": 16}
        | {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
        | changes
    ).eval()


def save_sd(folder: Path, seed: int = 0) -> Path:
    """The layout of 1.4: predicts ε, PNDM's scheduler file, a safety checker."""
    pipeline = StableDiffusionPipeline(
        vae=vae(seed), text_encoder=text_encoder(seed=seed), tokenizer=tokenizer(), unet=unet(seed=seed),
        scheduler=PNDMScheduler(**_BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    _edit(folder / "scheduler" / "scheduler_config.json", clip_sample=False)
    checked = {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    }
    _edit(folder / "model_index.json", **checked)
    for part in checked:
        (folder / part).mkdir()
        (folder / part / "model.safetensors").write_bytes(b"junk")
        (folder / part / "pytorch_model.bin").write_bytes(b"junk")
    _in_two_files(folder / "tokenizer")
    _with_old_names(folder / "text_encoder" / "model.safetensors")
    _only(folder / "vae" / "config.json", without=("scaling_factor", "force_upcast", "shift_factor"))
    return folder


def save_true_sd(folder: Path) -> Path:
    """1.4's layout with its parts' true configurations, for images of 512 pixels; the weights are those of a tiny one."""
    save_sd(folder)
    down, up = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
    blocks = {"layers_per_block": 2, "norm_num_groups": 32, "down_block_types": down, "up_block_types": up}
    _edit(folder / "unet" / "config.json", **SD_14, **blocks)
    images = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    wide = {
        "block_out_channels": [128, 256, 512, 512],
        "sample_size": 512,
        "layers_per_block": 2,
        "norm_num_groups": 32,
    }
    _edit(folder / "vae" / "config.json", **wide, **images)
    _edit(folder / "text_encoder" / "config.json", hidden_size=768)
    _edit(folder / "tokenizer" / "tokenizer_config.json", model_max_length=77)
    return folder


def save_sd_v(folder: Path, seed: int = 0) -> Path:
    """The layout of 2.1 at 768 pixels: predicts v, heads by block, linear projections, "!" for padding."""
    pipeline = StableDiffusionPipeline(
        vae=vae(seed), text_encoder=text_encoder(seed=seed, hidden_act="gelu"), tokenizer=tokenizer("!"),
        unet=unet(seed=seed, attention_head_dim=[2, 4], use_linear_projection=True, upcast_attention=True),
        scheduler=DDIMScheduler(
            **_BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type="v_prediction"
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder


def save_xl(folder: Path, seed: int = 0) -> Path:
    """The layout of XL: two text encoders, a pooled vector, Euler's scheduler file, a VAE that wants float32."""
    pipeline = StableDiffusionXLPipeline(
        vae=vae(seed, scaling_factor=0.13025, force_upcast=True), text_encoder=text_encoder(width=8, seed=seed),
        text_encoder_2=text_encoder(CLIPTextModelWithProjection, seed=seed + 1), tokenizer=tokenizer(),
        tokenizer_2=tokenizer("!"),
        unet=unet(
            20, seed, attention_head_dim=[2, 4], use_linear_projection=True, transformer_layers_per_block=[1, 2],
            addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=54,
        ),
        scheduler=EulerDiscreteScheduler(**_BETAS, steps_offset=1, timestep_spacing="leading"), add_watermarker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    _edit(
        folder / "scheduler" / "scheduler_config.json", clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True
    )
    return folder


def save_true_encoder(folder: Path, other: Path) -> Path:
    """A copy of a pipeline with the true configuration of 1.4's text encoder, of 123 million numbers."""
    shutil.copytree(folder, other)
    true = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    _edit(other / "text_encoder" / "config.json", **true, vocab_size=49408, max_position_embeddings=77)
    return other


def save_prompts(folder: Path, images: int = 8, side: int = 16) -> Path:
    """The folder of ``--data prompts``: so many pictures of each prompt, of noise around a colour of the prompt's own."""
    generator = np.random.default_rng(0)
    rows, captions = ["prompt,role,concept"], ["file_name,text"]
    (folder / "train").mkdir(parents=True)
    for number, row in enumerate(OWN):
        rows.append(",".join(row))
        colour = generator.integers(40, 215, 3)
        for copy in range(images):
            pixels = np.clip(colour + generator.normal(0, 20, (side, side, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "train" / f"{number}-{copy}.png")
            captions.append(f"{number}-{copy}.png,{row[0]}")
    (folder / "prompts.csv").write_text("\n".join(rows))
    (folder / "train" / "metadata.csv").write_text("\n".join(captions))
    return folder


SAVED = {"sd": save_sd, "sd-v": save_sd_v, "xl": save_xl}


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _only(path: Path, without: Sequence[str]) -> None:
    values = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in values.items() if name not in without}))


def _in_two_files(folder: Path) -> None:
    """``vocab.json`` and ``merges.txt`` in the place of ``tokenizer.json``."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    specials = {f"{name}_token": token for name, token in (("bos", "<|startoftext|>"), ("eos", "<|endoftext|>"))}
    (folder / "special_tokens_map.json").write_text(json.dumps(specials | {"pad_token": "<|endoftext|>"}))


def _with_old_names(path: Path) -> None:
    """``text_model.…``, and a buffer that older versions saved."""
    tensors = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in load_file(path).items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(POSITIONS)[None]
    save_file(tensors, path, metadata={"format": "pt"})
