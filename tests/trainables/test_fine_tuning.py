"""A fine-tuning run can stop anywhere, moves what it may and no more, and says when it diverges."""

from __future__ import annotations

import itertools
import math
import time
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DModel

from trainables.data import DATASETS
from trainables.denoisers.models import dropout_loss, parameters_to_train, trained_parameters
from trainables.denoisers.recipes import BaseModel
from trainables.diffusion import Diverged, Loss
from trainables.fine_tuning import FineTuning, Optimisation
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
    state = Store(tmp_path).mapped_partial(KEY)
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


def test_a_divergence_in_a_long_run_is_seen_within_ten_steps() -> None:
    model, calls = tiny_model(), itertools.count(1)

    def bad_from_the_third_on(run: FineTuning) -> torch.Tensor:
        return torch.tensor(float("nan") if next(calls) >= 3 else 1.0)

    late = FineTuning(model, None, Optimisation(1e-3, 500), 1, CPU, gradient=bad_from_the_third_on)
    with pytest.raises(Diverged, match="at step 3 of 500"):
        late.advance(500)
    assert late.step <= 3 + 10


def test_the_one_cycle_schedule_rises_over_a_tenth_of_the_run_and_falls_by_half_a_cosine() -> None:
    """η (k + 1) / w at step k below w = T / 10, then η (1 + cos(π (k - w) / (T - w))) / 2: as the optimiser has it."""
    rates: list[float] = []

    def gradient(run: FineTuning) -> torch.Tensor:
        rates.extend(group["lr"] for group in run.optimiser.param_groups)
        return torch.tensor(1.0)

    how = Optimisation(1e-2, 40, schedule="one-cycle")
    assert FineTuning(tiny_model(), None, how, 1, CPU, gradient=gradient).advance(40)
    falling = [1e-2 * 0.5 * (1 + math.cos(math.pi * (k - 4) / 36)) for k in range(4, 40)]
    assert rates == pytest.approx([0.25e-2, 0.5e-2, 0.75e-2, 1e-2, *falling], rel=1e-9)


def test_what_dropout_drops_is_of_the_runs_seed_and_the_step() -> None:
    def drawn(seed: int) -> list[float]:
        torch.manual_seed(7)  # the process' own, which has no part in it
        model = UNet2DModel(**RECIPE.config(DATASETS["digits"]) | {"dropout": 0.3})
        seen: list[float] = []

        def gradient(run: FineTuning) -> torch.Tensor:
            seen.append(float(torch.rand(())))  # from where dropout takes it
            return torch.tensor(1.0)

        assert FineTuning(model, None, Optimisation(1e-3, 5), seed, CPU, gradient=gradient).advance(5)
        return seen

    assert drawn(1) == drawn(1)
    assert len({*drawn(1), *drawn(2), *drawn(3)}) == 15


@pytest.mark.parametrize("steps", [4, 10, 15, 100])
def test_the_learning_rate_never_exceeds_the_one_asked_for(loss: Loss, steps: int) -> None:
    run = FineTuning(tiny_model(), loss, Optimisation(1e-2, steps, schedule="one-cycle"), 1, CPU)
    for run.step in range(steps):
        assert run._learning_rate() <= 1e-2 * (1 + 1e-9), run.step


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimiser": "adamw"},
        {"schedule": "cosine"},
        {"learning_rate": 0.0},
        {"steps": -1},
        {"ema_decay": 1.0},
        {"grad_clip": 0.0},
        {"grad_clip": -1.0},
        {"grad_clip": float("nan")},
    ],
)
def test_settings_of_an_optimisation_are_checked_when_made(wrong: dict) -> None:
    with pytest.raises(ValueError):
        Optimisation(**({"learning_rate": 1e-3, "steps": 1} | wrong))


HOWS = {
    "adam": Optimisation(3e-3, 6),
    "ema": Optimisation(3e-3, 6, ema_decay=0.9),
    "sgd": Optimisation(3e-1, 6, optimiser="sgd"),
}


@pytest.mark.parametrize("which", ["all", "attention", "lora"])
@pytest.mark.parametrize("how", HOWS)
def test_a_checkpoint_holds_what_trains_and_no_more_and_a_run_goes_on_from_it_to_the_last_bit(
    loss: Loss, how: str, which: str, tmp_path: Path
) -> None:
    """Of a model of which little trains it is small; the rest is the start model, on which whoever goes on begins."""

    def begun() -> FineTuning:
        model = tiny_model()
        parameters = parameters_to_train(model, which, 2, seed=5)
        return FineTuning(model, loss, HOWS[how], 1, CPU, parameters)

    whole, stopped = begun(), begun()
    assert whole.advance(6) and stopped.advance(3)
    Store(tmp_path).save_partial(KEY, stopped.state())
    trained = sum(p.nbytes for p in stopped.parameters)
    copies = {"adam": 3, "ema": 4, "sgd": 1}[how]  # the weights, two moments, the average
    (file,) = tmp_path.rglob("*.safetensors")
    scalars = 8 * len(stopped.parameters) + stopped.generator.get_state().nbytes + 64
    header = int.from_bytes(file.read_bytes()[:8], "little")
    assert 0 <= file.stat().st_size - 8 - header - copies * trained <= scalars
    every = sum(p.nbytes for p in stopped.model.parameters())
    assert trained == every if which == "all" else trained < every / 2

    continued = begun()
    state = Store(tmp_path).mapped_partial(KEY)
    assert state is not None
    continued.restore(state)
    stopped.advance(6)  # what was saved is not what goes on
    assert continued.advance(6)
    ends = whole.state(), continued.state()
    assert ends[0].keys() == ends[1].keys()
    assert all(ends[0][name].numpy().tobytes() == ends[1][name].numpy().tobytes() for name in ends[0])
    assert equal_weights(whole.trained(), continued.trained())


def test_a_run_holds_on_to_nothing_that_it_was_restored_from(loss: Loss) -> None:
    how = Optimisation(3e-3, 6, ema_decay=0.9)
    first, second = (FineTuning(tiny_model(), loss, how, 1, CPU) for _ in range(2))
    first.advance(3)
    second.restore(first.state())
    before = {name: value.clone() for name, value in first.state().items()}
    second.advance(6)
    assert all(torch.equal(value, before[name]) for name, value in first.state().items())
