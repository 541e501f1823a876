"""Scissorhands against its published steps (arXiv 2401.06187): the cut, the loss, the projection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from formula import epsilon_of, in_float64, noised, start

from trainables.fine_tuning import FineTuning
from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem
from trainables.unlearning.scissorhands import Projected, Scissorhands, cut, initial, towards

BATCH, FORGOTTEN, KEPT = 8, 2, 6
VALUES = {"batch": BATCH, "forget_share": 0.25, "condition_dropout": 0.5, "lambda_ratio": 3.0}


def changed(bench: Workbench, problem: Problem, seed: int, **values: Any) -> dict[str, torch.Tensor]:
    """Of each parameter, which weights the cut has changed."""
    model = start(bench)
    cut(model, problem, Scissorhands(**values), seed)
    return {n: (p != dict(problem.base.named_parameters())[n]) for n, p in model.named_parameters()}


@pytest.mark.parametrize("sparsity", [0.9, 0.99])
def test_the_cut_is_the_most_sensitive_share_of_all_weights(
    bench: Workbench, problem: Problem, sparsity: float
) -> None:
    where = changed(bench, problem, 0, sparsity=sparsity, cut_parameters="all")
    sensitivity = {
        n: (problem.shared["saliency"][n] * p).abs().numpy().ravel() for n, p in problem.base.named_parameters()
    }
    names = list(sensitivity)
    values = np.concatenate([sensitivity[n] for n in names])
    reset = np.concatenate([where[n].numpy().ravel() for n in names])
    threshold = np.sort(values)[int(sparsity * len(values)) - 1]
    matrices = np.concatenate([np.full(where[n].numel(), where[n].ndim > 1) for n in names])
    assert np.array_equal(reset, (values > threshold) & matrices), "biases and scales count, and stay"


def test_the_cut_gives_initial_values_of_its_seed(bench: Workbench, problem: Problem) -> None:
    ends = []
    for seed in (0, 0, 1):
        model = start(bench)
        torch.randn(5)  # nothing may come from the global generator
        cut(model, problem, Scissorhands(sparsity=0.0, cut_parameters="all"), seed)
        ends.append({n: p.detach() for n, p in model.named_parameters()})
    assert all(torch.equal(ends[0][n], ends[1][n]) for n in ends[0])
    kernel = "conv_in.weight"
    assert not torch.equal(ends[0][kernel], ends[2][kernel])
    assert ends[0][kernel].abs().max() <= 1 / 3 and ends[0][kernel].std().item() == pytest.approx(1 / 27**0.5, rel=0.2)


def test_only_trained_parameters_of_the_chosen_ones_are_cut(bench: Workbench, problem: Problem) -> None:
    for values in ({"trained_parameters": "condition", "cut_parameters": "all"}, {"cut_parameters": "condition"}):
        where = changed(bench, problem, 0, sparsity=0.5, **values)
        cut_ones = {n for n, w in where.items() if w.any()}
        assert cut_ones and all(n.startswith("class_embedding.") or ".time_emb_proj." in n for n in cut_ones)
    with pytest.raises(
        ValueError, match="cut_parameters 'attention' and trained_parameters 'condition' have no matrix"
    ):
        changed(bench, problem, 0, sparsity=0.5, trained_parameters="condition", cut_parameters="attention")


def begin(bench: Workbench, problem: Problem, seed: int, **values: Any) -> FineTuning:
    member = METHODS["scissorhands"]
    run = member.begin(start(bench).double(), problem, member.configure(VALUES | values), seed)
    assert isinstance(run, FineTuning)
    return run


@pytest.mark.parametrize("forget_loss", ["alternative", "ascent"])
@pytest.mark.parametrize("projection", [False, True])
def test_the_step_is_its_formula(bench: Workbench, problem: Problem, forget_loss: str, projection: bool) -> None:
    """∇[λ_r DSM(D_r) + λ_f L_f], projected against ∇L_f at the weights just cut."""
    problem = in_float64(problem)
    run = begin(bench, problem, seed=5, forget_loss=forget_loss, projection=projection, lambda_ratio=1e-3)
    loss = run.gradient(run)

    model, g = start(bench).double(), torch.Generator().manual_seed(5)
    cut(model, problem, Scissorhands(), 5)
    theta = list(model.parameters())

    def l_f(n: int) -> torch.Tensor:
        x_f = problem.forget.images[torch.randint(len(problem.forget), (n,), generator=g)]
        epsilon = torch.randn(n, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (n,), generator=g)
        x_t = noised(x_f, epsilon, t)
        output = epsilon_of(model, x_t, t, torch.full((n,), 3))
        if forget_loss == "ascent":
            return -((epsilon - output) ** 2).mean()
        return ((epsilon_of(model, x_t, t, torch.full((n,), 4)).detach() - output) ** 2).mean()

    def gradient(value: torch.Tensor) -> torch.Tensor:
        parts = torch.autograd.grad(value, theta, allow_unused=True, materialize_grads=True)
        return torch.cat([p.flatten() for p in parts])

    memory = gradient(l_f(BATCH)) if projection else None
    drawn = torch.randint(len(problem.retain), (KEPT,), generator=g)
    c = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), problem.retain.conditions[drawn])
    epsilon = torch.randn(KEPT, 1, 8, 8, generator=g).double()
    t = torch.randint(1000, (KEPT,), generator=g)
    l_r = ((epsilon - epsilon_of(model, noised(problem.retain.images[drawn], epsilon, t), t, c)) ** 2).mean()
    expected = (l_r + 1e-3 * l_f(FORGOTTEN)) / (1 + 1e-3)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    step = gradient(expected)
    if memory is not None and step @ memory < 0:
        step = step + max(0.5, -(step @ memory).item() / ((memory @ memory).item() + 1e-3)) * memory
    found = torch.cat([p.grad.flatten() for p in run.parameters])
    torch.testing.assert_close(found, step, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("product", [-2.0, -0.01, 0.5])
def test_the_projection_solves_its_quadratic_program(product: float) -> None:
    """min_v ½ v² (m·m + 1e-3) + v g·m over v ≥ ½, where g·m < 0; g' = g + v m."""
    m = torch.tensor([1.0, 0.5], dtype=torch.float64)
    across = torch.tensor([-0.5, 1.0], dtype=torch.float64)
    g = product * m / (m @ m) + 3 * across
    found = torch.cat(towards([g[:1], g[1:]], [m[:1], m[1:]]))
    grid = torch.linspace(0.5, 4, 350001, dtype=torch.float64)
    objective = 0.5 * grid**2 * (m @ m + 1e-3) + grid * (g @ m)
    expected = g + grid[objective.argmin()] * m if product < 0 else g
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert found @ m >= -2e-3, "what is left goes along the forgetting gradient"


