"""A genuine `CLIPTokenizer` whose vocabulary is learned from some texts: each of their words is one token, any other falls apart.

    vocabulary = 256 bytes, the same at a word's end, what merges make, <|startoftext|>, <|endoftext|>

Merges are byte-pair encoding's (Sennrich et al. 2016, arXiv 1508.07909): the most frequent pair of neighbours first, until no word
has two. A word that was not among the texts becomes pieces of words or characters, so that a made-up one can be named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # transformers takes seconds to import, and is an extra
    from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"  # the latter fills up, too
_WORD_END = "</w>"

Merges = Sequence[Sequence[str]]
"""Pairs of symbols, the most important first."""


def learned_merges(texts: Iterable[str]) -> list[tuple[str, str]]:
    """The merges that make one token of each word of the texts, as CLIP splits and spells words."""
    pieces = tokenizer_of([], 0).backend_tokenizer
    words: Counter[str] = Counter()
    for text in texts:
        normal = pieces.normalizer.normalize_str(text)
        words.update(word for word, _ in pieces.pre_tokenizer.pre_tokenize_str(normal))
    spelled = {word: [*word[:-1], word[-1] + _WORD_END] for word in words}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in spelled.items():
            for pair in pairwise(symbols):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        chosen = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(chosen)
        spelled = {word: _merged(symbols, chosen) for word, symbols in spelled.items()}


def tokenizer_of(merges: Merges, positions: int) -> CLIPTokenizer:
    """The tokenizer with these merges, for prompts of so many tokens. It is the same wherever the merges are."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    pairs: list[Any] = [(first, second) for first, second in merges]
    symbols = [*letters, *(letter + _WORD_END for letter in letters), *map("".join, pairs), START, END]
    vocabulary = {symbol: number for number, symbol in enumerate(dict.fromkeys(symbols))}
    return CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=positions)


def _merged(symbols: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """The symbols with every occurrence of the pair as one, from the left."""
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged
