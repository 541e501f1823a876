"""Prompts as the table of a text-to-image model: each text through the pipeline's own text encoders, as diffusers encodes it.

Stable Diffusion's U-Net reads the last hidden states of one encoder; SDXL's the last but one of two, side by side, and with them
the second one's projected embedding of the whole prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trainables.denoisers.prompts import Prompts

_BATCH = 256  # prompts a pass


@torch.inference_mode()
def encoded(
    texts: Sequence[str], tokenizers: Sequence[Any], encoders: Sequence[Any], shape: tuple[int, ...]
) -> Prompts:
    """The table of these prompts and then the empty one; one tokenizer and encoder, or SDXL's two of each.

    `shape` (C, H, W) is that of images: SDXL is told their size, and that nothing was cut off.
    """
    every = [*texts, ""]
    tokens = [tokenizer(every, padding="max_length", truncation=True, return_tensors="pt") for tokenizer in tokenizers]
    ids, real = tokens[0].input_ids, tokens[0].attention_mask.sum(dim=1)
    if len(encoders) == 1:
        parts = [encoders[0](part).last_hidden_state for part in ids.split(_BATCH)]
        return Prompts(torch.cat(parts), ids, real)
    contexts, pooled = [], []
    for encoder, words in zip(encoders, tokens, strict=True):
        outputs = [encoder(part, output_hidden_states=True) for part in words.input_ids.split(_BATCH)]
        contexts.append(torch.cat([output.hidden_states[-2] for output in outputs]))
        pooled = [output[0] for output in outputs]  # of the last encoder: it has the projection
    height, width = shape[1:]
    time_ids = torch.tensor([height, width, 0, 0, height, width])
    return Prompts(torch.cat(contexts, dim=2), ids, real, torch.cat(pooled), time_ids)
