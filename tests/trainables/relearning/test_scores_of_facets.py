"""Scoring of prompts: what is forgotten is judged by its own facet, the others beside it, and samples are of all kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from judge_folders import write_classifier

from trainables.data import DATASETS
from trainables.denoisers.recipes import ClassifierRecipe
from trainables.judges import digest_of
from trainables.judges.image_classifier import ImageClassifier
from trainables.relearning.experiment import Experiment, Samples
from trainables.relearning.products import Workbench, make_classifier, make_reference
from trainables.relearning.products.auxiliary import auxiliary_of
from trainables.relearning.products.classifier import classifier_key
from trainables.relearning.products.images import splits_of
from trainables.relearning.products.judge import judge_for, judge_identity, make_judged
from trainables.relearning.shared_products import JUDGE, products_of
from trainables.relearning.stages.score import Sampling, counted, evidence_of, measured, score_key, shown

STYLED = DATASETS["digits_styled"]
CONCEPT, STYLE = (torch.tensor(facet.shown) for facet in STYLED.facets)
SAMPLES = Samples(forgotten=60, per_retained=1)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The digits in styles, with a classifier that is right on most."""
    tiny = Experiment(
        store=str(tmp_path_factory.mktemp("store")),
        data="digits_styled",
        forget="concept:three",
        classifier=ClassifierRecipe(width=8, features=16, train_steps=150, halvings=2),
        sampling_steps=1,
    )
    make_classifier(tiny)
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


def test_what_each_figure_is_over_is_counted_and_prompts_of_all_kinds_are_shown(prompts: Experiment) -> None:
    sampling = painted(prompts)
    figures = measured(Workbench(prompts), sampling)
    counts = counted(figures, sampling, ({}, 0))
    assert counts.keys() == figures.keys()
    expected = {
        "unlearning_accuracy": 60,
        "retain_accuracy": 270,
        "cross_facet_accuracy": 330,
        "anchors_as_forgotten": 30,
    }
    assert counts | expected == counts
    pictures = shown(sampling)
    assert pictures["retained"].shape == (16, 3, 16, 16) and len(pictures["forgotten"]) == 18


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


def test_a_judge_with_weights_of_its_own_is_asked_instead_and_known_by_their_digest(
    prompts: Experiment, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    place = write_classifier(tmp_path / "vit", ["teapot", *STYLED.facets[0].labels])
    judged = replace(prompts, judge=f"image_classifier:{place}")
    with pytest.raises(ValueError, match="set judge_digest"):
        judge_identity(judged)
    judged, other = (replace(judged, judge_digest=digit * 64) for digit in "12")
    assert judge_identity(judged) == f"image_classifier@{'1' * 16}"
    keys = {
        score_key(e, "m" * 64, SAMPLES, 0)
        for e in (prompts, judged, other, replace(judged, judge="image_classifier:x"))
    }
    assert len(keys) == 3, "the folder itself is no part of it"

    reader = ImageClassifier(place, STYLED.facets, 0)
    judged = replace(judged, judge_digest=digest_of(reader))
    bench, sampling = Workbench(judged), painted(prompts)
    figures, own = measured(bench, sampling), measured(Workbench(prompts), sampling)
    said = reader.load("cpu")(sampling.images()).labels[:, 0]
    asked = CONCEPT[sampling.conditions]
    assert figures["relearning_accuracy"] == pytest.approx(float((said == 3)[sampling.of_forgotten].float().mean()))
    assert figures["retain_accuracy"] == pytest.approx(float((said == asked)[sampling.of_retained].float().mean()))
    assert figures["retain_accuracy"] < own["retain_accuracy"], "for its weights are random"
    assert figures["fid"] == own["fid"] and "cross_facet_accuracy" not in figures, "of styles it knows nothing"

    tried = make_judged(judged).facts
    assert tried["held_out_images"] == 500 and tried["facet_accuracy"].keys() == {"concept"}
    assert JUDGE in products_of(judged) and JUDGE not in products_of(prompts)
