"""Judges as a family: which tells what, what it is shown, and what it may say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from trainables.data import Images
from trainables.judges import JUDGES, Evidence, Judge, judge_of
from trainables.judges.copies import copies
from trainables.relearning.experiment import Experiment, Samples
from trainables.relearning.products import Workbench
from trainables.relearning.products.images import forget_set_of, retain_set_of
from trainables.relearning.products.judge import judge_for
from trainables.relearning.stages.score import evidence_of, score_key


def samples(**changes: object) -> Evidence:
    images = Images(torch.zeros(2, 1, 8, 8), torch.tensor([0, 0]))
    before = Evidence(
        images=torch.zeros(3, 1, 8, 8),
        predicted=torch.tensor([3, 7, 3]),
        confidence=torch.tensor([0.9, 0.9, 0.2]),
        asks=lambda conditions: conditions == 3,
        forgotten=lambda: images,
        retained=lambda: images,
    )
    return replace(before, **changes)


def test_the_classifier_goes_by_the_condition_it_gives() -> None:
    assert JUDGES["classifier"](samples()).tolist() == [True, False, True]


def test_a_kind_of_forgetting_has_its_judge_and_another_may_be_named() -> None:
    assert judge_of("conditions").name == "classifier" and judge_of("instances").name == "copies"
    with pytest.raises(
        ValueError,
        match="copies cannot tell conditions; classifier, image_classifier, zero_shot_clip, zero_shot_clip_labels can",
    ):
        judge_of("conditions", "copies")
    with pytest.raises(ValueError, match="unknown judge 'clasifier': did you mean 'classifier'"):
        judge_of("conditions", "clasifier")


@pytest.mark.parametrize(
    "shows", [lambda j: None, lambda j: j.confidence, lambda j: torch.tensor([True]), lambda j: j.images > 0]
)
def test_what_a_judge_says_is_a_yes_or_no_of_each_sample(shows: Callable[[Evidence], torch.Tensor]) -> None:
    with pytest.raises(ValueError, match=r"judge 'odd' gives .*; \(3,\) of bool is asked for"):
        Judge("odd", ("conditions",), shows, __name__)(samples())


def test_samples_stand_before_the_judge_with_the_sets_that_they_are_held_against(experiment: Experiment) -> None:
    single = replace(experiment, data="digits_duplicated", forget="instances:0,1")
    bench = Workbench(replace(experiment, forget="3"))
    evidence = evidence_of(bench, forget_set_of(bench).images[:20])
    shows = judge_for(bench.experiment)(evidence)
    assert shows.tolist() == (evidence.predicted == 3).tolist() and evidence.retained().conditions.ne(3).all()
    assert judge_for(single).name == "copies"
    forgotten, others = forget_set_of(bench), retain_set_of(bench)
    seen = samples(images=forgotten.images[:5], forgotten=lambda: forgotten, retained=lambda: others)
    assert JUDGES["copies"](seen).all() and copies(forgotten.images[:5], forgotten, others).all()


def test_the_judge_is_in_the_scores_key(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = Judge("strict", ("conditions",), lambda j: j.asks(j.predicted), "trainables.judges.classifier")
    JUDGES.names()
    monkeypatch.setitem(JUDGES._members, "strict", strict)
    keys = [score_key(e, "m" * 64, Samples(), 0) for e in (experiment, replace(experiment, judge="strict"))]
    assert len(set(keys)) == 2 and keys[0] == score_key(replace(experiment, judge="classifier"), "m" * 64, Samples(), 0)
