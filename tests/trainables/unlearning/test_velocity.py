"""A model that predicts v, against the same one read as ε: unlearning goes the same way from both."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from formula import alpha_bar, in_float64, noised, start
from velocity import as_velocity, twin_of

from trainables.fine_tuning import FineTuning
from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem

SAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "dsm": ("fine_tune", {}),
    "neg_grad": ("neg_grad", {}),
    "esd": ("esd", {"chain_steps": 3, "negative_guidance": 2.0}),
    "esd on noised images": ("esd", {"x_t": "noised", "retain_weight": 0.0}),
    "sdd": ("sdd", {"chain_steps": 3, "trained_parameters": "all"}),
    "label swap": ("label_swap", {}),
    "concept ablation": ("concept_ablation", {"variant": "model"}),
    "salun": ("salun", {}),
    "erase_diff": ("erase_diff", {"inner_steps": 0}),
}


def gradient_of(
    method: str, problem: Problem, model: torch.nn.Module, values: dict[str, Any]
) -> tuple[list[torch.Tensor], float]:
    """A first step's gradient of every parameter, and its loss."""
    member = METHODS[method]
    run = member.begin(model, problem, member.configure({"batch": 6, "steps": 4} | values), seed=5)  # type: ignore[arg-type]
    assert isinstance(run, FineTuning)
    run.clear_gradient()
    loss = float(run.gradient(run))
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in run.parameters], loss


@pytest.mark.parametrize("same", SAMES)
def test_a_v_twins_gradient_has_the_direction_of_epsilons_once_it_is_weighted(
    same: str, bench: Workbench, problem: Problem
) -> None:
    """∇ of ᾱ_t ‖Δv‖² is ∇ of ‖Δε‖²: every target is an affine combination of predictions, or the noise."""
    method, values = SAMES[same]
    problem, model = in_float64(problem), start(bench).double()
    of_epsilon, loss = gradient_of(method, problem, model, values)
    of_v, v_loss = gradient_of(method, as_velocity(problem), twin_of(start(bench).double(), weighted=True), values)
    assert sum(g.norm() for g in of_epsilon) > 0
    for ours, theirs in zip(of_v, of_epsilon, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
    assert abs(v_loss / loss) > 1.001, "unweighted, the losses are not the same"


def test_siss_asks_the_same_of_a_v_twin_without_any_weight(bench: Workbench, problem: Problem) -> None:
    """Its importance weights are of ε: the prediction is converted first."""
    problem = in_float64(problem)
    of_epsilon, loss = gradient_of("siss", problem, start(bench).double(), {})
    of_v, v_loss = gradient_of("siss", as_velocity(problem), twin_of(start(bench).double()), {})
    assert v_loss == pytest.approx(loss, rel=1e-6)
    for ours, theirs in zip(of_v, of_epsilon, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_erase_diffs_random_target_of_v_is_the_velocity_towards_uniform_noise(
    bench: Workbench, problem: Problem
) -> None:
    """v* = √ᾱ_t u - √(1 - ᾱ_t) x, u ~ U[0, 1]: the gradient of L_f is what a larger λ adds to the step's."""
    problem = as_velocity(in_float64(problem))
    values = {"batch": 4, "target": "noise", "inner_steps": 0, "forget_share": 0.5}
    of_one, of_two = (
        gradient_of("erase_diff", problem, twin_of(start(bench).double()), values | {"forget_weight": weight})[0]
        for weight in (1.0, 2.0)
    )
    model, g = twin_of(start(bench).double()), torch.Generator().manual_seed(5)

    def drawn(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        which = torch.randint(n, (2,), generator=g)
        return which, torch.randn(2, 1, 8, 8, generator=g).double(), torch.randint(1000, (2,), generator=g)

    torch.randint(len(problem.retain), (2,), generator=g), torch.rand(2, generator=g)  # of the retain loss
    torch.randn(2, 1, 8, 8, generator=g), torch.randint(1000, (2,), generator=g)
    which, epsilon, t = drawn(len(problem.forget))
    u, x = torch.rand(2, 1, 8, 8, generator=g).double(), problem.forget.images[which]
    target = alpha_bar(t).sqrt() * u - (1 - alpha_bar(t)).sqrt() * x
    predicted = model(noised(x, epsilon, t), t, class_labels=torch.full((2,), 3)).sample
    ((target - predicted) ** 2).mean().backward()
    for p, one, two in zip(model.parameters(), of_one, of_two, strict=True):
        torch.testing.assert_close(two - one, torch.zeros_like(p) if p.grad is None else p.grad, rtol=1e-5, atol=1e-8)


def test_one_step_generators_of_v_are_refused_in_one_line(bench: Workbench, problem: Problem) -> None:
    with pytest.raises(ValueError, match="predict ε, and this one predicts v") as error:
        METHODS["sfd"].begin(start(bench), as_velocity(problem), METHODS["sfd"].configure({}), 0)
    assert "\n" not in str(error.value)
