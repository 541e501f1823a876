"""A judge that does not know the base model's own images is told, and no question's bound on unlearning is met by doing nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from recorded_run import write_run

from search_spaces.closed_form_text2image import SPACE as UNBOUNDED
from search_spaces.meta_unlearning_text2image import SPACE
from sweep.errors import UsageError
from sweep.page.caption import caption
from sweep.plan.place import Place
from sweep.reading.sweep import read_sweep
from sweep.relearning.experiments import experiment_of
from sweep.relearning.page_words import _classifier
from sweep.relearning.prepare import check_base_breaks_bounds, judge_doubt
from sweep.relearning.setup import Setup


def figures(found: float) -> dict[str, float]:
    return {"relearning_accuracy": found, "unlearning_accuracy": 1 - found}


def test_a_judge_that_finds_it_in_less_than_half_of_the_base_models_samples_is_in_doubt(tmp_path: Path) -> None:
    experiment = experiment_of(Setup.asked({"data": "digits_styled"}), str(tmp_path), Place())
    assert judge_doubt(experiment, figures(0.5)) == ""
    assert "classifier, finds what is to be forgotten in 12.0% of the base model's own" in judge_doubt(
        experiment, figures(0.12)
    )
    images = Setup.asked({"data": "digits_duplicated", "forget": "instances:0,1"})
    assert judge_doubt(experiment_of(images, str(tmp_path), Place()), figures(0.0)) == "", "one image of many is rare"


def test_a_base_model_that_meets_the_bound_on_unlearning_is_refused_with_the_mend() -> None:
    with pytest.raises(UsageError, match=r"--judge: who knows\..* 0\.970, .* 0\.95 at least; give another --judge"):
        check_base_breaks_bounds(SPACE, figures(0.03), 48, "who knows")
    check_base_breaks_bounds(SPACE, figures(0.1), 48, "who knows")
    check_base_breaks_bounds(SPACE, figures(0.0), 8, "who knows")  # a smoke run's, where one sample breaks the bound
    check_base_breaks_bounds(UNBOUNDED, figures(0.0), 48, "who knows")
    little = dataclasses.replace(SPACE.constraints[1], at_least=0.05)
    check_base_breaks_bounds(dataclasses.replace(SPACE, constraints=(little,)), figures(0.0), 48, "who knows")
    below = dataclasses.replace(SPACE.constraints[1], at_least=None, at_most=0.5)
    check_base_breaks_bounds(dataclasses.replace(SPACE, constraints=(below,)), figures(0.0), 48, "who knows")


def test_the_page_and_the_caption_say_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    doubt = (
        "the judge, classifier, finds what is to be forgotten in 12.0% of the base model's own samples of it: and so on"
    )
    assert "The judge, classifier" not in caption(read_sweep(run)) + _classifier(read_sweep(run))
    file = run / "prepared.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"judge_doubt": doubt}))
    for text in (caption(read_sweep(run)), _classifier(read_sweep(run))):
        assert f" T{doubt[1:]}." in text
