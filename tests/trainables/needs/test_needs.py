"""Shared artifacts against brute force: one image, one gradient at a time."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DModel
from formula import epsilon_of, in_float64, noised

from trainables.data import DATASETS, Images
from trainables.denoisers.recipes import BaseModel
from trainables.diffusion import predict
from trainables.forgetting import Forget
from trainables.needs import SHARED, Shared, fisher, fisher_ratio, saliency
from trainables.needs._gradients import differentiable_base
from trainables.relearning.experiment import Experiment
from trainables.relearning.products import make_shared
from trainables.sampling.noise_schedule import NoiseSchedule
from trainables.training.device import Device
from trainables.unlearning import METHODS, Problem

BATCH, PASSES, NOISES = 3, 2, 4


@pytest.fixture
def small(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> Problem:
    """Five images to forget and six to keep, in float64; batches of 3, of which the last is not full."""
    monkeypatch.setattr(saliency, "_BATCH", BATCH)
    monkeypatch.setattr(saliency, "_NOISED_IMAGES", 5 * PASSES)
    monkeypatch.setattr(fisher, "_NOISES", NOISES)
    monkeypatch.setattr(fisher_ratio, "_IMAGES", 4)
    exact = in_float64(problem)
    return replace(
        exact, forget=exact.forget.where(torch.arange(5)), retain=exact.retain.where(torch.arange(0, 600, 100))
    )


def gradient_of(loss: torch.Tensor, of: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = torch.autograd.grad(loss, list(of.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(of, found, strict=True))


@pytest.fixture
def parameters(small: Problem) -> Iterator[dict[str, torch.Tensor]]:
    """θ₀'s own parameters, made differentiable for the brute force only."""
    small.base.requires_grad_(True)
    yield dict(small.base.named_parameters())
    small.base.requires_grad_(False)


def test_saliency_is_the_size_of_the_mean_gradient_over_the_forget_set(
    small: Problem, parameters: dict[str, torch.Tensor]
) -> None:
    made = saliency.saliency(small, 7)

    g, total = torch.Generator().manual_seed(7), {name: torch.zeros_like(p) for name, p in parameters.items()}
    for batch in ((0, 1, 2), (3, 4, 0), (1, 2, 3), (4,)):
        epsilon = torch.randn(len(batch), 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (len(batch),), generator=g)
        for row, i in enumerate(batch):
            x, c = small.forget.images[i : i + 1], small.forget.conditions[i : i + 1]
            one = slice(row, row + 1)
            predicted = epsilon_of(small.base, noised(x, epsilon[one], t[one]), t[one], c)
            for name, value in gradient_of(((epsilon[one] - predicted) ** 2).mean(), parameters).items():
                total[name] += value / (5 * PASSES)
    assert made.keys() == parameters.keys()
    for name in parameters:
        torch.testing.assert_close(made[name], total[name].abs(), rtol=1e-6, atol=1e-12)


