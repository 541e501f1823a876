"""What every unlearning method must do, and the losses against their published formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DModel
from formula import in_float64, noised, start

from trainables.experiment import AttackPlan, TrialSpec
from trainables.stages import Stopwatch
from trainables.stages.prepare import Workbench
from trainables.stages.unlearn import UnlearnStage
from trainables.unlearning import (
    METHODS,
    FineTuningSettings,
    Problem,
    balance,
    mixture_weights,
    register_run,
    split_batch,
)

BATCH, SHARE, RATIO = 8, 0.25, 3.0
MEMORIZED, KEPT = 2, 6


def unlearn(bench: Workbench, problem: Problem, method: str, seed: int) -> dict[str, torch.Tensor]:
    member = METHODS[method]
    settings = member.configure({"steps": 3, "batch": BATCH, "learning_rate": 1e-2})
    run = member.begin(start(bench), problem, settings, seed)
    run.advance(3)
    return run.trained().state_dict()


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("method", METHODS.names())
def test_a_method_depends_on_its_seed_alone_and_leaves_the_problem_as_it_was(
    bench: Workbench, problem: Problem, method: str
) -> None:
    base = {name: value.clone() for name, value in problem.base.state_dict().items()}
    sets = [
        t.clone()
        for t in (problem.forget.images, problem.forget.conditions, problem.retain.images, problem.retain.conditions)
    ]
    first = unlearn(bench, problem, method, seed=1)
    torch.randn(3)  # nothing may come from the global generator
    assert equal(first, unlearn(bench, problem, method, seed=1))
    assert not equal(first, unlearn(bench, problem, method, seed=2))
    assert not equal(first, base), "the start model moves"
    assert equal(base, problem.base.state_dict()), "θ₀ does not"
    now = (problem.forget.images, problem.forget.conditions, problem.retain.images, problem.retain.conditions)
    assert all(torch.equal(a, b) for a, b in zip(sets, now, strict=True))
    assert not any(p.requires_grad for p in problem.base.parameters())


@pytest.mark.parametrize("method", METHODS.names())
def test_a_methods_loss_is_a_finite_scalar_with_a_gradient(bench: Workbench, problem: Problem, method: str) -> None:
    member, model = METHODS[method], start(bench)
    loss = member.loss(problem, member.configure({"batch": BATCH}))(model, torch.Generator().manual_seed(0))
    assert loss.shape == () and torch.isfinite(loss)
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize("method", METHODS.names())
def test_a_loss_is_a_mean_so_larger_batches_do_not_make_it_larger(
    bench: Workbench, problem: Problem, method: str
) -> None:
    member, model, values = METHODS[method], start(bench), []
    with torch.no_grad():
        for batch in (16, 256):
            step = member.loss(problem, member.configure({"batch": batch}))
            values.append(step(model, torch.Generator().manual_seed(0)).item())
    assert 0.5 < values[1] / values[0] < 2


@pytest.mark.parametrize("method", METHODS.names())
def test_an_unknown_setting_is_refused_and_the_known_ones_are_named(method: str) -> None:
    with pytest.raises(ValueError, match=f"'{method}' has no setting learning_rat; it has .*learning_rate"):
        METHODS[method].configure({"learning_rat": 1e-3})


@pytest.mark.parametrize("seed", [0, 1])
def test_the_dimum_loss_is_its_formula(bench: Workbench, problem: Problem, seed: int) -> None:
    """λ_r · E‖ε - ε_θ(x_t, t, c)‖² over D_r + λ_m · E‖ε - ε_θ(x_t, t, c_f)‖² over q_alt, λ_m + λ_r = 1."""
    problem, model = in_float64(problem), start(bench).double()
    values = {"replacement": "class_fixed", "replacement_images": 5, "lambda_ratio": RATIO, "forget_share": SHARE}
    settings = METHODS["dimum"].configure(values | {"batch": BATCH, "condition_dropout": 0.5})
    with torch.no_grad():
        value = METHODS["dimum"].loss(problem, settings)(model, torch.Generator().manual_seed(seed))

        fours = problem.retain.images[problem.retain.conditions == 4]
        q_alt = fours[torch.randperm(len(fours), generator=torch.Generator().manual_seed(0))[:5]]
        g = torch.Generator().manual_seed(seed)
        x_alt = q_alt[torch.randint(5, (MEMORIZED,), generator=g)]
        torch.randint(len(problem.forget), (MEMORIZED,), generator=g)  # which forgotten condition; here there is one
        drawn = torch.randint(len(problem.retain), (KEPT,), generator=g)
        c = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), problem.retain.conditions[drawn])
        epsilon = torch.randn(BATCH, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (BATCH,), generator=g)

        def mse(x: torch.Tensor, c: torch.Tensor, rows: slice) -> torch.Tensor:
            predicted = model(noised(x, epsilon[rows], t[rows]), t[rows], class_labels=c).sample
            return ((epsilon[rows] - predicted) ** 2).mean()

        memorization = mse(x_alt, torch.full((MEMORIZED,), 3), slice(0, MEMORIZED))
        retention = mse(problem.retain.images[drawn], c, slice(MEMORIZED, BATCH))
    assert value.item() == pytest.approx((0.75 * memorization + 0.25 * retention).item(), rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_label_swap_loss_is_its_formula(bench: Workbench, problem: Problem, seed: int) -> None:
    """λ_f · E‖ε_θ(x_t, t, c_f) - ε_θ(x_t, t, c_alt)‖² over D_f + λ_r · DSM(D_r), λ_f + λ_r = 1."""
    problem, model = in_float64(problem), start(bench).double()
    values = {"alternative": "class_fixed", "lambda_ratio": RATIO, "forget_share": SHARE, "batch": BATCH}
    settings = METHODS["label_swap"].configure(values | {"condition_dropout": 0.5})
    step = METHODS["label_swap"].loss(problem, settings)
    with torch.no_grad():
        value = step(model, torch.Generator().manual_seed(seed))

        g = torch.Generator().manual_seed(seed)
        x_f = problem.forget.images[torch.randint(len(problem.forget), (MEMORIZED,), generator=g)]
        epsilon_f = torch.randn(MEMORIZED, 1, 8, 8, generator=g).double()
        t_f = torch.randint(1000, (MEMORIZED,), generator=g)
        drawn = torch.randint(len(problem.retain), (KEPT,), generator=g)
        c = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), problem.retain.conditions[drawn])
        epsilon = torch.randn(KEPT, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (KEPT,), generator=g)

        x_t = noised(x_f, epsilon_f, t_f)
        as_forgotten, as_next = (model(x_t, t_f, class_labels=torch.full((MEMORIZED,), c)).sample for c in (3, 4))
        predicted = model(noised(problem.retain.images[drawn], epsilon, t), t, class_labels=c).sample
        expected = 0.75 * ((as_forgotten - as_next) ** 2).mean() + 0.25 * ((epsilon - predicted) ** 2).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_label_swap_does_not_pull_the_alternative_towards_the_forgotten_condition(
    bench: Workbench, problem: Problem
) -> None:
    """The stop-gradient: condition 4's embedding row has no gradient from the swap term."""
    member, model = METHODS["label_swap"], start(bench)
    no_fours = replace(problem, retain=problem.retain.where(problem.retain.conditions != 4))
    step = member.loss(no_fours, member.configure({"batch": BATCH, "alternative": "class_fixed"}))
    step(model, torch.Generator().manual_seed(0)).backward()
    gradient = model.class_embedding.weight.grad.abs().sum(dim=1)
    assert gradient[3] > 0 and gradient[4] == 0


