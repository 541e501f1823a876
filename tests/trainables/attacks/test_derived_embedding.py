"""RECE's derived embedding as a probe, against least squares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from least_squares import kv_names
from text_attacks import begin, unlearned
from text_problem import FORGOTTEN

from trainables.attacks import ATTACKS

MU = 0.3


def test_every_token_is_the_one_by_which_the_model_comes_nearest_to_the_base() -> None:
    run = begin("derived_embedding", embedding_ridge=MU)
    before, base = unlearned(), unlearned(seed=0)
    assert run.advance(1) and run.step == 1
    names = kv_names(before)
    w, w0 = (np.concatenate([dict(m.named_parameters())[n].detach().numpy() for n in names]) for m in (before, base))
    stacked = np.concatenate([w, np.sqrt(MU) * np.eye(w.shape[1])])
    for row in FORGOTTEN:
        for c, embedding in zip(
            before.prompts.context[row].numpy(), run.model.prompts.context[row].numpy(), strict=True
        ):
            expected = np.linalg.lstsq(stacked, np.concatenate([w0 @ c, np.zeros(w.shape[1])]), rcond=None)[0]
            assert np.abs(embedding - expected).max() <= 1e-6
    others = [row for row in range(len(before.prompts)) if row not in FORGOTTEN]
    assert torch.equal(run.model.prompts.context[others], before.prompts.context[others])


def test_where_nothing_was_unlearned_it_is_the_token_itself_but_for_the_ridge() -> None:
    base = unlearned(seed=0)
    run = begin("derived_embedding", model=base, embedding_ridge=1e-9)
    run.advance(3)
    assert torch.allclose(run.model.prompts.context, base.prompts.context, atol=1e-4)
    assert run.step == 3 and run.advance(2) and run.step == 3


def test_what_a_text_encoder_has_forgotten_is_told_as_the_base_models_encoder_tells_it() -> None:
    base, changed = unlearned(seed=0), unlearned(seed=0)
    changed.prompts = replace(changed.prompts, context=changed.prompts.context.flip(1), key="")
    run = begin("derived_embedding", model=changed, embedding_ridge=1e-9)
    run.advance(1)
    rows = list(FORGOTTEN)
    assert torch.allclose(run.model.prompts.context[rows], base.prompts.context[rows], atol=1e-4)
    others = [row for row in range(len(base.prompts)) if row not in FORGOTTEN]
    assert torch.equal(run.model.prompts.context[others], changed.prompts.context[others])


def test_no_ridge_is_refused() -> None:
    with pytest.raises(ValueError, match="embedding_ridge must be positive"):
        ATTACKS["derived_embedding"].configure({"embedding_ridge": 0.0})
