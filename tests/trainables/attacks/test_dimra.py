"""DiMRA and what every attack's settings decide: which images, which label dropout, and what is in a trajectory's key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from trainables.attacks import ATTACKS, AttackSettings, Target, register
from trainables.auxiliary import auxiliary_set, few
from trainables.data import DATASETS
from trainables.denoisers.recipes import ClassifierRecipe
from trainables.diffusion import Loss
from trainables.forgetting import parse_forget
from trainables.registry import outside, withdraw
from trainables.relearning.experiment import AttackPlan, Experiment, TrialSpec
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.products.auxiliary import auxiliary_of
from trainables.relearning.products.features import features_of
from trainables.relearning.products.images import retain_set_of, splits_of
from trainables.relearning.stages.trajectory import Trajectory, check_attack, trajectory_key
from trainables.training.device import Device

MakeSpec = Callable[..., TrialSpec]


@pytest.mark.parametrize(("dropout", "share"), [(0.0, 0.0), (1.0, 1.0), (0.25, 0.25), (None, 0.1)])
def test_label_dropout_is_the_settings_or_the_recipes(bench: Workbench, dropout: float | None, share: float) -> None:
    """The null condition's embedding row is trained by that share of images."""
    target = Target(retain_set_of(bench), bench.experiment.base, 10, Device())
    settings = ATTACKS["dimra"].configure({"label_dropout": dropout, "batch": 400})
    seen: list[torch.Tensor] = []

    class Listening(torch.nn.Module):
        class_embedding = True

        def forward(self, images: torch.Tensor, timesteps: torch.Tensor, class_labels: torch.Tensor) -> object:
            seen.append(class_labels)
            return type("Output", (), {"sample": images})

    ATTACKS["dimra"].loss(target, settings)(Listening(), torch.Generator().manual_seed(0))
    (conditions,) = seen
    assert float((conditions == 10).float().mean()) == pytest.approx(share, abs=0.05 * (0 < share < 1))


def test_an_attacker_with_few_images_trains_on_those_and_sees_all_of_every_set_by_name(
    bench: Workbench, make_spec: MakeSpec
) -> None:
    given: list[Target] = []

    @register("watching", AttackSettings)
    def loss(target: Target, settings: AttackSettings) -> Loss:
        given.append(target)
        return target.denoising(target.auxiliary, settings)

    loss.__module__ = "trainables.attacks.dimra"  # its code version is a real module's
    ATTACKS._members["watching"] = replace(ATTACKS["watching"], module="trainables.attacks.dimra")
    try:
        plan = AttackPlan("a", "watching", {"auxiliary": "public", "images": 7})
        Trajectory(bench, make_spec(bench.experiment), plan, model_key(bench.experiment, "base")).begin()
    finally:
        withdraw(one for one in outside() if one.name == "watching")
    (target,) = given
    assert torch.equal(target.auxiliary.images, few(auxiliary_of(bench, "public"), 7).images)
    assert len(target.sets["public"]) == len(auxiliary_of(bench, "public"))


@pytest.mark.parametrize(
    "change",
    [
        {"trained_parameters": "attention"},
        {"trained_parameters": "lora"},
        {"lora_rank": 2},
        {"optimiser": "sgd"},
        {"label_dropout": 0.1},
        {"images": 5},
        {"batch": 5},
        {"auxiliary": "public"},
    ],
    ids=str,
)
def test_every_setting_is_in_the_trajectorys_key(experiment: Experiment, make_spec: MakeSpec, change: dict) -> None:
    spec = make_spec(experiment)
    keys = {trajectory_key(spec, AttackPlan("a", "dimra", values), "m") for values in ({}, change)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("attack", "settings", "depends_on"),
    [
        ("dimra", {}, set()),
        ("dimra", {"auxiliary": "public"}, set()),
        ("dimra", {"auxiliary": "synthetic"}, {"base model", "sampler"}),
        ("benign", {}, {"feature network"}),
        ("composition", {"personal_auxiliary": "synthetic"}, {"base model", "sampler"}),
        ("composition", {"personal_auxiliary": "unrelated"}, {"feature network"}),
    ],
)
def test_a_trajectorys_key_holds_what_its_sets_are_made_with(
    experiment: Experiment, make_spec: MakeSpec, attack: str, settings: dict, depends_on: set[str]
) -> None:
    others = {
        "base model": replace(experiment, base=replace(experiment.base, train_steps=21)),
        "sampler": replace(experiment, sampling_steps=5),
        "feature network": replace(experiment, classifier=ClassifierRecipe(width=8, features=8, train_steps=41)),
    }
    plan = AttackPlan("a", attack, settings)
    key = trajectory_key(make_spec(experiment), plan, "m")
    assert {what for what, e in others.items() if trajectory_key(make_spec(e), plan, "m") != key} == depends_on


def test_unrelated_images_are_held_out_ones_of_the_farther_half_of_what_stays(bench: Workbench) -> None:
    """Distance of class means in the experiment's feature network, written out."""
    train, public = splits_of(bench).train, splits_of(bench).public
    mean = {c: features_of(bench).extract(train.of(c).images).mean(axis=0) for c in range(10)}
    distance = {c: float(np.linalg.norm(mean[c] - mean[3])) for c in range(10) if c != 3}
    far = sorted(distance, key=lambda c: distance[c])[-4:]
    found = auxiliary_of(bench, "unrelated")
    assert sorted(found.conditions.unique().tolist()) == sorted(far)
    assert len(found) == sum(len(public.of(c)) for c in far)


def test_where_instances_are_forgotten_every_held_out_image_is_unrelated() -> None:
    data = DATASETS["digits_duplicated"]

    class Instances:
        encoded, forgetting, synthetic = data.load(), parse_forget("instances:0,1", data), None

        @property
        def conditions_by_distance(self) -> list[int]:
            raise AssertionError("there are no conditions to be near or far")

    assert len(auxiliary_set("unrelated", Instances())) == len(Instances.encoded.public)


def test_an_attack_on_a_set_that_does_not_exist_is_refused_with_those_that_do() -> None:
    for settings in ({"auxiliary": "unrelatet"}, {"personal_auxiliary": "unrelatet"}):
        with pytest.raises(ValueError, match=r"unknown auxiliary set 'unrelatet'; known: .*unrelated"):
            check_attack(AttackPlan("a", "composition", settings))
