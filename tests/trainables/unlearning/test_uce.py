"""UCE against least squares, and the tokens that it edits against those that a reader would point at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from least_squares import SCALES, kept_at, kv_names, least_squares, pointed_at
from text_problem import (
    ANCHORS,
    END,
    FORGOTTEN,
    LENGTH,
    NULL,
    POOLED,
    RETAINED,
    ROWS,
    TEXTS,
    prompts,
    text_problem,
    text_unet,
)

from trainables.data import DATASETS
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.text_unet import TextUNet
from trainables.diffusion import Diverged
from trainables.forgetting import Forget, parse_forget
from trainables.unlearning import METHODS, Problem
from trainables.unlearning._cross_attention import token_vectors
from trainables.unlearning.uce import kept_rows


def edited(problem: Problem, pooled: bool = False, method: str = "uce", **values: Any) -> TextUNet:
    model = text_unet(seed=1, pooled=pooled)
    member = METHODS[method]
    run = member.begin(model, problem, member.configure(SCALES | values), 0)
    assert run.advance(run.steps) and run.trained() is model
    return model


@pytest.mark.parametrize("positions", ["last", "tail", "all"])
def test_every_key_and_value_is_the_least_squares_solution_and_nothing_else_moves(positions: str) -> None:
    problem, before = text_problem(), text_unet(seed=1)
    context = before.prompts.context.numpy()
    pairs = {row: pointed_at(row, anchor, positions) for row, anchor in zip(FORGOTTEN, ANCHORS, strict=True)}
    c = np.array([context[row, i] for row in FORGOTTEN for i, _ in pairs[row]])
    a = np.array([context[anchor, j] for row, anchor in zip(FORGOTTEN, ANCHORS, strict=True) for _, j in pairs[row]])
    kept = np.array([context[row, i] for row in (*RETAINED, NULL) for i in kept_at(row, positions)])

    model = edited(problem, positions=positions)
    start, names = dict(before.named_parameters()), kv_names(before)
    assert len(names) == 8, "one block on the way down, the middle one, two on the way up"
    for name, weight in model.named_parameters():
        w, w0 = weight.detach().numpy(), start[name].detach().numpy()
        if name not in names:
            assert np.array_equal(w, w0), name
            continue
        expected = least_squares(w0, c, a, kept, 1.3, 0.7, 0.4)
        assert np.abs(w - expected).max() <= 1e-6 * np.abs(expected).max(), name
        assert np.abs(w - w0).max() > 1e-3


def test_what_is_reported_is_how_far_the_keys_and_values_are_from_the_anchors() -> None:
    problem, model = text_problem(), text_unet(seed=1)
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    run = METHODS["uce"].begin(model, problem, METHODS["uce"].configure(SCALES), 0)
    run.advance(1)
    context, errors = model.prompts.context, []
    for name in kv_names(model):
        for row, anchor in zip(FORGOTTEN, ANCHORS, strict=True):
            c, a = context[row, len(TEXTS[row])], context[anchor, len(TEXTS[anchor])]
            errors.append((dict(model.named_parameters())[name].detach() @ c - start[name] @ a).square())
    assert run.last_loss == pytest.approx(torch.cat(errors).mean().item(), rel=1e-9)
    assert run.facts == {"edits": [{"loss": run.last_loss}]}


@pytest.mark.parametrize("padding", [END, 99])
def test_a_words_tokens_are_found_whatever_pads(padding: int) -> None:
    """Also where the padding is the end token itself, and where a word of one prompt is two tokens of another."""
    row, anchor = ROWS[1, "sneaker", "ink"], ROWS[1, "bag", "ink"]  # a snea ker in ink / a bag in ink
    table = prompts(padding=padding)
    vectors = token_vectors(table, [row], [anchor], [], "tail")
    assert torch.equal(vectors.erased[0], table.context[row, 3]) and torch.equal(
        vectors.targets[0], table.context[anchor, 2]
    )
    assert torch.equal(vectors.erased[2], table.context[row, 5]) and torch.equal(
        vectors.targets[2], table.context[anchor, 4]
    )
    assert len(vectors.erased) == LENGTH - 3 and len(vectors.kept) == 0


def test_towards_the_empty_prompt_a_word_becomes_its_first_token() -> None:
    table = prompts()
    row = ROWS[0, "sneaker", "ink"]
    vectors = token_vectors(table, [row], [NULL], [NULL], "last")
    assert torch.equal(vectors.targets, table.context[NULL, :1]) and torch.equal(vectors.kept, table.context[NULL, :1])
    model = edited(text_problem(), target="empty", positions="tail")
    other = edited(text_problem(), target="anchor", positions="tail")
    name = min(kv_names(model))
    assert not torch.equal(dict(model.named_parameters())[name], dict(other.named_parameters())[name])


@pytest.mark.parametrize("pooled", [True, False])
def test_of_sdxl_the_columns_that_read_the_pooled_vector_are_edited_if_asked(pooled: bool) -> None:
    problem, before = text_problem(pooled=True), text_unet(seed=1, pooled=True)
    model = edited(problem, pooled=True, edit_pooled=pooled)
    w, w0 = (m.add_embedding.linear_1.weight.detach().numpy() for m in (model, before))
    if not pooled:
        assert np.array_equal(w, w0)
        return
    table = before.prompts.pooled
    assert table is not None
    c, a, kept = (table[list(rows)].numpy() for rows in (FORGOTTEN, ANCHORS, (*RETAINED, NULL)))
    expected = least_squares(w0[:, :POOLED], c, a, kept, 1.3, 0.7, 0.4)
    assert np.abs(w[:, :POOLED] - expected).max() <= 1e-6 * np.abs(expected).max()
    assert np.array_equal(w[:, POOLED:], w0[:, POOLED:]), "the size's columns stay"
    assert np.array_equal(model.add_embedding.linear_2.weight.detach(), before.add_embedding.linear_2.weight.detach())


def test_few_prompts_are_kept_always_the_same_ones_and_the_empty_one() -> None:
    problem = text_problem()

    def rows(**values: Any) -> list[int]:
        return list(kept_rows(problem, METHODS["uce"].configure(values)))  # type: ignore[arg-type]

    assert rows() == [*RETAINED, NULL]
    assert rows(preserve_scale=0.0) == []
    few = rows(preserve=3)
    assert few == rows(preserve=3) and len(few) == 4 and few[-1] == NULL and set(few[:-1]) < set(RETAINED)
    assert set(rows(preserve=2)) < set(few), "fewer are some of them"


def test_it_goes_on_from_its_checkpoint_and_the_model_is_its_own() -> None:
    problem, member = text_problem(), METHODS["uce"]
    whole = edited(problem)
    runs = [member.begin(text_unet(seed=1), problem, member.configure(SCALES), seed) for seed in (0, 7)]
    assert runs[0].steps == 1 and "weight" not in "".join(runs[0].state())
    runs[1].restore(runs[0].state())
    assert runs[1].step == 0 and runs[1].advance(1)
    last = member.begin(text_unet(seed=1), problem, member.configure(SCALES), 0)
    last.restore(runs[1].state())
    assert last.step == 1 and last.advance(1) and last.last_loss == runs[1].last_loss and last.facts == runs[1].facts
    for model in (runs[1].trained(), last.trained()):
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))
    base = text_unet(seed=0)
    assert all(torch.equal(a, b) for a, b in zip(problem.base.parameters(), base.parameters(), strict=True))


def test_weights_that_are_not_finite_are_a_divergence() -> None:
    model, member = text_unet(seed=1), METHODS["uce"]
    with torch.no_grad():
        dict(model.named_parameters())[min(kv_names(model))][0, 0] = float("inf")
    run = member.begin(model, text_problem(), member.configure({}), 0)
    with pytest.raises(Diverged, match="edit 1 of 1"):
        run.advance(1)


@pytest.mark.parametrize("method", ["uce", "rece", "meta(uce)"])
def test_a_class_conditional_model_is_refused_in_one_line(method: str) -> None:
    member, digits = METHODS[method], DATASETS["digits"]
    three = parse_forget("3", digits)
    complaint = r"^method '.*' edits cross-attention keys and values, which a class-conditional model has none of$"
    with pytest.raises(ValueError, match=complaint):
        member.check_forgets(three)
    assert not member.can_forget(three) and member.can_forget(text_problem().forgetting)
    model = UNet2DModel(**BaseModel(channels=(8, 8), norm_groups=8).config(digits))
    with pytest.raises(ValueError, match=complaint):
        member.begin(model, replace(text_problem(), forgetting=three), member.configure({}), 0)


def test_what_has_no_anchor_is_refused_in_one_line_with_the_mend() -> None:
    problem = text_problem()
    anchorless = replace(problem, forgetting=Forget("concept:sneaker", FORGOTTEN, RETAINED, facet="concept"))
    with pytest.raises(ValueError, match=r"^target 'anchor': concept:sneaker has no anchors.*; choose one of empty$"):
        METHODS["uce"].begin(text_unet(), anchorless, METHODS["uce"].configure({}), 0)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"ridge": 0.0}, "ridge must be positive"),
        ({"erase_scale": float("inf")}, "erase_scale must be positive and finite"),
        ({"preserve_scale": -1.0}, "preserve_scale must be finite and not negative"),
        ({"positions": "first"}, "positions 'first' is none of last, tail, all"),
        ({"target": "noise"}, "target 'noise' is none of anchor, empty"),
        ({"preserve": -1}, "preserve must be at least 1, or 0"),
        ({"steps": 3}, "'uce' has no setting steps; it has edit_pooled, erase_scale"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        METHODS["uce"].configure(values)


def test_no_more_prompts_are_kept_than_there_are() -> None:
    with pytest.raises(ValueError, match="preserve: 50 prompts are to be kept, and 8 are retained"):
        METHODS["uce"].check_forgets(text_problem().forgetting, METHODS["uce"].configure({"preserve": 50}))
