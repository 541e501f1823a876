"""Selective Amnesia against its published formula (arXiv 2305.10120)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from formula import epsilon_of, in_float64, noised, start

from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem
from trainables.unlearning.selective_amnesia import SelectiveAmnesia

BATCH, FORGOTTEN, KEPT = 8, 2, 6
VALUES = {"batch": BATCH, "forget_share": 0.25, "condition_dropout": 0.5, "lambda_ratio": 0.5}
GAMMA, PIXELS, TIMESTEPS = 2.0, 64, 1000


def moved(model: UNet2DModel) -> UNet2DModel:
    """The model a little off θ₀, so that there is something to consolidate."""
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=g).to(parameter))
    return model


@pytest.mark.parametrize("replay", ["generated", "retain"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_is_its_formula(bench: Workbench, problem: Problem, seed: int, replay: str) -> None:
    """Published, with sums over pixels and F from sums over pixels and timesteps: noise + γ replay + λ Σ F (θ - θ₀)²."""
    problem, model = in_float64(problem), moved(start(bench).double())
    member, published_lambda = METHODS["selective_amnesia"], 1e-3
    lambda_f = 1 / (1 + GAMMA)
    converted = lambda_f * published_lambda * PIXELS * TIMESTEPS**2
    settings = member.configure(VALUES | {"ewc_weight": converted, "replay": replay, "replay_images": 3})
    with torch.no_grad():
        value = member.loss(problem, settings)(model, torch.Generator().manual_seed(seed))

        images, conditions = problem.retain.images, problem.retain.conditions
        if replay == "generated":
            retained = [c for c in range(10) if c != 3]
            images = torch.cat([problem.generated(c, 3) for c in retained])
            conditions = torch.tensor([c for c in retained for _ in range(3)])
        g = torch.Generator().manual_seed(seed)
        torch.randint(len(problem.forget), (FORGOTTEN,), generator=g)  # which forgotten condition; here there is one
        drawn = torch.randint(len(images), (KEPT,), generator=g)
        c_r = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), conditions[drawn])
        x_f = (torch.rand(FORGOTTEN, 1, 8, 8, generator=g).double() - 0.5) * 2
        epsilon = torch.randn(BATCH, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (BATCH,), generator=g)

        def summed(x: torch.Tensor, c: torch.Tensor, rows: slice) -> torch.Tensor:
            predicted = epsilon_of(model, noised(x, epsilon[rows], t[rows]), t[rows], c)
            return (epsilon[rows] - predicted).square().sum(dim=(1, 2, 3)).mean()

        forget = summed(x_f, torch.full((FORGOTTEN,), 3), slice(0, FORGOTTEN))
        keep = summed(images[drawn], c_r, slice(FORGOTTEN, BATCH))
        ewc, base = torch.tensor(0.0).double(), dict(problem.base.named_parameters())
        for name, parameter in model.named_parameters():
            published_fisher = problem.shared["fisher"][name] * (PIXELS * TIMESTEPS) ** 2
            ewc += published_lambda * (published_fisher * (parameter - base[name]) ** 2).sum()
        expected = (forget + GAMMA * keep + ewc) * lambda_f / PIXELS
        assert ewc > 0.01 * forget, "the penalty is not lost in rounding"
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_penalty_pulls_towards_the_base_model_by_its_fisher_information(bench: Workbench, problem: Problem) -> None:
    """∂/∂θ_i = 2 λ F_i (θ_i - θ₀_i), beside the same loss without a penalty."""
    member, gradients = METHODS["selective_amnesia"], []
    exact = in_float64(problem)
    for weight in (0.0, 50.0):
        model = moved(start(bench).double())
        settings = member.configure(VALUES | {"ewc_weight": weight, "replay": "retain"})
        member.loss(exact, settings)(model, torch.Generator().manual_seed(0)).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    base = dict(exact.base.named_parameters())
    for name, parameter in model.named_parameters():
        expected = 2 * 50.0 * exact.shared["fisher"][name] * (parameter - base[name])
        without = gradients[0].get(name, torch.zeros_like(expected))
        torch.testing.assert_close(gradients[1][name] - without, expected.detach(), rtol=1e-6, atol=1e-12)


def test_a_strong_penalty_holds_the_weights(bench: Workbench, problem: Problem) -> None:
    member, distances = METHODS["selective_amnesia"], []
    for weight in (0.0, 1e9):
        settings = member.configure(VALUES | {"ewc_weight": weight, "steps": 8, "learning_rate": 1e-3})
        run = member.begin(start(bench), problem, settings, 0)
        run.advance(8)
        base, fisher = dict(problem.base.named_parameters()), problem.shared["fisher"]
        moved_by = {n: p.detach() - base[n] for n, p in run.trained().named_parameters()}
        distances.append(sum((fisher[n] * moved_by[n] ** 2).sum().item() for n in fisher))
    assert distances[1] < distances[0] / 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replay": "public"}, "replay 'public' is none of generated, retain"),
        ({"ewc_weight": -1.0}, "ewc_weight must be finite and not negative"),
        ({"replay_images": 0}, "replay_images must be at least 1"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SelectiveAmnesia(**values)