def test_the_forgetting_gradient_is_of_the_weights_just_cut_and_is_kept(bench: Workbench, problem: Problem) -> None:
    """It is in the checkpoint: a continued run does not compute it anew from weights that have moved."""
    run = begin(bench, in_float64(problem), seed=0, projection=True, steps=4)
    run.advance(1)
    assert isinstance(run.gradient, Projected)
    first = [m.clone() for m in run.gradient.memory]
    run.advance(3)
    assert all(torch.equal(a, b) for a, b in zip(first, run.gradient.memory, strict=True))
    other = begin(bench, in_float64(problem), seed=9, projection=True, steps=4)
    other.restore(run.state())
    assert isinstance(other.gradient, Projected)
    other.advance(4)
    assert all(torch.equal(a, b) for a, b in zip(first, other.gradient.memory, strict=True))


def test_initial_values_are_those_of_a_layer_just_made() -> None:
    g = torch.Generator().manual_seed(0)
    kernel = initial(torch.Size((64, 32, 3, 3)), g)
    reference = torch.nn.Conv2d(32, 64, 3).weight.detach()
    assert kernel.std().item() == pytest.approx(reference.std().item(), rel=0.05)
    assert kernel.abs().max().item() == pytest.approx(reference.abs().max().item(), rel=0.05)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sparsity": 1.1}, "sparsity must be from 0 to 1"),
        ({"cut_parameters": "conv"}, "cut_parameters 'conv' is none of all, "),
        ({"forget_loss": "swap"}, "forget_loss 'swap' is none of alternative, ascent"),
        ({"alternative": "next"}, "alternative 'next' is none of"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scissorhands(**values)
