"""The tokenizer is CLIP's own, with the captions' words: each is one token, all others are spelled."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from trainables.data import dataset
from trainables.denoisers.tokenizer import END, START, learned_merges, tokenizer_of

PROMPTS = dataset("digits_styled").prompts


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return tokenizer_of(learned_merges(PROMPTS), 16)


def test_every_word_of_the_captions_is_one_token_and_comes_back(tokenizer: CLIPTokenizer) -> None:
    for prompt in PROMPTS:
        ids = tokenizer(prompt).input_ids
        words = prompt.replace(",", " , ").split()
        assert tokenizer.convert_ids_to_tokens(ids) == [START, *(f"{word}</w>" for word in words), END]
        assert tokenizer.decode(ids, skip_special_tokens=True) == " ".join(words)


def test_words_whose_beginnings_and_ends_are_others_are_one_token_too() -> None:
    texts = ("ab xab", "abab bab", "aab abc cab")
    made = tokenizer_of(learned_merges(texts), 8)
    for word in {word for text in texts for word in text.split()}:
        assert made.tokenize(word) == [f"{word}</w>"]


def test_a_word_that_nobody_knows_is_spelled_in_known_pieces(tokenizer: CLIPTokenizer) -> None:
    pieces = tokenizer.tokenize("a photo of ZORBLAX threes é")
    assert "".join(pieces[3:]).startswith("zorblax</w>") and len(pieces) > 9
    assert tokenizer.unk_token_id == tokenizer.eos_token_id and END not in pieces
    assert tokenizer.decode(tokenizer("zorblax é").input_ids, skip_special_tokens=True) == "zorblax é"


def test_prompts_are_filled_up_with_the_end_to_sixteen_tokens(tokenizer: CLIPTokenizer) -> None:
    made = tokenizer(["three, neon", "a " * 40], padding="max_length", truncation=True)
    assert [len(ids) for ids in made.input_ids] == [16, 16]
    assert made.input_ids[0][4:] == [tokenizer.eos_token_id] * 12 and made.attention_mask[0] == [1] * 5 + [0] * 11
    assert made.input_ids[1][-1] == tokenizer.eos_token_id == len(tokenizer) - 1


def test_a_saved_one_is_the_same(tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert again.model_max_length == 16
    assert again([*PROMPTS, "zorblax"]).input_ids == tokenizer([*PROMPTS, "zorblax"]).input_ids
