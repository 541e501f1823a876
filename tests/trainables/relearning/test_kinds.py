"""Every kind of thing that can be forgotten, from the data to the last figure: one tiny trial of each, and its control θ*."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest

from trainables.denoisers.recipes import BaseModel, ClassifierRecipe
from trainables.relearning.experiment import AttackPlan, Experiment, Samples, TrialSpec
from trainables.relearning.products import (
    Workbench,
    make_classifier,
    make_model,
    make_reference,
    make_shadow,
    make_shadows,
    make_synthetic,
    model_key,
)
from trainables.relearning.products.images import forget_set_of, retain_set_of, splits_of
from trainables.relearning.stages.score import make_score
from trainables.relearning.trial import Pipeline
from trainables.running.report import Report
from trainables.store import Store

SAMPLES = Samples(forgotten=8, per_retained=4)
AUDIT = {"membership_auc", "membership_tpr", "denoising_gap"}
JUDGED = {"unlearning_accuracy", "relearning_accuracy"}
DIAGNOSED = {"retain_gradient_norm", "attack_cosine", "distance_unlearned", "distance_base"}
LOOK = {f"forgotten_{name}" for name in ("top_class", "top_share", "confidence", "diversity", "distance")}


@dataclass(frozen=True)
class Kind:
    """What is forgotten of which data, by which method; how many conditions stay."""

    data: str
    forget: str
    method: str
    settings: dict[str, Any]
    retained: int
    shadow_models: int = 0

    @property
    def conditional(self) -> bool:
        return not self.forget.startswith("instances")


KINDS = (
    Kind("digits", "3,7", "dimum", {"replacement": "class_nearest"}, retained=8, shadow_models=2),
    Kind("digits_attributes", "attribute:loop", "label_swap", {"alternative": "class_fixed"}, retained=3),
    Kind("digits_attributes", "attribute:loop", "dimum", {"replacement": "class_fixed"}, retained=3),
    Kind("digits_duplicated", "instances:0,1,2", "siss", {"deletion_norm": 0.02}, retained=1, shadow_models=3),
)


@dataclass(frozen=True)
class Outcome:
    kind: Kind
    spec: TrialSpec
    trial: list[Report]
    control: list[Report]

    def metrics(self, attack: str, step: int, of: str = "trial") -> dict[str, float]:
        rows = [row for report in getattr(self, of) for row in report.curves]
        return {r["metric"]: r["value"] for r in rows if (r["attack"], r["attack_step"]) == (attack, step)}


def run(spec: TrialSpec) -> list[Report]:
    pipeline = Pipeline(spec)
    reports = [pipeline.step()]
    while reports[-1].state is None:
        reports.append(pipeline.step())
    return reports


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind.forget} {kind.method}")
def outcome(request: pytest.FixtureRequest, store: str) -> Outcome:
    """A trial of one kind and its control, on a base model of six steps."""
    kind: Kind = request.param
    tiny = Experiment(
        store=store,
        data=kind.data,
        forget=kind.forget,
        base=BaseModel(channels=(8, 8), train_steps=6, batch=16),
        classifier=ClassifierRecipe(width=4, features=8, train_steps=20, batch=32),
        sampling_steps=2,
        synthetic_per_condition=2,
        shadow_models=kind.shadow_models,
    )
    make_classifier(tiny)
    for which in ("base", "retrain"):
        make_model(tiny, which)
    for number in range(kind.shadow_models):
        make_shadow(tiny, number)
    if kind.shadow_models:
        make_shadows(tiny)
    make_reference(tiny)
    make_synthetic(tiny)
    make_score(tiny, model_key(tiny, "base"), SAMPLES, 0)
    attack = AttackPlan("relearn", "dimra", {"auxiliary": "public", "learning_rate": 1e-2, "batch": 8})
    settings = {"steps": 3, "batch": 8, "learning_rate": 3e-3} | kind.settings
    spec = TrialSpec(
        "trial", 0, tiny, kind.method, settings, 0, (attack,), (0, 1, 3), samples=SAMPLES, attacked_per_retained=3
    )
    return Outcome(kind, spec, run(spec), run(replace(spec, method="none", settings={}, start="retrain")))


def test_the_trial_and_its_control_go_to_their_end(outcome: Outcome) -> None:
    ladder = ["score", "relearn@1", "relearn@3"]
    assert [r.stage["stage"] for r in outcome.trial if r.stage] == ["unlearn", *ladder]
    assert [r.stage["stage"] for r in outcome.control if r.stage] == ladder
    for reports in (outcome.trial, outcome.control):
        assert reports[-1].state == "COMPLETE" and reports[-1].cause is None
        assert 0 <= reports[-1].figures["robustness"] <= 1


def test_the_figures_are_finite_and_those_that_apply(outcome: Outcome) -> None:
    shadow = {"shadow_auc"} if outcome.kind.shadow_models else set()
    look = LOOK if outcome.kind.conditional else {"instance_distance"}
    quality = {"fid", "kid", "precision", "recall"}
    expected = AUDIT | shadow | JUDGED | look | quality | ({"retain_accuracy"} if outcome.kind.conditional else set())
    for of in ("trial", "control"):
        before, between, after = (
            outcome.metrics(*rung, of=of) for rung in (("none", 0), ("relearn", 1), ("relearn", 3))
        )
        assert set(before) == expected and set(after) == expected | DIAGNOSED
        assert set(between) == JUDGED | look | DIAGNOSED
        for figures in (before, between, after):
            assert all(math.isfinite(value) for value in figures.values())
            shares = [v for name, v in figures.items() if name.endswith(("accuracy", "share", "_auc", "_tpr"))]
            assert all(0 <= share <= 1 for share in shares)
            assert figures["unlearning_accuracy"] == 1 - figures["relearning_accuracy"]


def test_the_audit_looks_at_the_model_before_and_after_the_attack(outcome: Outcome) -> None:
    gaps = [outcome.metrics(*rung)["denoising_gap"] for rung in (("none", 0), ("relearn", 3))]
    controls = [outcome.metrics(*rung, of="control")["denoising_gap"] for rung in (("none", 0), ("relearn", 3))]
    assert len({*gaps, *controls}) == 4, "four models"


def test_figures_are_over_the_samples_that_they_say(outcome: Outcome) -> None:
    rows = {(r["attack_step"], r["metric"]): r["samples"] for report in outcome.trial for r in report.curves}
    each = {step: (8, n * outcome.kind.retained) for step, n in ((0, 4), (3, 3))}
    if not outcome.kind.conditional:  # every sample is asked for both
        each = {step: (sum(counts), sum(counts)) for step, counts in each.items()}
    assert {step: (rows[step, "relearning_accuracy"], rows[step, "fid"]) for step in each} == each
    assert rows[1, "relearning_accuracy"] == 8
    distances = {step: n for (step, metric), n in rows.items() if metric == "instance_distance"}
    assert distances == ({} if outcome.kind.conditional else {0: 8, 1: 8, 3: 8}), "of as many samples at every rung"


def test_the_control_never_saw_what_is_forgotten(outcome: Outcome) -> None:
    bench = Workbench(outcome.spec.experiment)
    trained_on = Store(outcome.spec.experiment.store).get(model_key(outcome.spec.experiment, "retrain")).facts["images"]
    assert trained_on == len(retain_set_of(bench)) == len(splits_of(bench).train) - len(forget_set_of(bench))
    assert outcome.control[-1].figures["unlearned_model"] == model_key(outcome.spec.experiment, "retrain")


def test_a_method_is_refused_what_it_cannot_forget_before_anything_is_trained(outcome: Outcome) -> None:
    other = "dimum" if outcome.kind.method == "siss" else "siss"
    kinds = ("conditions", "instances") if other == "dimum" else ("instances", "conditions")
    with pytest.raises(ValueError, match=f"method '{other}' forgets {kinds[0]}, not {outcome.kind.forget}"):
        Pipeline(replace(outcome.spec, method=other, settings={}))
