"""Tables of prompts against what diffusers' own pipelines encode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import text_folders
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from trainables.denoisers.encoding import encoded_prompts

KINDS = {"sd": StableDiffusionPipeline, "sd-v": StableDiffusionPipeline, "xl": StableDiffusionXLPipeline}


@pytest.fixture(params=KINDS)
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    folder = text_folders.SAVED[request.param](tmp_path / "pipeline")
    checker = {} if request.param == "xl" else {"safety_checker": None}
    return KINDS[request.param].from_pretrained(folder, feature_extractor=None, local_files_only=True, **checker)


def parts_of(pipeline: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    numbered = ("", "_2") if hasattr(pipeline, "text_encoder_2") else ("",)
    tokenizers, encoders = (
        [getattr(pipeline, f"{part}{n}") for n in numbered] for part in ("tokenizer", "text_encoder")
    )
    return tokenizers, encoders


def test_a_table_holds_what_encode_prompt_gives(theirs: Any) -> None:
    xl = isinstance(theirs, StableDiffusionXLPipeline)
    prompts = encoded_prompts(text_folders.PROMPTS, *parts_of(theirs), (16, 24), zeros_for_empty=xl)
    assert len(prompts) == len(text_folders.PROMPTS) + 1
    for row, text in enumerate(text_folders.PROMPTS):
        with torch.no_grad():
            if xl:
                context, empty, pooled, no_pooled = theirs.encode_prompt(text, device="cpu")
            else:
                context, empty = theirs.encode_prompt(text, "cpu", 1, True)
        torch.testing.assert_close(prompts.context[row], context[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(prompts.context[-1], empty[0], rtol=1e-5, atol=1e-5)
        if xl:
            torch.testing.assert_close(prompts.pooled[row], pooled[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(prompts.pooled[-1], no_pooled[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(prompts.context[0], prompts.context[1], atol=0.1), "the texts are told apart"
    assert (prompts.time_ids.tolist() == [16, 24, 0, 0, 16, 24]) if xl else prompts.time_ids is None


def test_how_many_tokens_are_real_is_known_whatever_fills_the_rest(theirs: Any) -> None:
    """Start, words, first end: "!", which pads in some, is a word in others."""
    tokenizers, encoders = parts_of(theirs)
    prompts = encoded_prompts(("a cat", "!", "dog " * 40), tokenizers, encoders, (16, 16))
    assert prompts.real.tolist() == [4, 3, 16, 2]
    end = tokenizers[0].eos_token_id
    assert all(prompts.tokens[row, real - 1] == end for row, real in enumerate(prompts.real))


def test_without_zeros_the_empty_prompt_is_encoded_like_any_other(theirs: Any) -> None:
    prompts = encoded_prompts(("",), *parts_of(theirs), (16, 16))
    torch.testing.assert_close(prompts.context[0], prompts.context[1])
    assert prompts.context[1].abs().sum() > 0


def test_tokenizers_and_encoders_that_do_not_go_together_are_refused(theirs: Any) -> None:
    tokenizers, encoders = parts_of(theirs)
    tokenizers[0].model_max_length = 77
    with pytest.raises(ValueError, match="up to 77 tokens of a prompt, but its text encoder takes 16"):
        encoded_prompts(("a cat",), tokenizers, encoders, (16, 16))
    tokenizers[0].model_max_length = 16
    encoders[0].config.vocab_size = 300
    with pytest.raises(ValueError, match="its text encoder knows 300"):
        encoded_prompts(("a cat",), tokenizers, encoders, (16, 16))
