"""The denoising loss against its formula, sampling, and a fine-tuning run that can stop anywhere."""

from __future__ import annotations

import itertools
import math
import time
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DModel

from trainables.data import DATASETS
from trainables.denoisers.models import dropout_loss, trained_parameters
from trainables.denoisers.recipes import BaseModel
from trainables.diffusion import (
    Diverged,
    FineTuning,
    Loss,
    Optimisation,
    denoising_loss,
    noise_schedule,
    sample,
    sample_one_step,
    starting_noise,
)
from trainables.store import Store
from trainables.training.device import Device

CPU = Device()
RECIPE = BaseModel(channels=(8, 16), batch=8)
KEY = "0" * 64


def tiny_model(seed: int = 0) -> UNet2DModel:
    torch.manual_seed(seed)
    return UNet2DModel(**RECIPE.config(DATASETS["digits"]))


@pytest.fixture(scope="module")
def loss() -> Loss:
    return dropout_loss(RECIPE, DATASETS["digits"].load().train, 10, CPU)


def equal_weights(a: UNet2DModel, b: UNet2DModel) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_denoising_loss_is_its_formula(weighted: bool) -> None:
    """Mean over the batch of w · mean over elements of (ε - ε_θ(√ᾱ x₀ + √(1-ᾱ) ε, t, c))²."""
    model = tiny_model().double()
    train = DATASETS["digits"].load().train
    images, conditions = train.images[:6].double(), train.conditions[:6]
    weights = torch.tensor([0.5, 3.0, 1.0, 0.0, 2.0, 7.0]) if weighted else None
    with torch.no_grad():
        value = denoising_loss(model, noise_schedule(), images, conditions, torch.Generator().manual_seed(5), weights)

        generator = torch.Generator().manual_seed(5)
        epsilon = torch.randn(6, 1, 8, 8, generator=generator).double()
        t = torch.randint(1000, (6,), generator=generator)
        alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0).double()
        total = 0.0
        for i in range(6):
            x_t = alpha_bar[t[i]].sqrt() * images[i] + (1 - alpha_bar[t[i]]).sqrt() * epsilon[i]
            predicted = model(x_t[None], t[i : i + 1], class_labels=conditions[i : i + 1]).sample[0]
            error = ((epsilon[i] - predicted) ** 2).sum().item() / 64
            total += error * (weights[i].item() if weights is not None else 1) / 6
    assert value.item() == pytest.approx(total, rel=1e-6)


def test_sampling_that_restarts_at_a_multiple_of_the_batch_gives_the_same_images() -> None:
    model, noise, conditions = tiny_model(), starting_noise((10, 1, 8, 8), 1), torch.arange(10)
    whole = torch.cat(list(sample(model, noise_schedule(), noise, conditions, 3, CPU, batch=4)))
    rest = torch.cat(list(sample(model, noise_schedule(), noise[4:], conditions[4:], 3, CPU, batch=4)))
    assert torch.equal(whole[4:], rest)
    assert whole.abs().max() <= 1 and whole.std() > 0.1


