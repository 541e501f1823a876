"""The denoising loss against its formula, and sampling."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DModel

from trainables.data import DATASETS
from trainables.denoisers.edm_unet import EDMUNet
from trainables.denoisers.recipes import BaseModel
from trainables.diffusion import (
    Diverged,
    batch_for,
    denoising_loss,
    epsilon_of,
    noise_schedule,
    noised_by,
    sample,
    sample_one_step,
    starting_noise,
    stratified_timesteps,
)
from trainables.sampling.at_once import images_at_once, samples_at_once
from trainables.sampling.noise_schedule import NoiseSchedule
from trainables.training.device import Device

CPU = Device()
RECIPE = BaseModel(channels=(8, 16), batch=8)


def tiny_model(seed: int = 0) -> UNet2DModel:
    torch.manual_seed(seed)
    return UNet2DModel(**RECIPE.config(DATASETS["digits"]))


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


def test_stratified_timesteps_are_one_from_each_part_of_the_schedule_and_each_is_even() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([stratified_timesteps(8, 1000, generator) for _ in range(4000)])
    assert drawn.dtype == torch.int64 and drawn.min() >= 0 and drawn.max() <= 999
    assert torch.equal((drawn.sort(dim=1).values // 125), torch.arange(8).expand(4000, 8)), "one from each eighth"
    first = drawn[:, 0].double()
    assert abs(first.mean() - 499.5) < 5 * (1000 / 12**0.5) / 4000**0.5, "the first is even by itself"
    eighths = torch.bincount(drawn[:, 0] // 125, minlength=8)
    assert ((eighths - 500).abs() < 5 * (4000 * 1 / 8 * 7 / 8) ** 0.5).all()
    assert stratified_timesteps(3, 1, generator).tolist() == [0, 0, 0]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_epsilon_is_had_of_a_prediction_of_either_kind(prediction: str) -> None:
    """ε = √ᾱ v + √(1 - ᾱ) x_t, for v = √ᾱ ε - √(1 - ᾱ) x; an ε is itself."""
    schedule = NoiseSchedule(prediction_type=prediction).scheduler()
    images, t = torch.randn(4, 1, 8, 8).double(), torch.tensor([0, 10, 500, 999])
    noised = noised_by(schedule, images, torch.randn(4, 1, 8, 8).double(), t)
    torch.testing.assert_close(epsilon_of(noised.target, noised.images, t, schedule), noised.noise)
    if prediction == "epsilon":
        assert torch.equal(noised.target, noised.noise)
    else:
        alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0).double()[t][:, None, None, None]
        v = alpha_bar.sqrt() * noised.noise - (1 - alpha_bar).sqrt() * images
        torch.testing.assert_close(noised.target, v, rtol=1e-6, atol=1e-6)


def test_fewer_samples_go_through_at_once_where_maps_are_larger_of_whatever_kind_of_model() -> None:
    sides = (8, 32, 64, 96, 128, 1024)
    assert [samples_at_once((4, side, side), 320) for side in sides] == [512, 512, 16, 7, 4, 1]
    assert [images_at_once((4, side, side), 320) for side in sides] == [128, 16, 4, 1, 1, 1]
    assert [images_at_once((1, side, side), 32) for side in (8, 28)] == [128, 128]
    wide = SimpleNamespace(config={"block_out_channels": (128, 256)})
    assert [batch_for(wide, (3, side, side)) for side in sides] == [512, 512, 40, 17, 10, 1]
    assert batch_for(tiny_model(), (1, 28, 28)) == 512
    of_edm = {"sample_size": 64, "architecture": "adm", "noise_dim": 8, "embedding_dim": 8, "attended": [], "blocks": 1}
    edm = EDMUNet(in_channels=3, channels=64, widths=[192], **of_edm)
    assert batch_for(edm, (3, 64, 64)) == batch_for(SimpleNamespace(config={"block_out_channels": (192,)}), (3, 64, 64))
    transformer = SimpleNamespace(config={"num_attention_heads": 16, "attention_head_dim": 72, "patch_size": 2})
    assert batch_for(transformer, (4, 64, 64)) == 17


def test_a_one_step_generators_large_samples_go_through_in_batches_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.diffusion.batch_for", lambda model, shape: 2)
    drawn = sample_one_step(
        tiny_model(), noise_schedule(), starting_noise((5, 1, 8, 8), 0), torch.zeros(5).long(), 500, CPU
    )
    assert [len(batch) for batch in drawn] == [2, 2, 1]
