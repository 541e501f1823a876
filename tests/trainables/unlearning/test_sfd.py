"""SFD: both losses against literal transcriptions, one in x₀'s terms and one in ε's, and what a distillation carries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from formula import alpha_bar, epsilon_of, in_float64, noised, start

from trainables.data import Images
from trainables.diffusion import Diverged
from trainables.fine_tuning import Stateful
from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, Problem
from trainables.unlearning.sfd import Distillation, ScoreForgetting

B, FORGOTTEN, KEPT = 8, 2, 6
SMALL = {"batch": B, "forget_share": 0.25, "lambda_ratio": 1 / 3, "steps": 4, "learning_rate": 1e-2}
VALUES = SMALL | {"alternative": "class_fixed", "alpha": 1.3, "generator_timestep": 300}
T_GENERATOR, T_MIN, T_MAX = 300, 50, 500
BOUNDS = {"timestep_min": T_MIN, "timestep_max": T_MAX}


def begin(bench: Workbench, problem: Problem, model: UNet2DModel | None = None, **values: Any) -> Distillation:
    run = METHODS["sfd"].begin(model or start(bench), problem, METHODS["sfd"].configure(VALUES | BOUNDS | values), 1)
    assert isinstance(run, Distillation)
    return run


def different_networks(bench: Workbench, problem: Problem) -> tuple[Problem, UNet2DModel, ScoreForgetting]:
    """Generator, θ₀ and fake score in float64, no two the same."""
    problem, model = in_float64(problem), start(bench).double()
    run = begin(bench, problem, model, condition_dropout=0.5)
    for network, seed in ((model, 1), (run.gradient.fake, 2)):
        g = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.03 * torch.randn(parameter.shape, generator=g))
    return problem, model, run.gradient


def replay(problem: Problem, g: torch.Generator) -> tuple[torch.Tensor, ...]:
    """The draws of one loss: c and z of the generator, ε and t of the noised image, (B, …)."""
    torch.randint(len(problem.forget), (FORGOTTEN,), generator=g)  # which forgotten condition; here there is one
    kept = problem.retain.conditions[torch.randint(len(problem.retain), (KEPT,), generator=g)]
    kept = torch.where(torch.rand(KEPT, generator=g) < 0.5, torch.tensor(10), kept)
    c = torch.cat([torch.full((FORGOTTEN,), 3), kept])
    z = torch.randn(B, 1, 8, 8, generator=g).double()
    epsilon = torch.randn(B, 1, 8, 8, generator=g).double()
    return c, z, epsilon, torch.randint(T_MIN, T_MAX, (B,), generator=g)


def generated(model: UNet2DModel, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    t = torch.full((B,), T_GENERATOR)
    return (z - (1 - alpha_bar(t)).sqrt() * epsilon_of(model, z, t, c)) / alpha_bar(t).sqrt()


def weighted(per_image: torch.Tensor) -> torch.Tensor:
    """λ_f · mean over the forgotten + λ_r · mean over the kept, with λ_f / λ_r = 1/3."""
    return 0.25 * per_image[:FORGOTTEN].mean() + 0.75 * per_image[FORGOTTEN:].mean()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_generators_loss_is_its_formula(bench: Workbench, problem: Problem, seed: int) -> None:
    """Σ_pixels (x̂_φ - x̂_ψ)[(x̂_φ - x) - α (x̂_φ - x̂_ψ)] / ω over the number of pixels; its gradient too."""
    problem, model, sfd = different_networks(bench, problem)
    sfd.fake.requires_grad_(False)
    value = sfd.generator_loss(model, torch.Generator().manual_seed(seed))
    value.backward()
    gradient = [p.grad.clone() for p in model.parameters()]

    c, z, epsilon, t = replay(problem, torch.Generator().manual_seed(seed))
    c_alt = torch.where(c == 3, 4, c)
    x = generated(model, z, c)
    x_t = noised(x, epsilon, t)
    root, rest = alpha_bar(t).sqrt(), (1 - alpha_bar(t)).sqrt()
    x_true = (x_t - rest * epsilon_of(problem.base, x_t, t, c_alt)) / root
    x_fake = (x_t - rest * epsilon_of(sfd.fake, x_t, t, c)) / root
    omega = (x_true - x).abs().sum(dim=(1, 2, 3)).detach() / 64
    product = (x_true - x_fake) * ((x_true - x) - 1.3 * (x_true - x_fake))
    expected = weighted(product.sum(dim=(1, 2, 3)) / 64 / omega)

    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    for a, b in zip(gradient, torch.autograd.grad(expected, list(model.parameters())), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_generators_loss_is_its_formula_of_noises(bench: Workbench, problem: Problem, seed: int) -> None:
    """The same with x̂ = (x_t - √(1 - ᾱ) ε̂) / √ᾱ put in: (1 - ᾱ)/ᾱ · (ε_ψ - ε_φ)[(ε - ε_φ) - α (ε_ψ - ε_φ)] / ω."""
    problem, model, sfd = different_networks(bench, problem)
    with torch.no_grad():
        value = sfd.generator_loss(model, torch.Generator().manual_seed(seed))
        c, z, epsilon, t = replay(problem, torch.Generator().manual_seed(seed))
        x_t = noised(generated(model, z, c), epsilon, t)
        true, fake = epsilon_of(problem.base, x_t, t, torch.where(c == 3, 4, c)), epsilon_of(sfd.fake, x_t, t, c)
        ratio = (1 - alpha_bar(t)) / alpha_bar(t)
        omega = (ratio.sqrt() * (epsilon - true).abs()).mean(dim=(1, 2, 3))
        product = ratio * (fake - true) * ((epsilon - true) - 1.3 * (fake - true))
        expected = weighted(product.mean(dim=(1, 2, 3)) / omega)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_fake_scores_loss_is_its_formula(bench: Workbench, problem: Problem, seed: int) -> None:
    """E‖ε - ε_ψ(x_t, t, c)‖² on x = sg G_θ(z, c)."""
    problem, model, sfd = different_networks(bench, problem)
    value = sfd.fake_loss(model, torch.Generator().manual_seed(seed))
    value.backward()
    c, z, epsilon, t = replay(problem, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        predicted = epsilon_of(sfd.fake, noised(generated(model, z, c), epsilon, t), t, c)
        expected = weighted(((epsilon - predicted) ** 2).mean(dim=(1, 2, 3)))
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert all(p.grad is None for p in model.parameters()), "the generator does not move with its fake score"
    assert all(p.grad is not None for p in sfd.fake.parameters())


def test_all_start_as_the_base_model_and_only_two_move(bench: Workbench, problem: Problem) -> None:
    run = begin(bench, problem)
    base = {k: v.clone() for k, v in problem.base.state_dict().items()}
    assert all(torch.equal(base[k], v) for k, v in run.gradient.fake.state_dict().items())
    run.advance(2)
    assert not all(torch.equal(base[k], v) for k, v in run.gradient.fake.state_dict().items())
    assert not all(torch.equal(base[k], v) for k, v in run.model.state_dict().items())
    assert all(torch.equal(base[k], v) for k, v in problem.base.state_dict().items())
    assert all(p.grad is None for p in problem.base.parameters())


def test_no_image_is_needed_only_conditions(bench: Workbench, problem: Problem) -> None:
    def noise(images: Images) -> Images:
        return Images(torch.rand(images.images.shape, generator=torch.Generator().manual_seed(0)), images.conditions)

    blind = replace(problem, forget=noise(problem.forget), retain=noise(problem.retain))
    seeing, unseeing = begin(bench, problem), begin(bench, blind)
    seeing.advance(2)
    unseeing.advance(2)
    weights = unseeing.model.state_dict()
    assert all(torch.equal(v, weights[k]) for k, v in seeing.model.state_dict().items())


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_a_checkpoint_holds_both_networks_and_both_optimisers(
    bench: Workbench, problem: Problem, ema_decay: float
) -> None:
    whole, half, rest = (begin(bench, problem, ema_decay=ema_decay) for _ in range(3))
    whole.advance(4)
    half.advance(2)
    assert isinstance(half.gradient, Stateful)
    state = half.state()
    assert {"gradient.optimiser.exp_avg_sq", "optimiser.0.exp_avg_sq", "generator", "step"} <= set(state)
    assert sum(name.startswith("gradient.fake.") for name in state) == len(half.model.state_dict())
    rest.restore(state)
    rest.advance(4)
    fake = rest.gradient.fake.state_dict()
    assert all(torch.equal(v, fake[k]) for k, v in whole.gradient.fake.state_dict().items())
    weights = rest.trained().state_dict()
    assert all(torch.equal(v, weights[k]) for k, v in whole.trained().state_dict().items())


def test_the_sidecar_says_it_is_a_one_step_generator(bench: Workbench, problem: Problem) -> None:
    assert begin(bench, problem).facts == {"one_step": 300}


def test_both_optimisers_are_without_momentum_and_share_a_schedule(bench: Workbench, problem: Problem) -> None:
    run = begin(bench, problem, fake_ratio=2.0)
    for optimiser in (run.optimiser, run.gradient.optimiser):
        assert optimiser.param_groups[0]["betas"] == (0.0, 0.999)
    for _ in range(4):
        run.advance(run.step + 1)
        ratio = run.gradient.optimiser.param_groups[0]["lr"] / run.optimiser.param_groups[0]["lr"]
        assert ratio == pytest.approx(2.0)


def test_divergence_is_recorded_with_its_step(bench: Workbench, problem: Problem) -> None:
    run = begin(bench, problem)
    run.advance(1)
    with torch.no_grad():
        next(run.gradient.fake.parameters()).fill_(float("nan"))
    with pytest.raises(Diverged, match="step 2 of 4"):
        run.advance(4)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"alternative": "class_other"}, "class_other"),
        ({"timestep_min": 500}, "timestep_min < timestep_max"),
        ({"generator_timestep": 0}, "generator_timestep must be at least 1"),
        ({"fake_ratio": 0.0}, "fake_ratio must be positive"),
        ({"generator_timestep": 1000}, "within the schedule's 1000 timesteps"),
        ({"timestep_max": 1001}, "within the schedule's 1000 timesteps"),
    ],
)
def test_bad_settings_are_refused(bench: Workbench, problem: Problem, values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        begin(bench, problem, **values)
