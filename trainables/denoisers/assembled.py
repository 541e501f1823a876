"""A text-to-image model's parts as the pipeline that diffusers' users know, which ``from_pretrained`` loads again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diffusers import AutoencoderKL, SchedulerMixin, StableDiffusionPipeline, StableDiffusionXLPipeline

from trainables.denoisers.text_unet import TextUNet, stock

if TYPE_CHECKING:  # transformers takes seconds to import, and is an extra
    from transformers import CLIPTokenizer


def assembled(
    unet: TextUNet,
    vae: AutoencoderKL,
    tokenizers: Sequence[CLIPTokenizer],
    encoders: Sequence[Any],
    scheduler: SchedulerMixin,
    zeros_for_empty: bool = True,
) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
    """Stable Diffusion's pipeline of one text encoder, or SDXL's of two; of a safety checker neither has any.

    `zeros_for_empty`: SDXL's ``force_zeros_for_empty_prompt``, by which the empty prompt was measured.
    """
    parts = {"vae": vae, "unet": stock(unet), "scheduler": scheduler}
    parts |= {f"tokenizer{number}": tokenizer for number, tokenizer in zip(("", "_2"), tokenizers, strict=False)}
    parts |= {f"text_encoder{number}": encoder for number, encoder in zip(("", "_2"), encoders, strict=False)}
    if len(encoders) == 1:
        none = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        return StableDiffusionPipeline(**parts, **none)
    return StableDiffusionXLPipeline(**parts, force_zeros_for_empty_prompt=zeros_for_empty, add_watermarker=False)
