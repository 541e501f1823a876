"""Diagnostics of an attacked model: their formulas, and where a trial reports them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from formula import alpha_bar
from text_problem import NULL, text_unet

from trainables.attacks import ATTACKS, Target
from trainables.data import Images
from trainables.denoisers.recipes import BaseModel
from trainables.diffusion import noise_schedule
from trainables.fine_tuning import FineTuning, Optimisation
from trainables.relearning.diagnostics import IMAGES, Landmarks, diagnose
from trainables.relearning.experiment import AttackPlan, Experiment, TrialSpec
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.products.images import retain_set_of
from trainables.relearning.products.models import base_of
from trainables.relearning.stages.attack import attack_key
from trainables.relearning.stages.trajectory import trajectory_key
from trainables.relearning.trial import Pipeline
from trainables.training.device import Device
from trainables.training.lora import effective_weights

NAMES = {"retain_gradient_norm", "attack_cosine", "distance_unlearned", "distance_base"}


def moved(model: UNet2DModel, by: float, seed: int) -> UNet2DModel:
    copy, generator = deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return copy


@pytest.fixture(scope="module")
def unlearned(bench: Workbench) -> UNet2DModel:
    return moved(base_of(bench), 0.01, seed=0)


@pytest.fixture
def landmarks(bench: Workbench, unlearned: UNet2DModel) -> Landmarks:
    base, other = (dict(m.named_parameters()) for m in (base_of(bench), unlearned))
    return Landmarks(base, other, retain_set_of(bench), noise_schedule())


def vector(model: UNet2DModel) -> np.ndarray:
    return np.concatenate([p.detach().double().numpy().ravel() for p in model.parameters()])


def attack(bench: Workbench, model: UNet2DModel, **values: object) -> FineTuning:
    settings = ATTACKS["dimra"].configure({"batch": 8} | values)
    target = Target(retain_set_of(bench), bench.experiment.base, 10, Device())
    return ATTACKS["dimra"].begin(deepcopy(model), target, settings, 9, 0)


def test_distances_and_the_cosine_are_their_formulas(
    bench: Workbench, unlearned: UNet2DModel, landmarks: Landmarks
) -> None:
    run = attack(bench, unlearned, learning_rate=1e-2)
    run.advance(3)
    figures, counts = diagnose(run, landmarks, attack_batch=8)
    here, there, home = (vector(m) for m in (run.model, unlearned, base_of(bench)))
    assert figures["distance_unlearned"] == pytest.approx(np.linalg.norm(here - there), rel=1e-5)
    assert figures["distance_base"] == pytest.approx(np.linalg.norm(here - home), rel=1e-5)

    fresh = FineTuning(deepcopy(run.model), None, run.how, 0, Device(), gradient=run.gradient)
    assert figures["retain_gradient_norm"] == diagnose(fresh, landmarks, 8)[0]["retain_gradient_norm"], (
        "of this step alone"
    )
    run.generator.manual_seed(0)
    run.clear_gradient()
    run.gradient(run)
    descent = -np.concatenate([p.grad.double().numpy().ravel() for p in run.model.parameters()])
    expected = descent @ (home - there) / np.linalg.norm(descent) / np.linalg.norm(home - there)
    assert figures["attack_cosine"] == pytest.approx(expected, abs=1e-6)
    assert counts == {"retain_gradient_norm": IMAGES, "attack_cosine": 8, "distance_unlearned": 0, "distance_base": 0}


def test_the_retain_gradient_is_that_of_the_denoising_loss_at_timesteps_spread_evenly(
    bench: Workbench, unlearned: UNet2DModel, landmarks: Landmarks
) -> None:
    """‖∇ E‖ε - ε_θ(x_t, t, c)‖²‖ written out, in float64, and of all parameters whichever the attack trains."""
    expected = None
    for which in ("all", "attention", "lora"):
        run = attack(bench, unlearned, trained_parameters=which)
        free = {n for n, p in run.model.named_parameters() if p.requires_grad}
        found = diagnose(run, landmarks, 8)[0]["retain_gradient_norm"]
        assert {n for n, p in run.model.named_parameters() if p.requires_grad} == free
        if expected is None:
            model, generator = deepcopy(unlearned).double().requires_grad_(True), torch.Generator().manual_seed(0)
            drawn = torch.randint(len(retain_set_of(bench)), (IMAGES,), generator=generator)
            x, c = retain_set_of(bench).images[drawn].double(), retain_set_of(bench).conditions[drawn]
            epsilon = torch.randn(x.shape, generator=generator).double()
            t = torch.tensor([int((i + 0.5) * 1000 / IMAGES) for i in range(IMAGES)])
            x_t = alpha_bar(t).sqrt() * x + (1 - alpha_bar(t)).sqrt() * epsilon
            ((epsilon - model(x_t, t, class_labels=c).sample) ** 2).mean().backward()
            expected = float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm())
        assert found == pytest.approx(expected, rel=1e-4), which


@pytest.mark.parametrize(("sign", "cosine"), [(1, 1.0), (-1, -1.0)])
def test_an_attack_that_goes_straight_home_has_cosine_1_and_one_that_flees_has_minus_1(
    bench: Workbench, unlearned: UNet2DModel, landmarks: Landmarks, sign: int, cosine: float
) -> None:
    base = list(base_of(bench).parameters())

    def loss(model: UNet2DModel, generator: torch.Generator) -> torch.Tensor:
        return sign * torch.stack([((p - b) ** 2).sum() for p, b in zip(model.parameters(), base, strict=True)]).sum()

    run = FineTuning(deepcopy(unlearned), loss, Optimisation(1e-2, 1), 0, Device())
    assert diagnose(run, landmarks, 1)[0]["attack_cosine"] == pytest.approx(cosine, abs=1e-5)


def test_an_attack_by_low_rank_factors_is_judged_by_the_weights_it_moves(
    bench: Workbench, unlearned: UNet2DModel, landmarks: Landmarks
) -> None:
    """The cosine is that of a tiny step of gradient descent on the factors, seen in the weights in use."""
    run = attack(bench, unlearned, trained_parameters="lora", optimiser="sgd", learning_rate=1e-3, grad_clip=1e9)
    run.advance(2)
    found = diagnose(run, landmarks, 8)[0]["attack_cosine"]
    before = dict(effective_weights(run.model))
    run.generator.manual_seed(0)
    run.clear_gradient()
    run.gradient(run)
    run.follow_gradient()
    after, order = effective_weights(run.model), [name for name, _ in base_of(bench).named_parameters()]
    step = np.concatenate([(after[n].double() - before[n].double()).numpy().ravel() for n in order])
    home = vector(base_of(bench)) - vector(unlearned)
    assert found == pytest.approx(step @ home / np.linalg.norm(step) / np.linalg.norm(home), abs=2e-3)
    assert abs(found) > 2e-3


def test_there_is_no_way_back_for_the_base_model_itself(bench: Workbench, landmarks: Landmarks) -> None:
    figures, counts = diagnose(attack(bench, base_of(bench)), replace(landmarks, unlearned=landmarks.base), 8)
    assert figures.keys() == counts.keys() == NAMES - {"attack_cosine"}
    assert figures["distance_base"] == 0


def rows_of(spec: TrialSpec) -> list[dict]:
    pipeline, rows = Pipeline(spec), []
    while True:
        report = pipeline.step()
        rows += report.curves
        if report.state:
            return [r for r in rows if r["metric"] in NAMES]


def test_a_trial_reports_them_at_every_rung_the_start_included(
    experiment: Experiment, make_spec: Callable[..., TrialSpec]
) -> None:
    usual = make_spec(experiment)
    spec = make_spec(experiment, attacks=usual.attacks[:1], settings=usual.settings | {"steps": 5})  # nobody else's
    rows = {(r["metric"], r["attack_step"]): r for r in rows_of(spec)}
    assert rows.keys() == {(name, step) for name in NAMES for step in (0, 2, 5)}
    assert {r["attack"] for r in rows.values()} == {"gentle"} and {r["auxiliary"] for r in rows.values()} == {"retain"}
    distance = {step: rows["distance_unlearned", step]["value"] for step in (0, 2, 5)}
    assert distance[0] == 0 < distance[2] < distance[5]
    assert rows["distance_base", 0]["value"] > 0
    assert [rows[name, 5]["samples"] for name in ("retain_gradient_norm", "attack_cosine", "distance_base")] == [
        IMAGES, 8, 0,
    ]  # fmt: skip
    assert all(r["lower"] is None for r in rows.values())
    control = make_spec(experiment, method="none", settings={}, attacks=spec.attacks)
    assert {r["metric"] for r in rows_of(control)} == NAMES - {"attack_cosine"}


def test_another_base_model_is_another_figure_of_the_same_trajectory(
    experiment: Experiment, make_spec: Callable[..., TrialSpec]
) -> None:
    spec, plan = make_spec(experiment), AttackPlan("a", "dimra", {})
    other = replace(spec, experiment=replace(experiment, base=replace(experiment.base, train_steps=21)))
    key = model_key(experiment, "base")
    assert trajectory_key(spec, plan, key) == trajectory_key(other, plan, key)
    assert attack_key(spec, plan, 2, key) != attack_key(other, plan, 2, key)


def test_a_rung_is_another_product_where_it_is_its_ladders_first_or_last(
    experiment: Experiment, make_spec: Callable[..., TrialSpec]
) -> None:
    """The first has the figures of rung 0 with it, the last the audits: found under one key they would be missing."""
    spec, plan = make_spec(experiment), AttackPlan("a", "dimra", {})
    ladders = ((0, 1, 3, 7), (0, 3, 7), (0, 1, 3))
    keys = {attack_key(replace(spec, rungs=rungs, attacked_per_retained=0), plan, 3, "m") for rungs in ladders}
    assert len(keys) == 3


def test_of_large_latents_the_retain_gradient_is_over_no_more_images_than_the_attacks_batch() -> None:
    model, counts = text_unet().float(), {}
    for side in (16, 24):
        images = Images(torch.zeros(2, 3, side, side), torch.zeros(2, dtype=torch.int64))
        target = Target(images, BaseModel(), NULL, Device())
        run = ATTACKS["dimra"].begin(deepcopy(model), target, ATTACKS["dimra"].configure({"batch": 3}), 1, 0)
        weights = deepcopy(dict(model.state_dict()))
        counts[side] = diagnose(run, Landmarks(weights, weights, images, noise_schedule()), 3)[1][
            "retain_gradient_norm"
        ]
    assert counts == {16: IMAGES, 24: 3}
