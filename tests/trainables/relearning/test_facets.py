"""Scoring of prompts: what is forgotten is judged by its own facet, the others beside it, and samples are of all kinds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from trainables.data import DATASETS
from trainables.denoisers.recipes import BaseModel, ClassifierRecipe
from trainables.relearning.experiment import Experiment, Samples
from trainables.relearning.products import Workbench, make_classifier, make_model, make_reference, model_key
from trainables.relearning.products.auxiliary import auxiliary_of
from trainables.relearning.products.classifier import classifier_key
from trainables.relearning.products.images import splits_of
from trainables.relearning.stages.score import Sampling, evidence_of, judge_for, make_score, measured

STYLED = DATASETS["digits_styled"]
CONCEPT, STYLE = (torch.tensor(facet.shown) for facet in STYLED.facets)
SAMPLES = Samples(forgotten=60, per_retained=1)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The digits in styles, with a classifier that is right on most and a model that has learned nothing."""
    tiny = Experiment(
        store=str(tmp_path_factory.mktemp("store")),
        data="digits_styled",
        forget="concept:three",
        base=BaseModel(channels=(8, 16), train_steps=2, batch=8, norm_groups=8),
        classifier=ClassifierRecipe(width=8, features=16, train_steps=150, halvings=2),
        sampling_steps=1,
    )
    make_classifier(tiny)
    make_model(tiny, "base")
    make_reference(tiny)
    return tiny


class Painted(Sampling):
    """Samples that are real images of what each prompt asks for, or of another prompt's."""

    def paint(self, asked: torch.Tensor) -> None:
        test = splits_of(self.bench).test
        of_cell = {(int(CONCEPT[c]), int(STYLE[c])): i for i, c in enumerate(test.conditions.tolist())}
        rows = torch.tensor([of_cell[int(CONCEPT[c]), int(STYLE[c])] for c in asked.tolist()])
        self.done = [test.batch(rows).images]


def painted(experiment: Experiment, what: str = "asked") -> Painted:
    bench = Workbench(experiment)
    sampling = Painted(bench, None, SAMPLES, 0)
    asked, anchor_of = sampling.conditions, experiment.forgetting.anchor_of
    if what == "anchor":
        asked = torch.tensor([anchor_of.get(c, c) for c in asked.tolist()])
    sampling.paint(asked)
    return sampling


@pytest.mark.parametrize("forget", ["concept:three", "style:sketch"])
def test_a_model_that_obeys_and_one_that_makes_the_anchor_instead_are_told_apart(
    prompts: Experiment, forget: str
) -> None:
    experiment = replace(prompts, forget=forget)
    make_reference(experiment)
    bench = Workbench(experiment)
    obeys, forgets = (measured(bench, painted(experiment, what)) for what in ("asked", "anchor"))
    assert obeys["relearning_accuracy"] > 0.6 and forgets["relearning_accuracy"] < 0.2
    assert obeys["retain_accuracy"] == forgets["retain_accuracy"] > 0.6, "what stays is made as before"
    assert min(obeys["cross_facet_accuracy"], forgets["cross_facet_accuracy"]) > 0.6, "and so are the other facets"
    assert obeys["anchors_as_forgotten"] < 0.2
    facet = [f.name for f in STYLED.facets].index(experiment.forgetting.facet)
    anchor = STYLED.facets[facet].anchors[experiment.forgetting.labels[0]]
    assert forgets["forgotten_top_class"] == anchor and obeys["forgotten_top_class"] == experiment.forgetting.labels[0]


def test_first_samples_are_of_every_style_and_of_all_forgotten_prompts_alike(prompts: Experiment) -> None:
    sampling = Sampling(Workbench(prompts), None, SAMPLES, 0)
    forgotten = sampling.conditions[sampling.of_forgotten]
    assert len(forgotten) == 60 and torch.bincount(forgotten)[90:120].tolist() == [2] * 30
    assert set(STYLE[forgotten[:20]].tolist()) == set(range(6))
    assert sampling.of_anchor.sum() == 30 and set(CONCEPT[sampling.conditions[sampling.of_anchor]].tolist()) == {4}
    by_style = Sampling(Workbench(replace(prompts, forget="style:sketch")), None, SAMPLES, 0)
    assert set(CONCEPT[by_style.conditions[:32]].tolist()) == set(range(10))


def test_a_score_counts_what_each_figure_is_over_and_shows_prompts_of_all_kinds(prompts: Experiment) -> None:
    score = make_score(prompts, model_key(prompts, "base"), Samples(8, 1), 0)
    figures, counts = score.facts["figures"], score.facts["counts"]
    assert counts.keys() == figures.keys()
    expected = {
        "unlearning_accuracy": 8,
        "retain_accuracy": 270,
        "cross_facet_accuracy": 278,
        "anchors_as_forgotten": 30,
    }
    assert counts | expected == counts
    assert score.tensors()["retained"].shape == (16, 3, 16, 16) and len(score.tensors()["forgotten"]) == 8


def test_the_classifier_knows_nothing_of_what_is_forgotten_and_says_how_right_it_is_by_facet(
    prompts: Experiment,
) -> None:
    assert classifier_key(prompts) == classifier_key(replace(prompts, forget="style:neon"))
    facts = make_classifier(prompts).facts
    assert facts["facet_accuracy"].keys() == {"concept", "style"} and facts["facet_accuracy"]["style"] > 0.9
    assert facts["held_out_accuracy"] <= min(facts["facet_accuracy"].values()) + 1e-6
    bench = Workbench(prompts)
    threes = splits_of(bench).test.where(CONCEPT[splits_of(bench).test.conditions] == 3)
    evidence = evidence_of(bench, threes.images)
    assert torch.equal(judge_for(prompts)(evidence), evidence.predicted == 3) and evidence.confidence.shape == (
        len(threes),
    )


def test_unrelated_images_are_of_the_farther_half_of_labels(prompts: Experiment) -> None:
    unrelated = auxiliary_of(Workbench(prompts), "unrelated")
    concepts = set(CONCEPT[unrelated.conditions].tolist())
    assert len(concepts) == 4 and 3 not in concepts
    assert len(set(unrelated.conditions.tolist())) > 4 * 20, "all their prompts, not half of each label's"
