"""Gradient ascent on the forget set against its formula."""

from __future__ import annotations

import pytest
import torch
from formula import epsilon_of, in_float64, noised, start

from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem

BATCH = 8


@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_is_its_formula(bench: Workbench, problem: Problem, seed: int) -> None:
    """-E‖ε - ε_θ(x_t, t, c_f)‖² over D_f."""
    problem, model = in_float64(problem), start(bench).double()
    settings = METHODS["neg_grad"].configure({"batch": BATCH})
    with torch.no_grad():
        value = METHODS["neg_grad"].loss(problem, settings)(model, torch.Generator().manual_seed(seed))

        g = torch.Generator().manual_seed(seed)
        x_f = problem.forget.images[torch.randint(len(problem.forget), (BATCH,), generator=g)]
        epsilon = torch.randn(BATCH, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (BATCH,), generator=g)
        predicted = epsilon_of(model, noised(x_f, epsilon, t), t, torch.full((BATCH,), 3))
        expected = -((epsilon - predicted) ** 2).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_ascent_raises_the_forget_loss(bench: Workbench, problem: Problem) -> None:
    settings = METHODS["neg_grad"].configure({"learning_rate": 1e-2, "steps": 5, "batch": 32, "ema_decay": 0.0})
    run = METHODS["neg_grad"].begin(start(bench), problem, settings, 0)
    loss = METHODS["neg_grad"].loss(problem, settings)
    with torch.no_grad():
        before = -loss(run.model, torch.Generator().manual_seed(1))
    run.advance(5)
    with torch.no_grad():
        assert -loss(run.model, torch.Generator().manual_seed(1)) > before
