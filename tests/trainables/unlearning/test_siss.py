"""SISS against its published formula, and what its superfactor and its weights are for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from formula import alpha_bar, in_float64

from trainables.audits import image_losses
from trainables.data import DATASETS, Images
from trainables.denoisers.models import build
from trainables.denoisers.recipes import BaseModel
from trainables.diffusion import denoising_loss, noise_schedule
from trainables.fine_tuning import FineTuning, Optimisation
from trainables.forgetting import parse_forget
from trainables.training.device import Device
from trainables.unlearning import METHODS, Problem

BATCH = 24


@pytest.fixture(scope="module")
def problem() -> Problem:
    """Three instances of the duplicated digits to forget, and a fresh unconditional model."""
    data = DATASETS["digits_duplicated"]
    forgetting = parse_forget("instances:0,1,2", data)
    torch.manual_seed(0)
    base = build(BaseModel(channels=(8, 8)).config(data)).eval().requires_grad_(False)
    forget, retain = forgetting.split(data.load().train)
    unused: Any = None
    return Problem(lambda: base, noise_schedule(), forget, retain, forgetting, 1, unused, unused, Device())


def begin(problem: Problem, model: UNet2DModel, seed: int = 0, **settings: float) -> FineTuning:
    member = METHODS["siss"]
    run = member.begin(model, problem, member.configure({"batch": BATCH, **settings}), seed)
    assert isinstance(run, FineTuning)
    return run


def fresh(problem: Problem) -> UNet2DModel:
    model = build({k: v for k, v in problem.base.config.items() if not k.startswith("_")})
    model.load_state_dict(problem.base.state_dict())
    return model


def gradients(run: FineTuning) -> torch.Tensor:
    """One step's gradient, all parameters in one vector."""
    run.gradient(run)
    return torch.cat([p.grad.flatten() for p in run.parameters if p.grad is not None])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("lam", [0.5, 0.2])
def test_the_gradient_is_its_formula(problem: Problem, seed: int, lam: float) -> None:
    """∇E[w_x ‖ε_x - ε_θ(m_t)‖²] - s ∇E[w_a ‖ε_a - ε_θ(m_t)‖²], s = norm / ‖g_a‖, densities and weights written out."""
    problem = in_float64(problem)
    model = fresh(problem).double()
    run = begin(problem, model, seed, mixture=lam, deletion_norm=0.03)
    loss, gradient = run.gradient(run), torch.cat([p.grad.flatten() for p in run.parameters])  # type: ignore[union-attr]

    g = torch.Generator().manual_seed(seed)
    x = problem.retain.images[torch.randint(len(problem.retain), (BATCH,), generator=g)]
    a = problem.forget.images[torch.randint(len(problem.forget), (BATCH,), generator=g)]
    epsilon = torch.randn(x.shape, generator=g).double()
    t = torch.randint(1000, (BATCH,), generator=g)
    from_a = torch.rand(BATCH, generator=g) < lam
    gamma, sigma = alpha_bar(t).sqrt(), (1 - alpha_bar(t)).sqrt()
    m = torch.stack([gamma[i] * (a[i] if from_a[i] else x[i]) + sigma[i] * epsilon[i] for i in range(BATCH)])

    def log_density(mean: torch.Tensor) -> torch.Tensor:  # of N(γ·image, σ²), without its constant
        return -((m - mean) ** 2 / (2 * sigma**2)).sum(dim=(1, 2, 3))

    of_x, of_a = log_density(gamma * x), log_density(gamma * a)
    w_x = 1 / ((1 - lam) + lam * torch.exp(of_a - of_x))
    w_a = 1 / ((1 - lam) * torch.exp(of_x - of_a) + lam)
    assert ((w_x > 0.05) & (w_a > 0.05)).any() and (w_a < 1e-6).any(), "near and far pairs are both there"
    predicted = model(m, t).sample
    kept = (w_x * (((m - gamma * x) / sigma - predicted) ** 2).mean(dim=(1, 2, 3))).mean()
    deleted = (w_a * (((m - gamma * a) / sigma - predicted) ** 2).mean(dim=(1, 2, 3))).mean()
    g_x, g_a = (
        torch.cat([p.flatten() for p in torch.autograd.grad(term, run.parameters, retain_graph=True)])
        for term in (kept, deleted)
    )
    s = 0.03 / g_a.norm()
    assert loss.item() == pytest.approx((kept - s * deleted).item(), rel=1e-6)
    torch.testing.assert_close(gradient, g_x - s * g_a, rtol=1e-6, atol=1e-12)


