"""A plan's cost follows what is asked: images, base model, samples, conditions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from search_spaces.dimum_robustness import SPACE
from sweep.plan.plan import Plan
from sweep.plan.words import describe
from sweep.relearning.cost import estimate, multiply_adds
from trainables.denoisers.models import build
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.sizes import SIZES


@pytest.mark.parametrize(
    ("size", "channels", "side"),
    [("small", 1, 8), ("small", 3, 32), ("medium", 1, 16), ("medium", 3, 28), ("large", 3, 16), ("large", 1, 32)],
)
def test_multiply_adds_are_nearly_those_that_torch_counts(size: str, channels: int, side: int) -> None:
    base, shape = BaseModel(**SIZES[size]), (channels, side, side)
    data = SimpleNamespace(shape=shape, unconditional=False, attributes=(), conditions=10)
    model = build(base.config(data), 0)  # type: ignore[arg-type]
    counted = FlopCounterMode(display=False)
    with counted, torch.no_grad():
        model(torch.zeros(1, *shape), torch.zeros(1), class_labels=torch.zeros(1, dtype=torch.long))
    assert multiply_adds(base, shape) == pytest.approx(counted.get_total_flops() / 2, rel=0.15)


def plan(**values: object) -> Plan:
    return Plan.of(space="dimum_robustness", run_dir="run", artifacts="artifacts", **values)


@pytest.mark.parametrize(
    ("values", "phase", "least", "most"),
    [
        ({"image_size": 16}, "search", 3.5, 4.5),  # four times the pixels
        ({"image_size": 32, "base_size": "large", "base_steps": 40_000}, "prepare", 5_000, 20_000),
        ({"base_size": "medium"}, "search", 3.5, 4.5),
        ({"guidance": 2.0}, "confirm", 1.1, 2.0),
        ({"sampling_steps": 20}, "confirm", 1.1, 2.0),
        ({"forget": "1,2,3,4,5"}, "confirm", 0.5, 0.95),  # fewer are retained, and sampled
        ({"data": "digits_attributes", "forget": "attribute:loop"}, "confirm", 0.3, 0.95),
        ({"base_steps": 2600}, "prepare", 1.5, 2.0),
    ],
)
def test_the_cost_follows_what_is_asked(values: dict, phase: str, least: float, most: float) -> None:
    usual, asked = estimate(plan(), SPACE), estimate(plan(**values), SPACE)
    assert least <= asked[phase] / usual[phase] <= most


def test_the_cost_of_the_embedded_default_is_what_it_was_timed_to_be() -> None:
    cost = estimate(plan(), SPACE)
    assert 200 < cost["prepare"] < 350, "base model and retrain control took 200 core-s, benchmarks/stage_times.md"
    assert 8 < cost["wall"] / 60 < 20, "the whole run 12 minutes on two cores"


def test_the_plan_says_what_its_cost_rests_on_and_days_where_it_takes_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = describe(plan(image_size=64, base_size="large", base_steps=40_000), SPACE)
    assert "days in all on 2 cores; timed with digits on a CPU, scaled by the size of base model and images" in text
    assert "minutes in all on 2 cores; timed with digits" in describe(plan(), SPACE)