def test_mixture_weights_make_one_mean_of_two() -> None:
    errors = torch.tensor([4.0, 2.0, 1.0, 5.0, 6.0])
    weights = mixture_weights(2, 3, 0.7, 0.3)
    assert (errors * weights).mean().item() == pytest.approx(0.7 * 3 + 0.3 * 4)


@pytest.mark.parametrize("ratio", [0.01, 1.0, 100.0])
def test_balanced_weights_have_the_ratio_and_sum_to_1(ratio: float) -> None:
    forget, keep = balance(ratio)
    assert forget / keep == pytest.approx(ratio) and forget + keep == pytest.approx(1)


@pytest.mark.parametrize("ratio", [0.0, -1.0])
def test_a_ratio_must_be_positive(ratio: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        balance(ratio)


def test_a_batch_holds_both_kinds_of_image() -> None:
    assert [split_batch(8, share) for share in (0.0, 0.25, 1.0)] == [1, 2, 7]
    with pytest.raises(ValueError, match="both kinds"):
        split_batch(1, 0.5)


def test_a_method_that_is_more_than_a_loss_begins_a_run_of_its_own(bench: Workbench) -> None:
    """A closed form, registered and driven by the unlearning stage like any other method."""

    class Halving:
        steps, step, last_loss, facts = 1, 0, 0.0, {"halved": True}

        def __init__(self, model: UNet2DModel) -> None:
            self.model = model

        def advance(self, until: int, deadline: float = float("inf")) -> bool:
            with torch.no_grad():
                for parameter in self.model.parameters():
                    parameter.mul_(0.5)
            self.step = until
            return True

        def trained(self) -> UNet2DModel:
            return self.model

    def begin(model: UNet2DModel, problem: Problem, settings: FineTuningSettings, seed: int) -> Halving:
        return Halving(model)

    begin.__module__ = "trainables.unlearning.dimum"  # its code version is a real module's
    METHODS.names()
    register_run("halving", FineTuningSettings)(begin)
    try:
        plan = AttackPlan("a", "dimra", {})
        spec = TrialSpec("t", 0, bench.experiment, "halving", {}, 0, (plan,), (0, 1))
        stage = UnlearnStage(bench, spec)
        assert stage.advance(Stopwatch(), float("inf"))
        weights = stage.commit(Stopwatch()).tensors()
    finally:
        del METHODS._members["halving"]
    for name, base in bench.base.state_dict().items():
        torch.testing.assert_close(torch.from_numpy(weights[name].copy()), base / 2)
