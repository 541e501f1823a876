"""Prompts as a pipeline's own tokenizers and text encoders encode them: the table that a text U-Net is told rows of.

Stable Diffusion reads the last hidden state of one CLIP text encoder, its final layer norm included; SDXL the last but one, without
it, of two encoders side by side, and of the second the projected, pooled vector. Texts are cut and filled up to the tokenizer's
length, as ``encode_prompt`` of diffusers' pipelines does without ``clip_skip``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from trainables.denoisers.prompts import Prompts

if TYPE_CHECKING:  # transformers takes seconds to import, and is an extra
    from typing import TypeAlias

    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    Encoder: TypeAlias = CLIPTextModel | CLIPTextModelWithProjection

_BATCH = 16  # texts a pass


@torch.inference_mode()
def encoded_prompts(
    texts: Sequence[str],
    tokenizers: Sequence[CLIPTokenizer],
    encoders: Sequence[Encoder],
    pixels: tuple[int, int],
    zeros_for_empty: bool = False,
) -> Prompts:
    """The table of `texts` and then the empty prompt, float32 on the CPU.

    One tokenizer and encoder are Stable Diffusion's; two are SDXL's, the second a `CLIPTextModelWithProjection`. `pixels` are
    (height, width) of the images that will be made, which SDXL is told. With `zeros_for_empty` the empty prompt's row is zeros,
    its pooled vector too: SDXL's ``force_zeros_for_empty_prompt``. ValueError where tokenizers and encoders do not go together.
    """
    rows = [*texts, ""]
    tokens, real = _tokens(tokenizers[0], encoders[0], rows)
    context, pooled = [], None
    for tokenizer, encoder in zip(tokenizers, encoders, strict=True):
        ids, _ = _tokens(tokenizer, encoder, rows)
        if ids.shape != tokens.shape:
            raise ValueError(
                f"the tokenizers cut prompts at {tokens.shape[1]} and {ids.shape[1]} tokens: not at one place"
            )
        states, projected = _states(encoder, ids, penultimate=len(encoders) > 1)
        context.append(states)
        pooled = projected if pooled is None else pooled
    table = torch.cat(context, dim=-1)
    if zeros_for_empty:
        table[-1] = 0
        if pooled is not None:
            pooled[-1] = 0
    if len(encoders) == 1:
        return Prompts(table, tokens, real)
    height, width = pixels
    return Prompts(table, tokens, real, pooled, torch.tensor([height, width, 0, 0, height, width]))


def _tokens(tokenizer: CLIPTokenizer, encoder: Encoder, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, L) token ids, and (N,) how many of each row are no padding."""
    length, most = tokenizer.model_max_length, encoder.config.max_position_embeddings
    if length > most:
        raise ValueError(f"the tokenizer makes up to {length} tokens of a prompt, but its text encoder takes {most}")
    made = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    if int(made.input_ids.max()) >= encoder.config.vocab_size:
        raise ValueError(
            f"the tokenizer gives token {int(made.input_ids.max())}, but its text encoder knows {encoder.config.vocab_size}"
        )
    return made.input_ids, made.attention_mask.sum(dim=1)


def hidden_states(encoder: Encoder, ids: torch.Tensor, penultimate: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(N, L, d) hidden states of token ids (N, L) and, of an encoder with a projection, (N, p) pooled vectors; with a gradient.

    Which place is pooled the encoder's own code says, by the id of the end in its configuration.
    """
    if getattr(encoder.config, "use_attention_mask", False) and not penultimate:  # of SDXL diffusers asks nobody
        raise ValueError("the text encoder sets use_attention_mask, which no table of prompts knows")
    output = encoder(ids, output_hidden_states=penultimate)
    states = output.hidden_states[-2] if penultimate else output.last_hidden_state
    # The first output of a CLIPTextModelWithProjection is the pooled vector.
    return states, output[0] if output[0].ndim == 2 else None


def _states(encoder: Encoder, ids: torch.Tensor, penultimate: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The same in float32 on the CPU, a few texts at a time."""
    states, pooled = [], []
    for part in ids.split(_BATCH):
        of_tokens, projected = hidden_states(encoder, part.to(encoder.device), penultimate)
        states.append(of_tokens.float().cpu())
        if projected is not None:
            pooled.append(projected.float().cpu())
    return torch.cat(states), torch.cat(pooled) if pooled else None
