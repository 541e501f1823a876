"""Fine-tuning on the retain set against its formula."""

from __future__ import annotations

import pytest
import torch
from formula import epsilon_of, in_float64, noised, start

from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem

BATCH = 8


@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_is_its_formula(bench: Workbench, problem: Problem, seed: int) -> None:
    """E‖ε - ε_θ(x_t, t, c)‖² over D_r, with c = ∅ half the time."""
    problem, model = in_float64(problem), start(bench).double()
    settings = METHODS["fine_tune"].configure({"batch": BATCH, "condition_dropout": 0.5})
    with torch.no_grad():
        value = METHODS["fine_tune"].loss(problem, settings)(model, torch.Generator().manual_seed(seed))

        g = torch.Generator().manual_seed(seed)
        drawn = torch.randint(len(problem.retain), (BATCH,), generator=g)
        c = torch.where(torch.rand(BATCH, generator=g) < 0.5, torch.tensor(10), problem.retain.conditions[drawn])
        epsilon = torch.randn(BATCH, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (BATCH,), generator=g)
        predicted = epsilon_of(model, noised(problem.retain.images[drawn], epsilon, t), t, c)
        expected = ((epsilon - predicted) ** 2).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_forgotten_condition_is_never_seen(bench: Workbench, problem: Problem) -> None:
    model = start(bench)
    step = METHODS["fine_tune"].loss(problem, METHODS["fine_tune"].configure({"batch": 64}))
    step(model, torch.Generator().manual_seed(0)).backward()
    gradient = model.class_embedding.weight.grad.abs().sum(dim=1)
    assert gradient[3] == 0 and gradient[4] > 0 and gradient[10] > 0


def test_dropout_is_a_probability() -> None:
    with pytest.raises(ValueError, match="condition_dropout must be from 0 to 1"):
        METHODS["fine_tune"].configure({"condition_dropout": 1.5})
