"""Meta-Unlearning: its gradient against a deep copy that is fine-tuned, and what a wrapper must leave alone."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from formula import in_float64, noised, start

from trainables.data import Images
from trainables.fine_tuning import FineTuning, Stateful
from trainables.relearning.products import Workbench
from trainables.unlearning import METHODS, FineTuningSettings, Method, Problem
from trainables.unlearning.meta import MetaGradient, meta, meta_settings, related_benign

SMALL = {"batch": 8, "steps": 4, "learning_rate": 1e-2}
META = {"meta_weight": 0.7, "zeta": 0.4, "meta_inner_steps": 3, "meta_inner_learning_rate": 0.05, "meta_cap": 100.0}
INNER_BATCH = 5

INNER = ("dimum", "salun", "sdd")  # a loss; a masked one; one that keeps a teacher between steps


def begin(bench: Workbench, problem: Problem, method: str, double: bool = True, **values: Any) -> FineTuning:
    member = METHODS[method]
    model = start(bench).double() if double else start(bench)
    run = member.begin(model, problem, member.configure(SMALL | values), seed=1)
    assert isinstance(run, FineTuning)
    run.model.train()
    return run


def gradient_of(run: FineTuning) -> list[torch.Tensor]:
    run.clear_gradient()
    run.gradient(run)
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in run.parameters]


def weights_of(model: UNet2DModel) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def dsm(model: UNet2DModel, problem: Problem, rows: torch.Tensor, of: str, g: torch.Generator) -> torch.Tensor:
    images, conditions = getattr(problem, of).images[rows], getattr(problem, of).conditions[rows]
    return dsm_of(model, images, conditions, *noise_of(images, g))


def noise_of(images: torch.Tensor, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(images.shape, generator=g).double(), torch.randint(1000, (len(images),), generator=g)


def dsm_of(
    model: UNet2DModel, x: torch.Tensor, c: torch.Tensor, epsilon: torch.Tensor, t: torch.Tensor
) -> torch.Tensor:
    return ((epsilon - model(noised(x, epsilon, t), t, class_labels=c).sample) ** 2).mean()


@pytest.mark.parametrize("clip", [1e9, 0.1])
@pytest.mark.parametrize("method", INNER)
def test_the_meta_gradient_is_its_formula(bench: Workbench, problem: Problem, method: str, clip: float) -> None:
    """∇L_unlearn(θ) + γ [ζ ∇DSM(θ; D_ret) - ∇DSM(θ_FT; D_FT) - ζ ∇DSM(θ_FT; D_ret)], θ_FT by SGD on DSM(D_FT)."""
    problem = in_float64(problem)
    inner = begin(bench, problem, method, grad_clip=clip)
    unlearning = gradient_of(inner)
    g = inner.generator  # where the inner method left it, the meta objective goes on

    related = problem.retain.of(int(related_benign(problem).conditions[0]))
    rows = torch.randint(len(related), (INNER_BATCH,), generator=g)
    x_ret, c_ret = related.images[rows], related.conditions[rows]
    epsilon, t = noise_of(x_ret, g)

    theta, theta_ft = deepcopy(inner.model), deepcopy(inner.model)
    names = [n for n, p in theta.named_parameters() if p.requires_grad]
    moving = [dict(theta_ft.named_parameters())[n] for n in names]
    for _ in range(3):
        harm = dsm(theta_ft, problem, torch.randint(len(problem.forget), (INNER_BATCH,), generator=g), "forget", g)
        step = torch.autograd.grad(harm, moving, allow_unused=True, materialize_grads=True)
        norm = torch.cat([s.flatten() for s in step]).norm()
        with torch.no_grad():
            for weight, s in zip(moving, step, strict=True):
                weight -= 0.05 * s * min(1.0, clip / norm)
    harm = dsm(theta_ft, problem, torch.randint(len(problem.forget), (INNER_BATCH,), generator=g), "forget", g)
    at_theta_ft = torch.autograd.grad(
        -harm - 0.4 * dsm_of(theta_ft, x_ret, c_ret, epsilon, t), moving, allow_unused=True, materialize_grads=True
    )
    weights = [dict(theta.named_parameters())[n] for n in names]
    at_theta = torch.autograd.grad(
        0.4 * dsm_of(theta, x_ret, c_ret, epsilon, t), weights, allow_unused=True, materialize_grads=True
    )
    expected = [u + 0.7 * (a + b) for u, a, b in zip(unlearning, at_theta, at_theta_ft, strict=True)]

    run = begin(bench, problem, f"meta({method})", grad_clip=clip, meta_inner_batch=INNER_BATCH, **META)
    before = weights_of(run.model)
    given = gradient_of(run)
    assert all(torch.equal(before[n], v) for n, v in run.model.state_dict().items()), "θ is as it was, to the bit"
    scale = max(e.abs().max() for e in expected)
    for a, b in zip(given, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9 * scale.item())
    assert torch.equal(run.generator.get_state(), g.get_state())


def test_the_loss_is_its_formula(bench: Workbench, problem: Problem) -> None:
    """L_unlearn + γ L_meta: with one weight moved alone, γ's difference quotient is L_meta, whatever γ."""
    problem = in_float64(problem)
    losses = []
    for gamma in (0.5, 1.0, 1.5):
        run = begin(bench, problem, "meta(dimum)", meta_inner_batch=INNER_BATCH, **META | {"meta_weight": gamma})
        losses.append(run.gradient(run).item())
    assert losses[1] - losses[0] == pytest.approx(losses[2] - losses[1], rel=1e-9)
    assert losses[1] - losses[0] < 0, "a loss that is pushed up enters with a minus"
    alone = begin(bench, problem, "dimum")
    assert 2 * losses[0] - losses[1] == pytest.approx(alone.gradient(alone).item(), rel=1e-9)


