"""What MACE looks at: how much each cross-attention of a text U-Net looks at some of a prompt's tokens.

A = softmax(Q Kᵀ / √d)   (B · heads, H W, L) of every attn2, explicit, for diffusers' own processors keep no A
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.attention_processor import Attention

from trainables.denoisers.text_unet import TextUNet


class Looking:
    """The probabilities (n, heads, H W) of all images' concept tokens, of every cross-attention that has run."""

    def __init__(self, positions: torch.Tensor) -> None:
        # (n,) images and (n,) tokens that name the concept, found once: a mask would have every layer wait for the device.
        self.images, self.tokens = positions.nonzero(as_tuple=True)
        self.seen: list[torch.Tensor] = []

    def norms(self) -> torch.Tensor:
        """Σ over layers ‖A[…, concept]‖_F."""
        return torch.stack([torch.linalg.vector_norm(part) for part in self.seen]).sum()


class _Processor:
    """Cross-attention with its probabilities written out; those of the concept's tokens are kept."""

    def __init__(self, looking: Looking) -> None:
        self.looking = looking

    def __call__(
        self, attn: Attention, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, **ignored: Any
    ) -> torch.Tensor:
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        probabilities = attn.get_attention_scores(query, key)
        of_heads = probabilities.unflatten(0, (-1, attn.heads))  # (B, heads, H W, L)
        self.looking.seen.append(of_heads[self.looking.images, :, :, self.looking.tokens])
        heard = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        return attn.to_out[1](attn.to_out[0](heard))


@contextmanager
def looked_at(model: TextUNet, positions: torch.Tensor) -> Iterator[Looking]:
    """Within it a U-Net's cross-attentions leave what they look at, of prompts whose concept is at positions (B, L)."""
    looking = Looking(positions)
    attentions = [module for name, module in model.named_modules() if name.endswith(".attn2")]
    before = [module.processor for module in attentions]
    for module in attentions:
        module.set_processor(_Processor(looking))
    try:
        yield looking
    finally:
        for module, processor in zip(attentions, before, strict=True):
            module.set_processor(processor)
