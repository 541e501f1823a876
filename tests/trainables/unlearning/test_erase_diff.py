"""EraseDiff against its published step (arXiv 2401.05779), one inner and one outer gradient at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from formula import epsilon_of, in_float64, noised, start

from trainables.fine_tuning import FineTuning
from trainables.forgetting import Forget
from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem
from trainables.unlearning.erase_diff import EraseDiff, cosine, minimised

BATCH, FORGOTTEN, KEPT = 8, 2, 6
VALUES = {"batch": BATCH, "forget_share": 0.25, "condition_dropout": 0.5, "inner_learning_rate": 0.3}


def begin(bench: Workbench, problem: Problem, seed: int, **values: Any) -> FineTuning:
    member = METHODS["erase_diff"]
    run = member.begin(start(bench).double(), problem, member.configure(VALUES | values), seed)
    assert isinstance(run, FineTuning)
    return run


class Published:
    """The losses on draws that are replayed from the run's seed."""

    def __init__(self, problem: Problem, model: UNet2DModel, seed: int, target: str) -> None:
        self.problem, self.model, self.target = problem, model, target
        self.g = torch.Generator().manual_seed(seed)

    def forget(self) -> torch.Tensor:
        g, sets = self.g, self.problem.forget
        x_f = sets.images[torch.randint(len(sets), (FORGOTTEN,), generator=g)]
        epsilon = torch.randn(FORGOTTEN, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (FORGOTTEN,), generator=g)
        x_t, c_f = noised(x_f, epsilon, t), torch.full((FORGOTTEN,), 3)
        if self.target == "noise":
            target = torch.rand(FORGOTTEN, 1, 8, 8, generator=g).double()
        else:
            target = epsilon_of(self.model, x_t, t, torch.full((FORGOTTEN,), 4)).detach()
        return ((target - epsilon_of(self.model, x_t, t, c_f)) ** 2).mean()

    def retain(self) -> torch.Tensor:
        g, sets = self.g, self.problem.retain
        drawn = torch.randint(len(sets), (KEPT,), generator=g)
        c = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), sets.conditions[drawn])
        epsilon = torch.randn(KEPT, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (KEPT,), generator=g)
        return ((epsilon - epsilon_of(self.model, noised(sets.images[drawn], epsilon, t), t, c)) ** 2).mean()