def test_the_deletion_gradient_always_has_the_norm_asked_for(problem: Problem) -> None:
    keep_alone = gradients(begin(problem, fresh(problem), deletion_norm=0))
    for norm in (1e-3, 10.0):
        both = gradients(begin(problem, fresh(problem), deletion_norm=norm))
        assert (keep_alone - both).norm().item() == pytest.approx(norm, rel=1e-3)


def test_far_apart_images_give_finite_gradients(problem: Problem) -> None:
    """The density ratio of two unlike images at little noise overflows every float; the weights do not."""
    unlike = problem.forget.images.sign() * 100
    apart = Problem(**{**vars(problem), "forget": Images(unlike, problem.forget.conditions)})
    run = begin(apart, fresh(problem))
    assert torch.isfinite(run.gradient(run)) and torch.isfinite(gradients(run)).all()


def test_a_batch_without_a_noised_image_of_what_is_forgotten_is_plain_training(problem: Problem) -> None:
    """Its deletion gradient may be exactly 0, which no factor brings to a norm."""
    unlike = Images(torch.full_like(problem.forget.images, 1e6), problem.forget.conditions)
    apart = Problem(**{**vars(problem), "forget": unlike})
    run = begin(apart, fresh(problem), mixture=1e-9)
    assert torch.isfinite(gradients(run)).all() and gradients(run).norm() > 0


def test_the_deleted_images_get_harder_and_the_others_less_so(problem: Problem) -> None:
    """Ascent on what is forgotten, descent on the rest: from a model that has learned both."""
    both, schedule = fresh(problem), problem.schedule
    mixed = Images(torch.cat([problem.forget.images[:8], problem.retain.images[:8]]), torch.zeros(16).long())

    def learn(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        return denoising_loss(model, schedule, mixed.images, mixed.conditions, generator)

    FineTuning(both, learn, Optimisation(1e-2, 60), 0, Device()).advance(60)
    kept, gone = Images(*(t[8:] for t in vars(mixed).values())), Images(*(t[:8] for t in vars(mixed).values()))
    before = [image_losses(both, schedule, s, Device()).mean() for s in (kept, gone)]
    one = Problem(**{**vars(problem), "forget": gone, "retain": kept})
    run = begin(one, both, learning_rate=3e-3, steps=20, deletion_norm=0.3)
    assert run.advance(20)
    after = [image_losses(run.trained(), schedule, s, Device()).mean() for s in (kept, gone)]
    assert after[1] - before[1] > max(0.03, 2 * (after[0] - before[0]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mixture": 0.0}, "mixture must lie between 0 and 1, not at 0.0"),
        ({"mixture": 1.0}, "mixture must lie between 0 and 1, not at 1.0"),
        ({"deletion_norm": -1.0}, "deletion_norm must be at least 0 and finite, not -1.0"),
        ({"deletion_norm": float("inf")}, "deletion_norm must be at least 0 and finite, not inf"),
    ],
)
def test_settings_without_a_meaning_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        METHODS["siss"].configure(values)


def test_siss_forgets_instances_alone() -> None:
    METHODS["siss"].check_forgets(parse_forget("instances:0", DATASETS["digits_duplicated"]))
    with pytest.raises(ValueError, match="'siss' forgets instances, not 3"):
        METHODS["siss"].check_forgets(parse_forget("3", DATASETS["digits"]))
