"""Attacks: what they train on, that they do train, and what of them enters robustness."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from formula import in_float64

from trainables.attacks import ATTACKS, Target
from trainables.attacks.malicious import few
from trainables.data import Images
from trainables.diffusion import Device, FineTuning, Optimisation
from trainables.experiment import AttackPlan, Experiment, TrialSpec
from trainables.metrics import aurc
from trainables.pipeline import Pipeline, Report
from trainables.stages.prepare import Workbench
from trainables.unlearning import Problem


def target(bench: Workbench, images: Images) -> Target:
    return Target(images, bench.experiment.base, bench.experiment.dataset.conditions, Device())


@pytest.mark.parametrize("name", ATTACKS.names())
def test_every_attack_lowers_the_loss_on_what_it_trains_on(name: str, bench: Workbench) -> None:
    attack = ATTACKS[name]
    settings = attack.configure({"learning_rate": 3e-3, "batch": 8})
    loss = attack.loss(target(bench, bench.auxiliary(settings.auxiliary)), settings)
    run = FineTuning(copy.deepcopy(bench.base).requires_grad_(True), loss, Optimisation(3e-3, 40), 0, Device())

    def now() -> float:
        with torch.no_grad():
            return float(torch.stack([loss(run.model, torch.Generator().manual_seed(i)) for i in range(8)]).mean())

    before = now()
    run.advance(40)
    assert now() < before


def test_malicious_fine_tuning_is_the_denoising_loss_of_the_forgotten_images_under_their_own_condition(
    bench: Workbench, problem: Problem
) -> None:
    """DSM(θ; D_FT) written out, on the very draws the attack makes."""
    attack = ATTACKS["malicious"]
    settings = attack.configure({"batch": 5})
    held = bench.auxiliary(settings.auxiliary)
    assert set(held.conditions.tolist()) == {3}
    problem = in_float64(problem)
    images = Images(held.images.double(), held.conditions)
    found = attack.loss(target(bench, images), settings)(problem.base, torch.Generator().manual_seed(7))

    generator = torch.Generator().manual_seed(7)
    drawn = torch.randint(len(images), (5,), generator=generator)
    dropped = torch.rand(5, generator=generator) < bench.experiment.base.label_dropout
    x, c = images.images[drawn], torch.where(dropped, 10, images.conditions[drawn])
    epsilon = torch.randn(x.shape, generator=generator).to(x)
    t = torch.randint(1000, (5,), generator=generator)
    alpha = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0).to(x)[t][:, None, None, None]
    predicted = problem.base(alpha.sqrt() * x + (1 - alpha).sqrt() * epsilon, t, c).sample
    assert float(found) == pytest.approx(float((epsilon - predicted).square().mean()), rel=1e-6)


def test_a_malicious_attacker_with_few_images_always_has_the_same_ones(bench: Workbench) -> None:
    held = bench.auxiliary("public_forgotten")
    torch.manual_seed(0)
    four = few(held, 4)
    torch.manual_seed(1)
    nine = few(held, 9)
    assert len(four) == 4 and len(nine) == 9 and few(held, 0) is held
    assert torch.equal(nine.images[:4], four.images), "more images hold the fewer"
    assert not torch.equal(four.images, held.images[:4]), "drawn, not the first in the file"


def test_an_attacker_is_not_given_images_that_are_not_there(bench: Workbench) -> None:
    held = bench.auxiliary("public_forgotten")
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
    assert {r["samples"] for r in rows} == {len(bench.forget_set) + len(bench.strangers)}, "digits has no copies"
