"""NegGrad+ against its formula, and its clip."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DModel
from formula import epsilon_of, in_float64, noised, start

from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem

BATCH, FORGOTTEN, KEPT, BETA = 8, 2, 6, 0.25
VALUES = {"batch": BATCH, "forget_share": 0.25, "lambda_ratio": BETA, "condition_dropout": 0.5}


def literal_terms(
    model: UNet2DModel, problem: Problem, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """(DSM(D_f), DSM(D_r)) from the draws of a step."""
    x_f = problem.forget.images[torch.randint(len(problem.forget), (FORGOTTEN,), generator=generator)]
    epsilon_f = torch.randn(FORGOTTEN, 1, 8, 8, generator=generator).double()
    t_f = torch.randint(1000, (FORGOTTEN,), generator=generator)
    drawn = torch.randint(len(problem.retain), (KEPT,), generator=generator)
    dropped = torch.rand(KEPT, generator=generator) < 0.5
    c = torch.where(dropped, torch.tensor(10), problem.retain.conditions[drawn])
    epsilon = torch.randn(KEPT, 1, 8, 8, generator=generator).double()
    t = torch.randint(1000, (KEPT,), generator=generator)
    of_forgotten = epsilon_of(model, noised(x_f, epsilon_f, t_f), t_f, torch.full((FORGOTTEN,), 3))
    of_retained = epsilon_of(model, noised(problem.retain.images[drawn], epsilon, t), t, c)
    return ((epsilon_f - of_forgotten) ** 2).mean(), ((epsilon - of_retained) ** 2).mean()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("clip", [0.01, 100.0])
def test_the_loss_is_its_formula(bench: Workbench, problem: Problem, clip: float, seed: int) -> None:
    """DSM(D_r) - β · min(DSM(D_f), clip), divided by 1 + β."""
    problem, model = in_float64(problem), start(bench).double()
    step = METHODS["neg_grad_plus"].loss(problem, METHODS["neg_grad_plus"].configure(VALUES | {"clip": clip}))
    with torch.no_grad():
        value = step(model, torch.Generator().manual_seed(seed))
        forget, keep = literal_terms(model, problem, torch.Generator().manual_seed(seed))
    assert (forget.item() > clip) == (clip == 0.01)
    expected = (keep.item() - BETA * min(forget.item(), clip)) / (1 + BETA)
    assert value.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("clip", [0.01, 100.0])
def test_beyond_the_clip_only_the_retain_set_pulls(bench: Workbench, problem: Problem, clip: float) -> None:
    problem, model = in_float64(problem), start(bench).double()
    step = METHODS["neg_grad_plus"].loss(problem, METHODS["neg_grad_plus"].configure(VALUES | {"clip": clip}))
    parameters = list(model.conv_in.parameters())
    gradient = torch.autograd.grad(step(model, torch.Generator().manual_seed(0)), parameters)
    forget, keep = literal_terms(model, problem, torch.Generator().manual_seed(0))
    whole = keep if clip == 0.01 else keep - BETA * forget
    for found, expected in zip(gradient, torch.autograd.grad(whole / (1 + BETA), parameters), strict=True):
        assert (found - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize("clip", [0.0, -1.0, float("inf")])
def test_a_clip_that_bounds_nothing_is_refused(clip: float) -> None:
    with pytest.raises(ValueError, match="clip must be a positive, finite loss"):
        METHODS["neg_grad_plus"].configure({"clip": clip})
