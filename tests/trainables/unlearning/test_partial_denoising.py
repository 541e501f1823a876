"""Chains stopped on the way, against DDIM written out one image at a time."""

from __future__ import annotations

import pytest
import torch
from ddim import literal_chains
from formula import in_float64

from trainables.unlearning import Problem
from trainables.unlearning._partial_denoising import SelfSampled, partly_denoised


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_every_image_stops_after_its_own_number_of_ddim_steps(problem: Problem, guidance: float) -> None:
    problem = in_float64(problem)
    problem.base.requires_grad_(True)
    conditions = torch.tensor([3, 3, 4, 5, 3, 0])
    x_t, t = partly_denoised(problem.base, problem, conditions, 4, guidance, torch.Generator().manual_seed(0))
    expected, at = literal_chains(problem.base, conditions, 4, guidance, torch.Generator().manual_seed(0))
    torch.testing.assert_close(x_t, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(t, at)
    assert len({int(time) // 250 for time in t}) > 1, "not all stopped at once"
    assert not x_t.requires_grad


def test_a_batch_erases_alone_where_nothing_is_retained() -> None:
    assert SelfSampled(batch=8, forget_share=0.25).counts == (2, 6)
    assert SelfSampled(batch=8, forget_share=0.25, retain_weight=0.0).counts == (8, 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chain_steps": 0}, "chain_steps must be from 1 to 1000"),
        ({"retain_weight": -1.0}, "retain_weight must be 0 or"),
        ({"retain_weight": float("inf")}, "retain_weight must be 0 or"),
        ({"forget_share": 1.5}, "forget_share must be from 0 to 1"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SelfSampled(**values)  # type: ignore[arg-type]
