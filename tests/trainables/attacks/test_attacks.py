"""Attacks: what they train on, that they do train, and what of them enters robustness."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace

import attack_conformance
import pytest
import torch
from attack_conformance import Ground

from trainables.attacks import ATTACKS, AttackSettings, Target, register, register_gradient
from trainables.auxiliary import AUXILIARY, few
from trainables.data import Images
from trainables.diffusion import Loss
from trainables.fine_tuning import FineTuning, Gradient
from trainables.metrics import aurc
from trainables.registry import outside, withdraw
from trainables.relearning.experiment import AttackPlan, Experiment, TrialSpec
from trainables.relearning.products import Workbench
from trainables.relearning.products.auxiliary import auxiliary_of
from trainables.relearning.products.images import forget_set_of, strangers_of
from trainables.relearning.products.models import base_of
from trainables.relearning.trial import Pipeline
from trainables.running.report import Report
from trainables.training.device import Device


def target(bench: Workbench, images: Images) -> Target:
    return Target(images, bench.experiment.base, bench.experiment.dataset.conditions, Device())


@pytest.fixture(scope="module")
def ground(bench: Workbench) -> Ground:
    """Every auxiliary set of digits, θ₀, and θ₀ a little way off for θᵤ."""
    unlearned, generator = copy.deepcopy(base_of(bench)), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in unlearned.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    sets = {name: auxiliary_of(bench, name) for name in AUXILIARY}
    return Ground(base_of(bench), unlearned, sets, bench.experiment.base, bench.experiment.dataset.conditions)


@pytest.mark.parametrize("check", attack_conformance.CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("attack", [name for name in ATTACKS.names() if not ATTACKS[name].on_prompts])
def test_every_attack(attack: str, check: attack_conformance.Check, ground: Ground) -> None:
    check(attack, ground)


def test_a_new_attack_registered_by_a_stranger_conforms(ground: Ground) -> None:
    """An attack that is written here, and nowhere else, passes every check."""

    @register("two_sided", AttackSettings)
    def loss(target: Target, settings: AttackSettings) -> Loss:
        """Half of each step on mirrored images."""
        mirrored = Images(target.auxiliary.images.flip(3), target.auxiliary.conditions)
        sides = [target.denoising(images, settings) for images in (target.auxiliary, mirrored)]
        return lambda model, generator: torch.stack([side(model, generator) for side in sides]).mean()

    try:
        for check in attack_conformance.CHECKS:
            check("two_sided", ground)
    finally:
        withdraw(one for one in outside() if one.name == "two_sided")


@pytest.mark.parametrize(
    ("check", "fault", "said"),
    [
        (attack_conformance.its_seed_alone_decides_its_weights, "global generator", "one seed gave two results"),
        (attack_conformance.it_leaves_its_sets_as_they_were, "changes its set", "its sets are not its to change"),
        (
            attack_conformance.it_goes_on_from_a_checkpoint_to_the_same_weights,
            "forgets its own state",
            "was not restored",
        ),
        (attack_conformance.it_goes_on_as_if_never_diagnosed, "forgets its own state", "once it was diagnosed"),
        (
            attack_conformance.a_longer_attack_continues_a_shorter_one,
            "looks at its horizon",
            "depends on how long it will be",
        ),
        (
            attack_conformance.only_its_trained_parameters_move,
            "moves another weight",
            r"it moved \['conv_norm_out\.weight'\]",
        ),
        (attack_conformance.its_step_is_a_mean, "sums", r"of batches of 6 and of 96 the loss is \["),
        (
            attack_conformance.its_shapes_are_right_without_values,
            "looks at a value",
            r"item\(\) cannot be called on meta",
        ),
        (attack_conformance.it_lowers_the_loss_on_what_it_trains_on, "climbs", "the loss is no lower after 25 steps"),
    ],
    ids=lambda v: v if isinstance(v, str) else v.__name__,
)
def test_an_attack_with_a_fault_is_found_out(
    check: attack_conformance.Check, fault: str, said: str, ground: Ground
) -> None:
    """The checks can fail: each has an attack made to break it, and says so."""
    retain = Images(ground.sets["retain"].images.clone(), ground.sets["retain"].conditions)
    mine = replace(ground, sets=ground.sets | {"retain": retain})

    @register_gradient("faulty", AttackSettings)
    def gradient(target: Target, settings: AttackSettings) -> Gradient:
        calls, plain = itertools.count(), target.denoising(target.auxiliary, settings)

        def step(run: FineTuning) -> torch.Tensor:
            value = plain(run.model, run.generator)
            if fault == "global generator":
                value = value * torch.rand(())
            if fault == "changes its set":
                target.auxiliary.images.mul_(0.9)
            if fault == "forgets its own state":
                value = value * (1 + next(calls)) + next(run.model.parameters()).sum() * next(calls)
            if fault == "looks at its horizon":
                value = value * (1 - run.step / run.steps) + next(run.model.parameters()).sum() * run.steps
            if fault == "sums":
                value = value * settings.batch
            if fault == "looks at a value" and value.item() > 0:
                value = value * 2
            if fault == "climbs":
                value = -value
            value.backward()
            if fault == "moves another weight":
                with torch.no_grad():
                    run.model.conv_norm_out.weight.mul_(1.01)
            return value.detach()

        return step

    try:
        with pytest.raises(RuntimeError if fault == "looks at a value" else AssertionError, match=said):
            check("faulty", mine)
    finally:
        withdraw(one for one in outside() if one.name == "faulty")


def test_malicious_fine_tuning_is_the_denoising_loss_of_the_forgotten_images_under_their_own_condition(
    bench: Workbench,
) -> None:
    """DSM(θ; D_FT) written out, on the very draws the attack makes."""
    attack = ATTACKS["malicious"]
    settings = attack.configure({"batch": 5})
    held = auxiliary_of(bench, settings.auxiliary)
    assert set(held.conditions.tolist()) == {3}
    base = copy.deepcopy(base_of(bench)).double()
    images = Images(held.images.double(), held.conditions)
    found = attack.loss(target(bench, images), settings)(base, torch.Generator().manual_seed(7))

    generator = torch.Generator().manual_seed(7)
    drawn = torch.randint(len(images), (5,), generator=generator)
    dropped = torch.rand(5, generator=generator) < bench.experiment.base.label_dropout
    x, c = images.images[drawn], torch.where(dropped, 10, images.conditions[drawn])
    epsilon = torch.randn(x.shape, generator=generator).to(x)
    t = torch.randint(1000, (5,), generator=generator)
    alpha = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0).to(x)[t][:, None, None, None]
    predicted = base(alpha.sqrt() * x + (1 - alpha).sqrt() * epsilon, t, c).sample
    assert float(found) == pytest.approx(float((epsilon - predicted).square().mean()), rel=1e-6)


def test_a_malicious_attacker_with_few_images_always_has_the_same_ones(bench: Workbench) -> None:
    held = auxiliary_of(bench, "public_forgotten")
    torch.manual_seed(0)
    four = few(held, 4)
    torch.manual_seed(1)
    nine = few(held, 9)
    assert len(four) == 4 and len(nine) == 9 and few(held, 0) is held
    assert torch.equal(nine.images[:4], four.images), "more images hold the fewer"
    assert not torch.equal(four.images, held.images[:4]), "drawn, not the first in the file"


def test_an_attacker_is_not_given_images_that_are_not_there(bench: Workbench) -> None:
    held = auxiliary_of(bench, "public_forgotten")
    with pytest.raises(ValueError, match=f"given {len(held) + 1}, but there are {len(held)}"):
        few(held, len(held) + 1)
    with pytest.raises(ValueError, match="at least 1, or 0 for all"):
        ATTACKS["malicious"].configure({"images": -1})


@pytest.fixture(scope="module")
def attacked(experiment: Experiment, make_spec: Callable[..., TrialSpec]) -> tuple[TrialSpec, list[Report]]:
    """A control under one attack that counts and two that hold what was forgotten."""
    few_images = AttackPlan("few", "malicious", {"images": 4, "learning_rate": 1e-2, "batch": 8}, counts=False)
    attacks = (make_spec(experiment).attacks[0], few_images, replace(few_images, name="all", settings={"batch": 8}))
    spec = make_spec(experiment, method="none", settings={}, start="retrain", attacks=attacks)
    pipeline, reports = Pipeline(spec), []
    while not reports or reports[-1].state is None:
        reports.append(pipeline.step())
    return spec, reports


def curve(reports: list[Report], attack: str) -> dict[int, float]:
    rows = [r for report in reports for r in report.curves if r["metric"] == "relearning_accuracy"]
    return {r["attack_step"]: r["value"] for r in rows if r["attack"] in ("none", attack)}


def test_malicious_robustness_is_the_worst_of_the_attacks_that_do_not_count_and_robustness_of_those_that_do(
    attacked: tuple[TrialSpec, list[Report]],
) -> None:
    _, reports = attacked
    figures = reports[-1].figures
    worst = max(aurc(curve(reports, name)) for name in ("few", "all"))
    assert figures["malicious_robustness"] == pytest.approx(1 - worst)
    assert figures["robustness"] == pytest.approx(1 - aurc(curve(reports, "gentle")))
    assert figures["malicious_robustness"] != figures["robustness"]


def test_without_an_attack_of_its_kind_either_figure_is_null(
    experiment: Experiment, attacked: tuple[TrialSpec, list[Report]]
) -> None:
    spec, _ = attacked
    for kept, null in ((True, "malicious_robustness"), (False, "robustness")):
        pipeline = Pipeline(replace(spec, attacks=tuple(a for a in spec.attacks if a.counts == kept)))
        report = pipeline.step()
        assert "robustness" not in report.figures and "malicious_robustness" not in report.figures, "not finished"
        while report.state is None:
            report = pipeline.step()
        figures = report.figures
        assert figures[null] is None
        assert all(figures[f] is not None for f in ("robustness", "malicious_robustness") if f != null)


def test_an_audits_figures_are_over_the_images_it_audits(
    bench: Workbench, attacked: tuple[TrialSpec, list[Report]]
) -> None:
    rows = [r for report in attacked[1] for r in report.curves if r["metric"].startswith(("membership", "denoising"))]
    assert {(r["attack"], r["attack_step"]) for r in rows} == {("none", 0), ("gentle", 5), ("few", 5), ("all", 5)}
    assert {r["samples"] for r in rows} == {len(forget_set_of(bench)) + len(strangers_of(bench))}, (
        "digits has no copies"
    )
