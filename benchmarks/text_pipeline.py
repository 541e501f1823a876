"""A text-to-image pipeline of Stable Diffusion 1.4's own shapes with random weights, written by diffusers.

At a width of 320 the U-Net is the true one, of 860 million parameters, beside its VAE and a text encoder of CLIP ViT-L/14's
size but for its vocabulary, which is of a few characters and merges.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from trainables.denoisers.tokenizer import learned_merges, tokenizer_of
from trainables.denoisers.weights import Unset

WIDTH, CROSS, POSITIONS = 320, 768, 77


def save_pipeline(folder: Path, width: int = WIDTH, latents: int = 8) -> Path:
    """The pipeline with a U-Net of the widths (1, 2, 4, 4) × `width`, for latents of so many a side; its VAE is as narrow."""
    narrow = max(32, 128 * width // WIDTH // 32 * 32)
    tokenizer = tokenizer_of(learned_merges(["a photo of a cat", "a drawing of a dog", "a house"]), POSITIONS)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=CROSS, intermediate_size=4 * CROSS, num_hidden_layers=12,
        num_attention_heads=12, max_position_embeddings=POSITIONS, projection_dim=CROSS,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    with Unset():  # drawn below, all alike: their own initialisation takes minutes
        unet = UNet2DConditionModel(
            sample_size=latents, block_out_channels=[width, 2 * width, 4 * width, 4 * width], cross_attention_dim=CROSS,
            attention_head_dim=8, norm_num_groups=32,
        )  # fmt: skip
        vae = AutoencoderKL(
            block_out_channels=(narrow, 2 * narrow, 4 * narrow, 4 * narrow), layers_per_block=2,
            latent_channels=4, sample_size=8 * latents,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )  # fmt: skip
        encoder = CLIPTextModel(text)
    for model in (unet, vae, encoder):
        _draw(model)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=vae, text_encoder=encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@torch.no_grad()
def _draw(model: torch.nn.Module) -> None:
    """Weights near those of a new layer: uniform, by the fan-in; norms as they begin, biases 0."""
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            bound = parameter[0].numel() ** -0.5
            parameter.uniform_(-bound, bound)
        else:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