def test_beyond_the_cap_the_forgotten_images_have_no_gradient(bench: Workbench, problem: Problem) -> None:
    problem = in_float64(problem)
    values = META | {"zeta": 0.0, "meta_inner_batch": INNER_BATCH}
    alone = gradient_of(begin(bench, problem, "dimum"))
    capped = gradient_of(begin(bench, problem, "meta(dimum)", **values | {"meta_cap": 1e-6}))
    free = gradient_of(begin(bench, problem, "meta(dimum)", **values))
    assert all(torch.equal(a, b) for a, b in zip(alone, capped, strict=True))
    assert not all(torch.allclose(a, b) for a, b in zip(alone, free, strict=True))


def test_beyond_the_cap_nothing_of_the_attacked_model_has_a_gradient(bench: Workbench, problem: Problem) -> None:
    """-ζ · DSM(θ_FT; D_ret) and -κ′ · DSM(θ_FT; D_irt) have no lower bound either: how far θ_FT is makes no difference then."""
    problem = in_float64(problem)
    values = META | {"meta_inner_batch": INNER_BATCH, "meta_unrelated_after": 0.3}

    def gradient(cap: float, rate: float) -> list[torch.Tensor]:
        values_here = values | {"meta_cap": cap, "meta_inner_learning_rate": rate}
        return gradient_of(begin(bench, problem, "meta(dimum)", **values_here))

    near, far = gradient(1e-6, 0.05), gradient(1e-6, 0.5)
    assert all(torch.equal(a, b) for a, b in zip(near, far, strict=True))
    near, far = gradient(100.0, 0.05), gradient(100.0, 0.5)
    assert not all(torch.allclose(a, b) for a, b in zip(near, far, strict=True))


def test_without_weight_it_is_the_method_itself(bench: Workbench, problem: Problem) -> None:
    wrapped = begin(bench, problem, "meta(dimum)", double=False, meta_weight=0.0)
    alone = begin(bench, problem, "dimum", double=False)
    wrapped.advance(4)
    alone.advance(4)
    trained = alone.trained().state_dict()
    assert all(torch.equal(v, trained[n]) for n, v in wrapped.trained().state_dict().items())


def test_parameters_that_do_not_train_are_not_attacked(bench: Workbench, problem: Problem) -> None:
    run = begin(bench, problem, "meta(dimum)", double=False, trained_parameters="condition", **META)
    before = weights_of(run.model)
    run.advance(2)
    moving = {n for n, p in run.model.named_parameters() if p.requires_grad}
    after = run.model.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before if n not in moving)
    assert any(not torch.equal(before[n], after[n]) for n in moving)


