"""SFR-on against its published algorithm (arXiv 2409.19732), step by step with an Adam of the test's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from formula import epsilon_of, in_float64, noised, start

from trainables.fine_tuning import FineTuning
from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem
from trainables.unlearning.sfr_on import SFRon, adaptive

BATCH, FORGOTTEN, KEPT, STEPS = 8, 3, 5, 3
VALUES = {"batch": BATCH, "forget_share": 3 / 8, "condition_dropout": 0.5, "steps": STEPS, "schedule": "constant"}


def begin(bench: Workbench, problem: Problem, seed: int, **values: Any) -> FineTuning:
    member = METHODS["sfr_on"]
    settings = member.configure(VALUES | {"ema_decay": 0.0, "learning_rate": 1e-3, "grad_clip": 1.0} | values)
    run = member.begin(start(bench).double(), problem, settings, seed)
    assert isinstance(run, FineTuning)
    return run


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("alpha", "gamma"), [(10.0, 1.0), (0.1, 0.0)])
def test_the_weights_are_those_of_the_published_algorithm(
    bench: Workbench, problem: Problem, seed: int, alpha: float, gamma: float
) -> None:
    problem = in_float64(problem)
    run = begin(bench, problem, seed, ascent_weight=alpha, saliency_threshold=gamma, adaptivity=0.5)
    run.advance(STEPS)

    model, g = start(bench).double(), torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(model.parameters(), 1e-3)

    def errors(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        epsilon = torch.randn(x.shape, generator=g).double()
        t = torch.randint(1000, (len(x),), generator=g)
        return (epsilon - epsilon_of(model, noised(x, epsilon, t), t, c)).square().sum(dim=(1, 2, 3))

    for k in range(STEPS):
        alpha_k = alpha * (1 + math.cos(math.pi * k / STEPS)) / 2
        x_f = problem.forget.images[torch.randint(len(problem.forget), (FORGOTTEN,), generator=g)]
        original = errors(x_f, torch.full((FORGOTTEN,), 3)) / 64  # the weights below don't see the scale
        coefficient = 1 / original.detach().pow(0.5)
        weighted = coefficient / coefficient.sum() * original * FORGOTTEN
        adam.zero_grad()
        (-alpha_k * weighted.mean()).backward()
        for name, p in model.named_parameters():
            if p.grad is not None:
                p.grad *= problem.shared["fisher_ratio"][name] >= gamma
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()

        drawn = torch.randint(len(problem.retain), (KEPT,), generator=g)
        c = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), problem.retain.conditions[drawn])
        adam.zero_grad()
        (errors(problem.retain.images[drawn], c).mean() / 64).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
    for (name, found), expected in zip(run.model.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7, msg=name)


def test_the_ascent_moves_only_weights_that_matter_more_to_the_forget_set(bench: Workbench, problem: Problem) -> None:
    exact = in_float64(problem)
    run = begin(bench, exact, 0)
    run.gradient(run)  # the fast step; the slow one is left to the run
    base = dict(exact.base.named_parameters())
    moved = torch.cat([(p != base[n]).flatten() for n, p in run.model.named_parameters()])
    climbs = torch.cat([(exact.shared["fisher_ratio"][n] >= 1).flatten() for n in base])
    assert moved.any() and not (moved & ~climbs).any()
    assert any(
        p.grad is not None and p.grad[exact.shared["fisher_ratio"][n] < 1].any()
        for n, p in run.model.named_parameters()
    ), "the slow step is everywhere"


def test_an_images_weight_falls_with_its_loss() -> None:
    errors = torch.tensor([0.04, 1.0, 4.0], dtype=torch.float64, requires_grad=True)
    adaptive(errors, 0.5).backward()
    inverse = torch.tensor([5.0, 1.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(errors.grad, inverse / inverse.sum(), rtol=1e-6, atol=0)
    assert adaptive(errors, 0.0).item() == pytest.approx(errors.mean().item())
    assert adaptive(64 * errors, 0.5).item() == pytest.approx(64 * adaptive(errors, 0.5).item(), rel=1e-6)


def test_the_ascent_decays_to_nothing(bench: Workbench, problem: Problem) -> None:
    """With Adam's memory at zero, the fast step of the horizon's end moves nothing, the first one does."""
    exact, distances = in_float64(problem), []
    for step in (0, STEPS):
        run = begin(bench, exact, 0)
        run.step = step
        run.gradient(run)
        pairs = zip(run.parameters, exact.base.parameters(), strict=True)
        distances.append(sum((a - b).abs().sum().item() for a, b in pairs))
    assert distances[0] > 1 and distances[1] == 0


@pytest.mark.parametrize("name", ["ascent_weight", "adaptivity", "saliency_threshold"])
def test_settings_are_checked(name: str) -> None:
    for value in (-1.0, float("inf")):
        with pytest.raises(ValueError, match=f"{name} must be finite and not negative"):
            SFRon(**{name: value})
    with pytest.raises(ValueError, match="forget_share must be from 0 to 1"):
        SFRon(forget_share=1.5)
