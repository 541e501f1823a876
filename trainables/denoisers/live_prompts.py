"""Prompts encoded whenever they are asked for, with a gradient to words that are in no vocabulary, and to the text encoders.

A word of that kind is a vector in place of a token's embedding: textual inversion's new token, a prefix that is searched for. It is
put in by a hook on the encoder's ``get_input_embeddings()``, for transformers' `CLIPTextModel` takes no ``inputs_embeds``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from trainables.denoisers.encoding import hidden_states
from trainables.denoisers.prompts import Prompts

OWN = -1  # of a position: the token's own embedding
_ANY = 0  # a token to stand where a word's vector is put; no tokenizer ends prompts with it
_BATCH = 16  # prompts a pass, where no gradient is kept

Pieces = Sequence[str | int]
"""A prompt as texts and numbers of words: ``["a photo of ", 0]`` has the word number 0 as its last."""


@dataclass(frozen=True)
class TextEncoders:
    """A pipeline's tokenizers and text encoders, one of each or SDXL's two; `pixels` are (height, width) of its images."""

    tokenizers: Sequence[Any]
    encoders: Sequence[Any]
    pixels: tuple[int, int]
    zeros_for_empty: bool = False

    @property
    def embeddings(self) -> list[torch.Tensor]:
        """Of each encoder the embeddings of its vocabulary, (V, d)."""
        return [encoder.get_input_embeddings().weight for encoder in self.encoders]

    def vectors_of(self, text: str) -> list[torch.Tensor]:
        """Of each encoder the embeddings (n, d) of a text's tokens, without those that begin and end a prompt."""
        ids = [_ids(tokenizer, text) for tokenizer in self.tokenizers]
        return [
            table.detach()[torch.tensor(i, dtype=torch.int64)] for table, i in zip(self.embeddings, ids, strict=True)
        ]


@dataclass(frozen=True)
class Worded:
    """R prompts as tokens: `tokens` (R, L) of each encoder, `real` (R,) how many are no padding, `slots` (R, L) which word."""

    tokens: list[torch.Tensor]
    real: torch.Tensor
    slots: torch.Tensor

    def to(self, device: str) -> Worded:
        return Worded([t.to(device) for t in self.tokens], self.real.to(device), self.slots.to(device))


def worded(text: TextEncoders, prompts: Sequence[Pieces]) -> Worded:
    """Prompts of pieces as tokens: begun, ended, cut and filled up to the tokenizer's length."""
    made = [[_row(tokenizer, pieces) for pieces in prompts] for tokenizer in text.tokenizers]
    tokens = [torch.tensor([ids for ids, _, _ in rows]) for rows in made]
    real, slots = ([row[i] for row in made[0]] for i in (1, 2))
    return Worded(tokens, torch.tensor(real), torch.tensor(slots))


def _row(tokenizer: Any, pieces: Pieces) -> tuple[list[int], int, list[int]]:
    """(token ids, how many are no padding, which word stands at each position)."""
    ids, slots = [], []
    for piece in pieces:
        of_text = [_ANY] if isinstance(piece, int) else _ids(tokenizer, piece)
        ids += of_text
        slots += [piece if isinstance(piece, int) else OWN] * len(of_text)
    length = tokenizer.model_max_length
    ids, slots = ids[: length - 2], slots[: length - 2]
    padding = length - 2 - len(ids)
    row = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * padding]
    return row, len(ids) + 2, [OWN, *slots, *[OWN] * (padding + 1)]


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids) if text.strip() else []


class LivePrompts:
    """What a text U-Net is told in a table's stead: rows of `prompts`, encoded as they are asked for.

    `numbers` are the rows of the table that they stand for, in order. `words` hold of each encoder the words' vectors (n, d), which
    may have a gradient, as the encoders' weights may. All on one device.
    """

    def __init__(
        self, text: TextEncoders, prompts: Worded, numbers: Sequence[int], words: Sequence[torch.Tensor] = ()
    ) -> None:
        self.text, self.prompts, self.words = text, prompts, list(words)
        device = prompts.slots.device
        self.numbers = torch.tensor(list(numbers), device=device)
        self._place = torch.full((int(max(numbers)) + 1,), OWN, device=device)
        self._place[self.numbers] = torch.arange(len(numbers), device=device)
        height, width = text.pixels
        self.time_ids = torch.tensor([height, width, 0, 0, height, width], device=device)

    def rows(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(context (B, L, d), pooled (B, p) or None) of the rows (B,) int64, with a gradient."""
        return self.encoded(self._place[numbers])

    def encoded(self, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The same of the prompts at these places (B,) of its own."""
        context, pooled = [], None
        for i, encoder in enumerate(self.text.encoders):
            with self._with_words(i, self.prompts.slots[places]):
                penultimate = len(self.text.encoders) > 1
                states, projected = hidden_states(encoder, self.prompts.tokens[i][places], penultimate)
            context.append(states)
            pooled = projected if pooled is None else pooled
        return torch.cat(context, dim=-1), pooled

    @torch.no_grad()
    def in_table(self, table: Prompts) -> Prompts:
        """The table with these prompts in place of their rows; what it was the key of it is no more."""
        parts = [self.encoded(places) for places in torch.arange(len(self.numbers)).split(_BATCH)]
        context, tokens, real = table.context.clone(), table.tokens.clone(), table.real.clone()
        context[self.numbers] = torch.cat([c for c, _ in parts]).to(context)
        tokens[self.numbers], real[self.numbers] = self.prompts.tokens[0], self.prompts.real
        pooled = None if table.pooled is None else table.pooled.clone()
        if pooled is not None:
            pooled[self.numbers] = torch.cat([p for _, p in parts if p is not None]).to(pooled)
        return Prompts(context, tokens, real, pooled, table.time_ids)

    @contextmanager
    def _with_words(self, encoder: int, slots: torch.Tensor) -> Iterator[None]:
        """Within it the encoder reads the words' vectors where slots (B, L) say so."""
        if not self.words:
            yield
            return
        words, of_words = self.words[encoder], slots >= 0

        def put_in(module: Any, inputs: Any, embedded: torch.Tensor) -> torch.Tensor:
            return torch.where(of_words[..., None], words[slots.clamp(min=0)], embedded)

        hook = self.text.encoders[encoder].get_input_embeddings().register_forward_hook(put_in)
        try:
            yield
        finally:
            hook.remove()


@contextmanager
def prompt_source(model: Any, prompts: LivePrompts | Prompts) -> Iterator[None]:
    """Within it a text U-Net is told rows of these prompts."""
    before = model.prompts
    model.prompts = prompts
    try:
        yield
    finally:
        model.prompts = before