def squared_gradients(
    problem: Problem, images: Images, g: torch.Generator, parameters: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Mean over images of (the image's gradient)², its loss a mean over pairs of timestep and noise."""
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for x, c in zip(images.images, images.conditions, strict=True):
        epsilon = torch.randn(NOISES, 1, 8, 8, generator=g).double()
        t = torch.randint(1000, (NOISES,), generator=g)
        errors = []
        for j in range(NOISES):
            x_t = noised(x[None], epsilon[j : j + 1], t[j : j + 1])
            errors.append((epsilon[j] - epsilon_of(problem.base, x_t, t[j : j + 1], c[None])[0]) ** 2)
        for name, value in gradient_of(torch.stack(errors).mean(), parameters).items():
            total[name] += value**2 / len(images)
    return total


def test_fisher_squares_the_gradient_image_by_image(small: Problem, parameters: dict[str, torch.Tensor]) -> None:
    made = fisher.fisher_diagonal(small, small.retain, torch.Generator().manual_seed(7))
    expected = squared_gradients(small, small.retain, torch.Generator().manual_seed(7), parameters)
    for name in parameters:
        torch.testing.assert_close(made[name], expected[name], rtol=1e-6, atol=1e-16)


def test_gradients_are_the_same_in_passes_of_few_images_and_with_checkpointing(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes through θ₀ at once is what its maps allow, in the precision of the device; the artifact is that of one pass."""
    monkeypatch.setattr(fisher, "_NOISES", NOISES)
    exact = in_float64(problem)
    few = exact.forget.where(torch.arange(7))
    split = replace(exact, device=Device(checkpointing=True))
    at_once: list[tuple[int, bool]] = []

    def made(of: Problem) -> list[dict[str, torch.Tensor]]:
        g = torch.Generator().manual_seed(7)
        return [saliency.mean_gradient(of, few, 2, g), fisher.fisher_diagonal(of, few, g)]

    def predicted(model: UNet2DModel, noisy: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        at_once.append((len(noisy), torch.is_autocast_enabled("cpu")))
        return predict(model, noisy, *rest)

    whole = made(exact)
    monkeypatch.setattr("trainables.needs._gradients.gradient_batch_for", lambda model, shape: 3)
    monkeypatch.setattr("trainables.diffusion.predict", predicted)
    for one, parts in zip(whole, made(split), strict=True):
        for name in one:
            torch.testing.assert_close(parts[name], one[name], rtol=1e-9, atol=1e-14)
    assert at_once == [(n, False) for n in [3, 3, 3, 3, 2] + [3, 1] * 7]
    assert differentiable_base(split).is_gradient_checkpointing and not exact.base.is_gradient_checkpointing
    at_once.clear()
    saliency.mean_gradient(
        replace(problem, device=Device(precision="bf16")), problem.forget.where(torch.arange(2)), 1, torch.Generator()
    )
    assert at_once == [(2, True)]


def test_fisher_is_over_images_that_the_base_model_makes_for_every_condition(problem: Problem) -> None:
    images = fisher.generated(problem, 7)
    assert torch.bincount(images.conditions).tolist() == [6] * 10, "the forgotten one too"
    assert images.images.shape == (60, 1, 8, 8) and images.images.abs().max() <= 1
    assert torch.equal(images.images, fisher.generated(problem, 7).images)
    other = replace(problem, generated=lambda condition, n: pytest.fail("depends on how samples are scored"))
    assert torch.equal(images.images, fisher.generated(other, 7).images)


def test_what_a_model_of_latents_makes_is_not_cut_to_the_range_of_pixels(problem: Problem) -> None:
    unclipped = NoiseSchedule(clip_sample=False).scheduler()
    pixels = fisher.generated(replace(problem, schedule=unclipped), 7).images
    latents = fisher.generated(replace(problem, schedule=unclipped, in_latents=True), 7).images
    assert latents.abs().max() > 1 and torch.equal(pixels, latents.clamp(-1, 1))


def test_the_fisher_ratio_divides_the_forget_sets_by_the_retain_sets(
    small: Problem, parameters: dict[str, torch.Tensor]
) -> None:
    made = fisher_ratio.fisher_ratio(small, 7)
    g, both = torch.Generator().manual_seed(7), []
    for images in (small.forget, small.retain):
        chosen = images.where(torch.randperm(len(images), generator=g)[:4])
        both.append(squared_gradients(small, chosen, g, parameters))
    for name in parameters:
        expected = (both[0][name] + 1e-15) / (both[1][name] + 1e-15)
        torch.testing.assert_close(made[name], expected, rtol=1e-6, atol=0)
    rows = made["class_embedding.weight"]
    assert rows[3].max() > 1e3, "the forgotten condition's row matters to no retained image"
    assert torch.all(rows[10] == 1), "the null condition's matters to neither"


@pytest.mark.parametrize("name", SHARED.names())
def test_an_unconditional_model_has_shared_artifacts_too(
    problem: Problem, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two images to forget, by index: what sfr_on and whoever else forgets instances needs."""
    monkeypatch.setattr(fisher, "_IMAGES", 2)
    monkeypatch.setattr(fisher_ratio, "_IMAGES", 2)
    unlabelled = Images(problem.retain.images, torch.zeros_like(problem.retain.conditions))
    forgetting = Forget("instances:0,1", (), (0,), instances=(0, 1))
    forget, retain = forgetting.split(unlabelled)
    recipe = BaseModel(channels=(8, 16), norm_groups=8)
    torch.manual_seed(0)
    base = UNet2DModel(**recipe.config(DATASETS["digits"]) | {"num_class_embeds": None})
    instances = replace(
        problem,
        base_model=lambda: base.requires_grad_(False),
        forget=forget,
        retain=retain,
        forgetting=forgetting,
        null_condition=1,
    )
    made = SHARED[name].make(instances, 0)
    assert made.keys() == dict(base.named_parameters()).keys()
    assert all(torch.isfinite(t).all() for t in made.values())
    if name == "fisher_ratio":
        run = METHODS["sfr_on"].begin(
            deepcopy(base), replace(instances, shared={name: made}), METHODS["sfr_on"].configure({"steps": 2}), 0
        )
        assert run.advance(2)


@pytest.mark.parametrize("name", SHARED.names())
def test_a_shared_artifact_has_a_tensor_for_every_parameter_and_leaves_the_base_model_alone(
    problem: Problem, name: str
) -> None:
    shapes = {n: p.shape for n, p in problem.base.named_parameters()}
    assert {n: t.shape for n, t in problem.shared[name].items()} == shapes
    assert all(torch.isfinite(t).all() and (t >= 0).all() for t in problem.shared[name].values())
    assert sum(t.sum() for t in problem.shared[name].values()) > 0
    assert not any(p.requires_grad or p.grad is not None for p in problem.base.parameters())


@pytest.mark.parametrize("asked", ["features", "generated"])
def test_a_maker_is_refused_what_the_artifacts_key_does_not_know(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    def curious(problem: Problem, seed: int) -> dict[str, torch.Tensor]:
        return {"found": getattr(problem, asked)(0, 1)}

    SHARED.names()
    monkeypatch.setitem(SHARED._members, "curious", Shared("curious", curious, "trainables.needs.saliency"))
    with pytest.raises(ValueError, match="neither the feature network nor the sampler"):
        make_shared(experiment, "curious")
