"""A plan's cost follows what is asked: images, base model, samples, conditions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from search_spaces.dimum_robustness import SPACE
from sweep.plan.plan import Plan
from sweep.plan.words import describe
from sweep.relearning.cost import AUDITED, DRAWS, estimate, multiply_adds
from sweep.space import Arm, Choice, SearchSpace, Value
from trainables import audits
from trainables.data import dataset
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
        ({"forget": "1,2,3,4,5"}, "confirm", 1.0, 1.2),  # fewer are retained, and sampled; more forgotten, and audited
        ({"data": "digits_attributes", "forget": "attribute:loop"}, "confirm", 0.9, 1.1),
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


def test_the_cost_counts_the_audits_which_grow_with_the_forget_set() -> None:
    """Samples are few here, so that what is left of a score is its audits."""
    few = {"samples_forgotten": 2, "samples_per_retained": 2}
    one, five = (estimate(plan(forget=forget, **few), SPACE) for forget in ("3", "1,2,3,4,5"))
    audited = {
        "3": 107.8 + 36,
        "1,2,3,4,5": 300 + 180,
    }  # images: a tenth and a half of train and test, at most 300 a side
    passes = {forget: images * DRAWS for forget, images in audited.items()}
    scores = 24 * (1 + 2) + 2 * (1 + 2)  # of trials and controls, each before any attack and after two
    a_pass = 0.0022 / 10
    grown = scores * (passes["1,2,3,4,5"] - passes["3"]) * a_pass
    fewer_samples = scores * (4 * 2) * 0.0022  # of four retained conditions less
    assert five["search"] - one["search"] == pytest.approx(grown - fewer_samples, rel=1e-3)
    assert five["prepare"] > one["prepare"] and five["confirm"] > one["confirm"]
    assert (AUDITED, DRAWS) == (audits.MOST, audits.DRAWS), "the plan loads no torch, and so has them once more"


@pytest.mark.parametrize("name", ["digits", "digits_attributes", "digits_duplicated", "digits_styled"])
def test_an_embedded_data_set_has_as_many_images_as_it_says(name: str) -> None:
    data = dataset(name)
    assert data.counts is not None
    assert data.counts() == {split: len(images) for split, images in vars(data.load()).items()}


def of_one(method: str, **settings: Value) -> SearchSpace:
    held = tuple(Choice(name, (value,)) for name, value in settings.items())
    return replace(SPACE, arms=(Arm("mine", method, held),), shared=())


@pytest.mark.parametrize(
    ("method", "settings", "images"),
    [
        ("concept_ablation", {"anchor_images": 1}, 30),  # the anchors of the prompts of the 3
        ("concept_ablation", {"anchor_images": 128}, 30 * 128),
        ("selective_amnesia", {"replay": "generated"}, 270 * 32),
        ("selective_amnesia", {"replay": "retain"}, 0),
    ],
)
def test_the_cost_counts_what_the_base_model_draws_for_a_method_once(
    method: str, settings: dict[str, Value], images: int
) -> None:
    styled = plan(data="digits_styled")
    least = {"concept_ablation": {"anchor_images": 1}, "selective_amnesia": {"replay": "retain"}}[method]
    asked, other = (estimate(styled, of_one(method, **values)) for values in (settings, least))
    more = images - (30 if method == "concept_ablation" else 0)
    assert asked["search"] - other["search"] == pytest.approx(more * 0.0085, abs=1e-6), "once, and for no trial again"
    assert asked["confirm"] == other["confirm"]
