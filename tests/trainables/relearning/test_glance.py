"""A glance stops what has plainly not unlearned on a few samples, which are the first of the score's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainables.relearning.experiment import Experiment, Limit, Samples, TrialSpec
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.stages.glance import GlanceStage
from trainables.relearning.stages.score import FIRST, ScoreStage, make_score
from trainables.relearning.trial import Pipeline
from trainables.running.report import Report
from trainables.running.stopwatch import Stopwatch

MakeSpec = Callable[..., TrialSpec]
MANY = Samples(2 * FIRST, 4)
FEW = Samples(2 * FIRST - 1, 2)
OWN = 4711


def run(spec: TrialSpec) -> list[Report]:
    pipeline = Pipeline(spec)
    reports = [pipeline.step(600.0)]
    while reports[-1].state is None:
        reports.append(pipeline.step(600.0))
    return reports


def stages(reports: list[Report]) -> list[str]:
    return [r.stage["stage"] for r in reports if r.stage]


@pytest.fixture
def spec(experiment: Experiment, make_spec: MakeSpec) -> TrialSpec:
    """A trial of a seed of its own: other tests' stages are not to be found by it, nor its by them."""
    make_score(experiment, model_key(experiment, "base"), MANY, OWN)
    return make_spec(experiment, samples=MANY, attacks=make_spec(experiment).attacks[:1], seed=OWN)


def asked(spec: TrialSpec, bound: float) -> TrialSpec:
    return replace(spec, gate=(Limit("unlearning_accuracy", bound, at_most=False),))


def test_what_has_plainly_not_unlearned_is_never_scored(spec: TrialSpec) -> None:
    reports = run(asked(spec, 1.5))
    assert stages(reports) == ["unlearn", "glance"]
    last = reports[-1]
    assert last.state == "PRUNED" and last.cause is not None and "99% bound" in last.cause
    assert set(last.figures) >= {"unlearning_accuracy", "seed"} and "fid_delta" not in last.figures
    assert last.figures["samples_forgotten"] == FIRST and last.figures["score"] is None
    assert not list(Path(spec.experiment.store).glob("partial/*")), "no checkpoint outlives its stage"


def test_near_the_line_all_samples_are_drawn_and_the_figures_are_those_without_a_glance(spec: TrialSpec) -> None:
    glanced, whole = run(asked(spec, 1e-9)), run(replace(spec, gate=()))
    assert stages(glanced) == ["unlearn", "glance", "score", "gentle@2", "gentle@5"]
    assert stages(whole) == ["unlearn", "score", "gentle@2", "gentle@5"]
    assert glanced[-1].figures == whole[-1].figures


@pytest.mark.parametrize(
    "limit", [Limit("fid_delta", 1e6, at_most=True), Limit("unlearning_accuracy", 2.0, at_most=True)]
)
def test_a_gate_that_does_not_ask_for_unlearning_is_not_helped_by_a_glance(spec: TrialSpec, limit: Limit) -> None:
    assert "glance" not in stages(run(replace(spec, gate=(limit,), fid_delta_sd=1.0)))


def test_few_samples_are_drawn_at_once(spec: TrialSpec) -> None:
    make_score(spec.experiment, model_key(spec.experiment, "base"), FEW, OWN)
    assert "glance" not in stages(run(replace(asked(spec, 1.5), samples=FEW)))


def test_another_process_goes_on_from_the_samples_of_the_glance(another_store: Callable[[str], Experiment]) -> None:
    """Its images are the first of the score's, bit by bit, whoever draws the others."""

    experiment = another_store("glanced")

    def score() -> ScoreStage:
        return ScoreStage(Workbench(experiment), model_key(experiment, "base"), MANY, seed=11)

    whole = score()
    assert whole.advance(Stopwatch(), float("inf"))
    glance = GlanceStage(score())
    assert glance.advance(Stopwatch(), float("inf"))
    told = glance.commit(Stopwatch()).facts["figures"]
    assert told["unlearning_accuracy"] == pytest.approx(1 - told["relearning_accuracy"])
    continued = score()
    assert [len(batch) for batch in continued.sampling.done] == [FIRST]
    assert continued.advance(Stopwatch(), float("inf"))
    assert torch.equal(continued.sampling.images(), whole.sampling.images())