@pytest.mark.parametrize("target", ["noise", "alternative"])
@pytest.mark.parametrize(("weighting", "eta"), [("fixed", 0.1), ("cosine", 0.9), ("cosine", 1e-9)])
def test_the_step_is_its_formula(bench: Workbench, problem: Problem, target: str, weighting: str, eta: float) -> None:
    """∇L_r + λ ∇(L_f - L_f^K), K = 2; λ fixed or max(η - cos, 0)."""
    problem = in_float64(problem)
    values = {"target": target, "alternative": "class_fixed", "weighting": weighting, "eta": eta}
    run = begin(bench, problem, seed=5, inner_steps=2, forget_weight=0.4, **values)
    loss = run.gradient(run)

    model = start(bench).double()
    published, theta = Published(problem, model, 5, target), list(model.parameters())
    before = [p.detach().clone() for p in theta]
    for _ in range(2):
        inner = torch.autograd.grad(published.forget(), theta, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            for p, g in zip(theta, inner, strict=True):
                p -= 0.3 * g
    lowest = published.forget().detach()
    with torch.no_grad():
        for p, b in zip(theta, before, strict=True):
            p.copy_(b)
    l_r, l_f = published.retain(), published.forget()
    g_r = torch.autograd.grad(l_r, theta, allow_unused=True, materialize_grads=True)
    g_f = torch.autograd.grad(l_f, theta, allow_unused=True, materialize_grads=True)
    flat_r, flat_f = (torch.cat([g.flatten() for g in gs]) for gs in (g_r, g_f))
    similarity = (flat_r @ flat_f / (flat_r.norm() * flat_f.norm())).item()
    weight = 0.4 if weighting == "fixed" else max(eta - similarity, 0.0)
    assert loss.item() == pytest.approx((l_r + weight * (l_f - lowest)).item(), rel=1e-6)
    for parameter, r, f in zip(run.parameters, g_r, g_f, strict=True):
        torch.testing.assert_close(parameter.grad, r + weight * f, rtol=1e-6, atol=1e-9)


def test_the_inner_steps_are_undone(bench: Workbench, problem: Problem) -> None:
    run = begin(bench, in_float64(problem), seed=0, inner_steps=3)
    before = [p.detach().clone() for p in run.parameters]
    run.gradient(run)
    assert all(torch.equal(p, b) for p, b in zip(run.parameters, before, strict=True))


def test_inner_steps_lower_the_forgetting_loss(
    bench: Workbench, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is reported beyond λ = 0 is λ (L_f(θ) - L_f(θ^K)), and more inner steps make L_f(θ^K) smaller."""
    lowest: list[float] = []

    def seen(*arguments: Any) -> torch.Tensor:
        lowest.append(minimised(*arguments).item())
        return torch.tensor(lowest[-1])

    monkeypatch.setattr("trainables.unlearning.erase_diff.minimised", seen)
    for steps in (1, 30):
        values = {"target": "noise", "inner_steps": steps, "batch": 64, "forget_share": 0.5}
        run = begin(bench, in_float64(problem), seed=0, **values)
        run.gradient(run)
    assert lowest[1] < lowest[0] - 0.1


def test_without_inner_steps_a_step_is_the_passes_of_its_two_losses(
    bench: Workbench, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retain loss, the alternative's prediction and the forgetting loss; no copy of the weights is made."""
    run = begin(bench, in_float64(problem), seed=0, inner_steps=0)
    monkeypatch.setattr("trainables.unlearning.erase_diff.minimised", lambda *_: pytest.fail("passes for a value"))
    passes = []
    run.model.register_forward_hook(lambda *_: passes.append(1))
    run.gradient(run)
    assert len(passes) == 3


def test_nothing_is_forgotten_where_the_retain_gradient_already_forgets(bench: Workbench, problem: Problem) -> None:
    """λ = 0 when the two gradients agree more than η: the forget set's images are the retain set's."""
    a = (torch.tensor([1.0, 0.0]), torch.tensor([[2.0]]))
    assert cosine(a, a).item() == pytest.approx(1)
    assert cosine(a, (torch.tensor([-1.0, 0.0]), torch.tensor([[-2.0]]))).item() == pytest.approx(-1)
    assert cosine(a, (torch.tensor([0.0, 1.0]), torch.tensor([[0.0]]))).item() == 0
    exact = in_float64(problem)
    same = replace(exact, forget=exact.retain)
    runs = []
    for weighting in ("cosine", "fixed"):
        values = {"target": "alternative", "alternative": "class_random", "eta": 1e-9, "inner_steps": 0}
        runs.append(begin(bench, same, seed=5, weighting=weighting, forget_weight=1e-12, **values))
        runs[-1].gradient(runs[-1])
    pairs = [(a.grad, b.grad) for a, b in zip(runs[0].parameters, runs[1].parameters, strict=True)]
    g_r = torch.cat([b.flatten() for _, b in pairs])
    weighted = torch.cat([(a - b).flatten() for a, b in pairs])
    assert weighted @ g_r <= 1e-12, "what λ adds never goes along ∇L_r"


def test_an_unconditional_model_is_taught_noise(bench: Workbench, problem: Problem) -> None:
    """Its own prediction under another condition is its own prediction: there would be nothing to learn."""
    exact = in_float64(problem)
    instances = replace(exact, forgetting=Forget("instances:0,1", (), tuple(range(10)), instances=(0, 1)))
    found = []
    for target in ("noise", "alternative"):
        run = begin(bench, instances, seed=5, target=target)
        found.append(run.gradient(run).item())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": "blank"}, "target 'blank' is none of noise, alternative"),
        ({"weighting": "free"}, "weighting 'free' is none of fixed, cosine"),
        ({"inner_steps": -1}, "inner_steps must not be negative"),
        ({"eta": 0.0}, "eta must be positive"),
        ({"forget_weight": float("inf")}, "forget_weight must be positive and finite"),
        ({"forget_share": 2.0}, "forget_share must be from 0 to 1"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EraseDiff(**values)
