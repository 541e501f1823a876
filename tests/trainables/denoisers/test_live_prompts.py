"""Prompts encoded with a gradient: the same as the table's, with words of one's own in place of tokens."""

from __future__ import annotations

import pytest
import text_attacks
import torch
from text_attacks import LENGTH, NAMED, TEXTS, encoder, encoders, tokenizer
from transformers import CLIPTextModelWithProjection

from trainables.denoisers.encoding import encoded_prompts
from trainables.denoisers.live_prompts import OWN, LivePrompts, TextEncoders, prompt_source, worded


def two_encoders() -> TextEncoders:
    first = encoder()
    torch.manual_seed(5)
    second = CLIPTextModelWithProjection(first.config).double().eval().requires_grad_(False)
    return TextEncoders([tokenizer(), tokenizer()], [first, second], (8, 16))


@pytest.mark.parametrize("text", [encoders(), two_encoders()], ids=["one", "two"])
def test_rows_are_those_of_the_table(text: TextEncoders) -> None:
    frozen = encoded_prompts(TEXTS, text.tokenizers, text.encoders, text.pixels)
    live = LivePrompts(text, worded(text, [[prompt] for prompt in TEXTS[4:]]), range(4, len(TEXTS)))
    rows = torch.tensor([7, 4, 4])
    context, pooled = live.rows(rows)
    assert torch.allclose(context, frozen.context[rows].double(), atol=1e-5)
    assert torch.equal(live.prompts.tokens[0], frozen.tokens[4:-1]) and torch.equal(
        live.prompts.real, frozen.real[4:-1]
    )
    assert (pooled is None) == (frozen.pooled is None)
    if pooled is not None:
        assert frozen.pooled is not None and frozen.time_ids is not None
        assert torch.allclose(pooled, frozen.pooled[rows].double(), atol=1e-5)
        assert torch.equal(live.time_ids, frozen.time_ids)
    again = live.in_table(frozen)
    assert torch.allclose(again.context, frozen.context, atol=1e-5) and again.key == ""


def test_a_tokens_own_embedding_as_a_word_is_that_token() -> None:
    text = encoders()
    name = text.vectors_of("bag")
    with_word = LivePrompts(text, worded(text, [["a ", 0, " in ink"]]), [0], name)
    plain = LivePrompts(text, worded(text, [["a bag in ink"]]), [0])
    assert torch.equal(with_word.rows(torch.tensor([0]))[0], plain.rows(torch.tensor([0]))[0])
    with_word.words = [name[0].flip(1)]
    assert not torch.allclose(with_word.rows(torch.tensor([0]))[0], plain.rows(torch.tensor([0]))[0])
    assert not list(text.encoders[0].get_input_embeddings()._forward_hooks), "no hook stays"


@pytest.mark.parametrize("text", ["", "  "])
def test_no_text_has_no_embeddings(text: str) -> None:
    assert [vectors.shape for vectors in two_encoders().vectors_of(text)] == [(0, 12), (0, 12)]


def test_the_gradient_to_a_word_is_that_of_finite_differences() -> None:
    text = encoders()
    prompts = worded(text, [[0, TEXTS[0]], ["a ", 1, 0]])

    def both(word: torch.Tensor) -> torch.Tensor:
        context, _ = LivePrompts(text, prompts, [0, 1], [word]).rows(torch.tensor([0, 1]))
        return context.square().sum()

    word = torch.randn(2, 12, generator=torch.Generator().manual_seed(0)).double().requires_grad_(True)
    assert torch.autograd.gradcheck(both, (word,))


def test_a_prompt_that_is_too_long_is_cut_and_still_ends() -> None:
    made = worded(encoders(), [[0, 1, *TEXTS[:4]], ["a bag ", 2]])
    end = tokenizer().eos_token_id
    assert made.tokens[0].shape == (2, LENGTH) and made.tokens[0][0, -1] == end and int(made.real[0]) == LENGTH
    assert made.slots[0, :4].tolist() == [OWN, 0, 1, OWN] and made.slots[1].tolist() == [OWN, OWN, OWN, 2, *[OWN] * 8]
    assert made.tokens[0][1, 4] == end and int(made.real[1]) == 5


def test_what_a_model_is_told_is_put_back() -> None:
    model = text_attacks.unlearned()
    before, text = model.prompts, encoders()
    with (
        pytest.raises(RuntimeError, match="stop"),
        prompt_source(model, LivePrompts(text, worded(text, [["a bag"]]), [0])),
    ):
        assert model.prompts is not before
        raise RuntimeError("stop")
    assert model.prompts is before and len(NAMED) == len(TEXTS)
