"""ESD against its formula: what it samples from, what its target is, and where no gradient goes."""

from __future__ import annotations

import pytest
import torch
from ddim import literal_chains
from diffusers import UNet2DModel
from formula import epsilon_of, in_float64, noised, start

from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem

BATCH, ERASED, KEPT = 8, 2, 6
ETA, GUIDANCE, STEPS, LAMBDA = 1.5, 3.0, 4, 2.0
VALUES = {"batch": BATCH, "forget_share": 0.25, "condition_dropout": 0.5, "retain_weight": LAMBDA} | {
    "negative_guidance": ETA,
    "guidance": GUIDANCE,
    "chain_steps": STEPS,
}


def moved(bench: Workbench) -> UNet2DModel:
    """A model in float64 that is no longer θ₀."""
    model, g = start(bench).double(), torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=g))
    return model


def literal_loss(
    model: UNet2DModel, problem: Problem, x_t: str, retain_weight: float, generator: torch.Generator
) -> torch.Tensor:
    """‖ε_θ(x_t, c_f) - [ε₀(x_t, ∅) - η(ε₀(x_t, c_f) - ε₀(x_t, ∅))]‖² + λ · DSM(D_r)."""
    n = ERASED if retain_weight else BATCH
    drawn = torch.randint(len(problem.forget), (n,), generator=generator)
    c_f, null = torch.full((n,), 3), torch.full((n,), 10)
    if x_t == "sampled":
        x, t = literal_chains(model, c_f, STEPS, GUIDANCE, generator)
    else:
        epsilon = torch.randn(n, 1, 8, 8, generator=generator).double()
        t = torch.randint(1000, (n,), generator=generator)
        x = noised(problem.forget.images[drawn], epsilon, t)
    of_null, of_forgotten = epsilon_of(problem.base, x, t, null), epsilon_of(problem.base, x, t, c_f)
    target = of_null - ETA * (of_forgotten - of_null)
    erase = ((epsilon_of(model, x, t, c_f) - target.detach()) ** 2).mean()
    if not retain_weight:
        return erase
    drawn = torch.randint(len(problem.retain), (KEPT,), generator=generator)
    dropped = torch.rand(KEPT, generator=generator) < 0.5
    c = torch.where(dropped, torch.tensor(10), problem.retain.conditions[drawn])
    epsilon = torch.randn(KEPT, 1, 8, 8, generator=generator).double()
    t = torch.randint(1000, (KEPT,), generator=generator)
    predicted = epsilon_of(model, noised(problem.retain.images[drawn], epsilon, t), t, c)
    return erase + retain_weight * ((epsilon - predicted) ** 2).mean()


@pytest.mark.parametrize("x_t", ["sampled", "noised"])
@pytest.mark.parametrize("retain_weight", [0.0, LAMBDA])
def test_the_loss_and_its_gradient_are_the_formulas(
    bench: Workbench, problem: Problem, x_t: str, retain_weight: float
) -> None:
    """The gradient too: the chain that leads to x_t is sampled from θ, but nothing flows back through it."""
    problem, model = in_float64(problem), moved(bench)
    settings = METHODS["esd"].configure(VALUES | {"x_t": x_t, "retain_weight": retain_weight})
    value = METHODS["esd"].loss(problem, settings)(model, torch.Generator().manual_seed(0))
    expected = literal_loss(model, problem, x_t, retain_weight, torch.Generator().manual_seed(0))
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    parameters = list(model.conv_in.parameters())
    pairs = zip(torch.autograd.grad(value, parameters), torch.autograd.grad(expected, parameters), strict=True)
    for found, written_out in pairs:
        assert (found - written_out).norm() <= 1e-6 * written_out.norm()


@pytest.mark.parametrize("which", ["condition", "rest"])
def test_esd_x_and_esd_u_move_what_they_say(bench: Workbench, problem: Problem, which: str) -> None:
    settings = METHODS["esd"].configure(VALUES | {"trained_parameters": which, "steps": 2, "learning_rate": 1e-2})
    run = METHODS["esd"].begin(start(bench), problem, settings, 0)
    run.advance(2)
    after, before = run.trained().state_dict(), problem.base.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    enters = {name for name in before if "class_embedding" in name or "time_emb_proj" in name}
    assert changed and changed <= (enters if which == "condition" else set(before) - enters)


def test_an_unknown_x_t_is_refused() -> None:
    with pytest.raises(ValueError, match="x_t 'dreamt' is none of sampled, noised"):
        METHODS["esd"].configure({"x_t": "dreamt"})
