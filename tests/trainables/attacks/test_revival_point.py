"""The revival point: its curriculum, and the figures that are read from it."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from trainables.attacks import ATTACKS, Target
from trainables.attacks.revival_point import Curriculum, RevivalPoint, images_at
from trainables.auxiliary import few
from trainables.data import Images
from trainables.metrics import revival_step
from trainables.relearning.products import Workbench
from trainables.relearning.products.auxiliary import auxiliary_of
from trainables.relearning.products.models import base_of
from trainables.training.device import Device


def test_the_published_protocol_takes_40_steps_a_chunk() -> None:
    settings = RevivalPoint(images=500)
    assert (settings.epoch_steps, settings.chunk_steps) == (5, 40)
    assert [images_at(settings, step) for step in (0, 1, 40, 41, 80, 400, 5000)] == [0, 50, 50, 100, 100, 500, 500]


def test_of_a_set_of_unknown_size_images_are_counted_on() -> None:
    settings = RevivalPoint(batch=4, chunk_images=6, chunk_epochs=3)
    assert settings.epoch_steps == 2, "four images, then two"
    assert [images_at(settings, step) for step in (0, 1, 6, 7, 60)] == [0, 6, 6, 12, 60]


def test_every_image_of_a_chunk_is_seen_once_an_epoch_and_chunk_follows_chunk(bench: Workbench) -> None:
    public = few(auxiliary_of(bench, "public"), 15)  # two chunks of six, and three images that make none
    numbered = Images(public.images, torch.arange(15))
    settings = RevivalPoint(batch=4, chunk_images=6, chunk_epochs=2)
    curriculum = Curriculum(Target(numbered, bench.experiment.base, 10, Device()), settings)
    generator, steps = torch.Generator().manual_seed(0), []
    for step in range(10):
        curriculum.step = step
        steps.append(curriculum.draw(generator).conditions.tolist())
    assert [len(s) for s in steps] == [4, 2] * 5
    epochs = [steps[i] + steps[i + 1] for i in range(0, 10, 2)]
    chunks = [frozenset(e) for e in epochs]
    assert all(len(c) == 6 for c in chunks)
    assert chunks[0] == chunks[1] == chunks[4] and chunks[2] == chunks[3], "and then the first again"
    assert not chunks[0] & chunks[2]
    assert epochs[0] != epochs[1], "in another order"
    assert chunks[0] != frozenset(range(6)), "a set may be sorted by class"


def test_the_step_is_the_denoising_loss_of_those_images(bench: Workbench) -> None:
    public = few(auxiliary_of(bench, "public"), 5)
    settings = ATTACKS["revival_point"].configure({"batch": 5, "chunk_images": 5, "label_dropout": 0.0})
    target = Target(public, bench.experiment.base, 10, Device())
    run = ATTACKS["revival_point"].begin(deepcopy(base_of(bench)), target, settings, 1, 0)
    found = float(run.gradient(run))

    generator, shuffled = torch.Generator().manual_seed(0), few(public, 5)
    order = torch.randperm(5, generator=generator)
    torch.rand(5, generator=generator)
    x, c = shuffled.images[order], shuffled.conditions[order]
    epsilon = torch.randn(x.shape, generator=generator)
    t = torch.randint(1000, (5,), generator=generator)
    alpha = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)[t][:, None, None, None]
    with torch.no_grad():
        predicted = base_of(bench)(alpha.sqrt() * x + (1 - alpha).sqrt() * epsilon, t, c).sample
    assert found == pytest.approx(float((epsilon - predicted).square().mean()), rel=1e-4)


def test_a_set_too_small_for_a_chunk_is_refused(bench: Workbench) -> None:
    target = Target(few(auxiliary_of(bench, "public"), 5), bench.experiment.base, 10, Device())
    with pytest.raises(ValueError, match="public: its 5 images do not make one chunk of 50"):
        Curriculum(target, RevivalPoint())
    with pytest.raises(ValueError, match="images: 30 do not make one chunk of 50"):
        RevivalPoint(images=30)
    with pytest.raises(ValueError, match="chunk_epochs must be at least 1, not 0"):
        RevivalPoint(chunk_epochs=0)


@pytest.mark.parametrize(
    ("accuracy", "step"),
    [
        ({0: 0.0, 1: 0.3, 3: 0.31, 7: 0.2}, 3),
        ({7: 0.9, 3: 0.5, 0: 0.1, 1: 0.1}, 3),
        ({0: 0.4, 1: 0.0}, 0),
        ({0: 0.0, 63: 0.3}, None),
    ],
)
def test_the_revival_step_is_the_first_rung_above_the_threshold_or_none(
    accuracy: dict[int, float], step: int | None
) -> None:
    assert revival_step(accuracy) == step


def test_the_threshold_of_revival_may_be_another() -> None:
    assert revival_step({0: 0.0, 1: 0.3, 3: 0.6}, threshold=0.5) == 3