def test_weights_are_restored_where_a_step_fails(
    bench: Workbench, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(bench, problem, "meta(dimum)", **META, double=False)
    before, attack, calls = weights_of(run.model), MetaGradient._attack, []

    def fail_at_the_second(self: MetaGradient, run: FineTuning, x_f: Images) -> None:
        calls.append(attack(self, run, x_f))
        if len(calls) == 2:
            raise RuntimeError("interrupted")

    monkeypatch.setattr(MetaGradient, "_attack", fail_at_the_second)
    with pytest.raises(RuntimeError, match="interrupted"):
        run.gradient(run)
    assert all(torch.equal(before[n], v) for n, v in run.model.state_dict().items())


class Counting:
    """A gradient that keeps something between steps."""

    def __init__(self) -> None:
        self.count = torch.tensor(0)

    def __call__(self, run: FineTuning) -> torch.Tensor:
        self.count = self.count + 1
        for parameter in run.parameters:
            parameter.grad = torch.full_like(parameter, float(self.count))
        return torch.tensor(1.0)

    def state(self) -> dict[str, torch.Tensor]:
        return {"count": self.count}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self.count = state["count"]


def counting(method: Method) -> Method:
    """`method` with a gradient that counts."""

    def begin(model: UNet2DModel, problem: Problem, values: FineTuningSettings, seed: int) -> FineTuning:
        run = method.begin(model, problem, values, seed)
        assert isinstance(run, FineTuning)
        run.gradient = Counting()
        return run

    return replace(method, begin=begin)


def test_what_the_inner_method_keeps_is_in_the_checkpoint(bench: Workbench, problem: Problem) -> None:
    wrapped = meta(counting(METHODS["dimum"]))
    values = wrapped.configure(SMALL | META)

    def run() -> FineTuning:
        begun = wrapped.begin(start(bench), problem, values, 1)
        assert isinstance(begun, FineTuning)
        return begun

    whole, half, rest = run(), run(), run()
    whole.advance(4)
    half.advance(2)
    assert "gradient.count" in half.state()
    rest.restore(half.state())
    assert isinstance(rest.gradient, MetaGradient) and isinstance(rest.gradient.inner, Stateful)
    assert int(rest.gradient.inner.count) == 2  # type: ignore[attr-defined]
    rest.advance(4)
    weights = rest.model.state_dict()
    assert all(torch.equal(v, weights[n]) for n, v in whole.model.state_dict().items())


def test_a_method_that_keeps_nothing_has_no_gradient_in_its_checkpoint(bench: Workbench, problem: Problem) -> None:
    run = begin(bench, problem, "meta(dimum)", double=False, **META)
    run.advance(1)
    assert not [name for name in run.state() if name.startswith("gradient.")]


def test_the_wrapped_methods_traits_stay(bench: Workbench) -> None:
    inner, wrapped = METHODS["dimum"], METHODS["meta(dimum)"]
    assert wrapped.name == "meta(dimum)" and wrapped.forgets == inner.forgets and wrapped.needs == inner.needs
    assert wrapped.modules == ("trainables.unlearning.meta", "trainables.unlearning.dimum")
    own = [f.name for f in fields(wrapped.settings)]
    assert own[: len(fields(inner.settings))] == [f.name for f in fields(inner.settings)]
    assert METHODS["meta(dimum)"].settings is wrapped.settings, "made once"
    assert issubclass(wrapped.settings, inner.settings)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replacement": "kittens"}, "kittens"),  # the inner method's own check
        ({"meta_weight": -1.0}, "meta_weight must be finite and not negative"),
        ({"zeta": float("inf")}, "zeta must be finite"),
        ({"meta_inner_steps": 0}, "meta_inner_steps must be at least 1"),
        ({"meta_inner_batch": 0}, "meta_inner_batch must be at least 1"),
        ({"meta_inner_learning_rate": 0.0}, "meta_inner_learning_rate must be positive"),
        ({"meta_cap": float("nan")}, "meta_cap must be positive"),
        ({"meta_unrelated": -0.1}, "meta_unrelated must be finite and not negative"),
        ({"meta_inner_trains": "head"}, "meta_inner_trains 'head' is none of all"),
        ({"meta_wait": 1.0}, "'meta.dimum.' has no setting meta_wait; it has .*meta_weight"),
    ],
)
def test_bad_settings_are_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        METHODS["meta(dimum)"].configure(values)


def test_what_is_no_step_to_fine_tune_by_is_refused() -> None:
    with pytest.raises(ValueError, match=r"meta\(dimum\) is more than a step"):
        meta(METHODS["meta(dimum)"])
    with pytest.raises(ValueError):
        METHODS["meta(meta(dimum))"]


def test_a_name_that_would_mean_two_things_is_refused() -> None:
    with pytest.raises(ValueError, match=r"MetaDiMUM has settings of the same name: .*zeta"):
        meta_settings(METHODS["meta(dimum)"].settings)


def test_the_related_set_is_the_nearest_retained_condition(problem: Problem) -> None:
    related = related_benign(problem)
    assert len(related.conditions.unique()) == 1 and int(related.conditions[0]) in problem.forgetting.retained
    assert len(related) == len(problem.retain.of(int(related.conditions[0])))


def test_without_conditions_the_related_set_is_the_nearest_images(problem: Problem) -> None:
    several = replace(problem, forgetting=replace(problem.forgetting, conditions=(), instances=(1,)))
    related = related_benign(several)
    chosen = {tuple(image.flatten().tolist()) for image in related.images}
    features, centre = problem.features(problem.retain.images), problem.features(problem.forget.images)
    nearest = torch.cdist(torch.from_numpy(features), torch.from_numpy(centre)).min(dim=1).values.argsort()[:64]
    assert len(related) == 64
    assert chosen == {tuple(image.flatten().tolist()) for image in problem.retain.images[nearest]}