def test_samples_depend_on_their_condition_and_on_nothing_random() -> None:
    model, noise = tiny_model(), starting_noise((4, 1, 8, 8), 1)
    first, again, other = (
        torch.cat(list(sample(model, noise_schedule(), noise, torch.full((4,), c), 3, CPU))) for c in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("one_step", [False, True])
def test_a_model_whose_samples_are_not_finite_has_diverged(one_step: bool) -> None:
    """Weights that the last step of a run blew up: no loss came after them."""
    model, noise, conditions = tiny_model(), starting_noise((4, 1, 8, 8), 1), torch.arange(4)
    with torch.no_grad():
        model.class_embedding.weight[2] = float("nan")
    with pytest.raises(Diverged, match=r"^1 of 4 samples of the model are not finite$"):
        if one_step:
            list(sample_one_step(model, noise_schedule(), noise, conditions, 500, CPU))
        else:
            list(sample(model, noise_schedule(), noise, conditions, 3, CPU))


def test_the_same_seed_is_the_same_noise_whatever_else_was_drawn() -> None:
    first = starting_noise((3, 1, 8, 8), 7)
    torch.randn(5)
    assert torch.equal(starting_noise((3, 1, 8, 8), 7), first)
    assert not torch.equal(starting_noise((3, 1, 8, 8), 8), first)


@pytest.mark.parametrize(
    "how",
    [
        Optimisation(3e-3, 6, ema_decay=0.9),
        Optimisation(3e-1, 6, optimiser="sgd"),
        Optimisation(3e-3, 6, schedule="one-cycle"),
    ],
    ids=["adam with ema", "sgd", "one-cycle"],
)
def test_a_run_stopped_at_a_deadline_and_continued_elsewhere_gives_the_same_weights(
    how: Optimisation, loss: Loss, tmp_path: Path
) -> None:
    whole = FineTuning(tiny_model(), loss, how, 1, CPU)
    assert whole.advance(6)

    deadline = time.monotonic() + 0.4

    def late_after_three_steps(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        value = loss(model, generator)
        if stopped.step == 2:
            time.sleep(max(0.0, deadline - time.monotonic()) + 0.001)
        return value

    stopped = FineTuning(tiny_model(), late_after_three_steps, how, 1, CPU)
    assert not stopped.advance(6, deadline)
    assert stopped.step <= 3
    Store(tmp_path).save_partial(KEY, stopped.state())

    continued = FineTuning(tiny_model(seed=99), loss, how, 77, CPU)
    state = Store(tmp_path).load_partial(KEY)
    assert state is not None
    continued.restore(state)
    assert continued.step == stopped.step
    assert continued.advance(6)
    assert equal_weights(whole.trained(), continued.trained())
    assert not equal_weights(whole.trained(), tiny_model())


def test_the_seed_decides_the_run(loss: Loss) -> None:
    runs = [FineTuning(tiny_model(), loss, Optimisation(3e-3, 2), seed, CPU) for seed in (1, 1, 2)]
    for run in runs:
        run.advance(2)
    assert equal_weights(runs[0].model, runs[1].model) and not equal_weights(runs[0].model, runs[2].model)


def test_only_the_given_parameters_move(loss: Loss) -> None:
    model, before = tiny_model(), tiny_model().state_dict()
    run = FineTuning(
        model, loss, Optimisation(3e-3, 2), 1, CPU, list(trained_parameters(model, "condition_mid").values())
    )
    run.advance(2)
    moved = {name for name, value in run.trained().state_dict().items() if not torch.equal(value, before[name])}
    assert moved and {name.split(".")[0] for name in moved} == {"class_embedding", "mid_block"}


def test_an_average_is_the_average(loss: Loss) -> None:
    """a_k = d_k a_{k-1} + (1 - d_k) θ_k with d_k = min(d, (1 + k)/(10 + k)): written out as one weighted sum."""
    how = Optimisation(1e-2, 5, ema_decay=0.3)
    run = FineTuning(tiny_model(), loss, how, 1, CPU)
    seen = [[p.detach().double().clone() for p in run.parameters]]
    for step in range(1, 6):
        run.advance(step)
        seen.append([p.detach().double().clone() for p in run.parameters])
    decays = [0.0] + [min(0.3, (1 + k) / (10 + k)) for k in range(1, 6)]
    assert 0.3 in decays and decays[1] < 0.3, "both the warm-up and the decay itself are met"
    shares = [(1 - decays[k]) * math.prod(decays[k + 1 :]) for k in range(6)]
    assert sum(shares) == pytest.approx(1)
    last = seen[-1][0].clone()
    trained = list(run.trained().parameters())
    for index, parameter in enumerate(trained):
        expected = sum(share * weights[index] for share, weights in zip(shares, seen, strict=True))
        torch.testing.assert_close(parameter.double(), expected, rtol=1e-5, atol=1e-7)
    assert not torch.equal(trained[0].double(), last)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_run_of_a_model_with_dropout_is_the_same_stopped_or_not_and_draws_nothing_of_others(
    loss: Loss, dropout: float, tmp_path: Path
) -> None:
    how = Optimisation(3e-3, 6)

    def begun() -> FineTuning:
        torch.manual_seed(0)
        return FineTuning(UNet2DModel(**RECIPE.config(DATASETS["digits"]) | {"dropout": dropout}), loss, how, 1, CPU)

    whole = begun()
    before = torch.get_rng_state()
    assert whole.advance(6)
    assert torch.equal(torch.get_rng_state(), before)
    stopped = begun()
    stopped.advance(2)
    torch.manual_seed(99)  # another process
    resumed = begun()
    resumed.restore(stopped.state())
    torch.manual_seed(123)
    assert resumed.advance(6)
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_loss_that_is_not_finite_raises_diverged(loss: Loss) -> None:
    for bad in (float("nan"), float("inf")):
        calls = itertools.count(1)
        late = FineTuning(
            tiny_model(),
            lambda m, g, bad=bad, calls=calls: loss(m, g) * (bad if next(calls) == 3 else 1.0),
            Optimisation(1e-3, 8),
            1,
            CPU,
        )
        with pytest.raises(Diverged, match="at step 3 of 8"):
            late.advance(8)


def test_a_learning_rate_that_destroys_the_model_raises_diverged(loss: Loss) -> None:
    with pytest.raises(Diverged):
        FineTuning(tiny_model(), loss, Optimisation(1e30, 20), 1, CPU).advance(20)


def test_the_one_cycle_schedule_warms_up_and_ends_near_0(loss: Loss) -> None:
    run, rates = FineTuning(tiny_model(), loss, Optimisation(1e-2, 20, schedule="one-cycle"), 1, CPU), []
    for step in range(20):
        run.step = step
        rates.append(run._learning_rate())
    assert rates[0] < max(rates) == pytest.approx(1e-2) and rates[-1] < 1e-3
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1]) and rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize("steps", [4, 10, 15, 100])
def test_the_learning_rate_never_exceeds_the_one_asked_for(loss: Loss, steps: int) -> None:
    run = FineTuning(tiny_model(), loss, Optimisation(1e-2, steps, schedule="one-cycle"), 1, CPU)
    for run.step in range(steps):
        assert run._learning_rate() <= 1e-2 * (1 + 1e-9), run.step


@pytest.mark.parametrize(
    "wrong",
    [{"optimiser": "adamw"}, {"schedule": "cosine"}, {"learning_rate": 0.0}, {"steps": -1}, {"ema_decay": 1.0}],
)
def test_settings_of_an_optimisation_are_checked_when_made(wrong: dict) -> None:
    with pytest.raises(ValueError):
        Optimisation(**({"learning_rate": 1e-3, "steps": 1} | wrong))
