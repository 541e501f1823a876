"""Tiny diffusers pipelines, saved by diffusers itself in its own on-disk format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    UNet2DModel,
)


def unet(classes: int | None, size: int = 8, seed: int = 0, **changes: Any) -> UNet2DModel:
    torch.manual_seed(seed)
    model = UNet2DModel(
        **{"sample_size": size, "in_channels": 1, "out_channels": 1, "layers_per_block": 1, "norm_num_groups": 4}
        | {"block_out_channels": (8, 8), "down_block_types": ("DownBlock2D", "AttnDownBlock2D")}
        | {"up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "num_class_embeds": classes}
        | changes
    )
    return model.eval()


def save_ddpm(folder: Path, model: UNet2DModel, **scheduler: Any) -> DDPMPipeline:
    pipeline = DDPMPipeline(model, DDPMScheduler(**scheduler))
    pipeline.save_pretrained(folder)
    return pipeline


def save_ddim(folder: Path, model: UNet2DModel, **scheduler: Any) -> DDIMPipeline:
    pipeline = DDIMPipeline(model, DDIMScheduler(**scheduler))
    pipeline.save_pretrained(folder)
    return pipeline


def save_dit(folder: Path, classes: int = 10, seed: int = 0) -> DiTPipeline:
    """A DiT of 4×4 latents with learned variances, and a VAE that makes 8×8 grey images of them."""
    torch.manual_seed(seed)
    transformer = DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2,
        sample_size=4, num_embeds_ada_norm=classes, norm_num_groups=4,
    ).eval()  # fmt: skip
    vae = AutoencoderKL(
        in_channels=1, out_channels=1, latent_channels=4, norm_num_groups=4, block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.7,
    ).eval()  # fmt: skip
    pipeline = DiTPipeline(transformer, vae, DDIMScheduler(clip_sample=False))
    pipeline.save_pretrained(folder)
    return pipeline
