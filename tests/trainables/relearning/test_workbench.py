"""A workbench keeps what was made on it, and nothing of another experiment's."""

from __future__ import annotations

from dataclasses import replace

from trainables.relearning.experiment import Experiment
from trainables.relearning.products import Workbench, model_key
from trainables.relearning.products.images import forget_set_of, sets_of, splits_of
from trainables.relearning.products.models import base_of, model_of


def test_what_is_kept_is_made_once_and_on_its_own_bench(experiment: Experiment) -> None:
    bench, other = Workbench(experiment), Workbench(replace(experiment, forget="4"))
    assert base_of(bench) is base_of(bench) is not base_of(other)
    assert sets_of(bench) is sets_of(bench) and splits_of(bench) is splits_of(other), "one reading of one data set"
    assert set(forget_set_of(bench).conditions.tolist()) == {3}
    assert set(forget_set_of(other).conditions.tolist()) == {4}


def test_a_model_to_train_is_loaded_anew_and_the_frozen_one_is_another(experiment: Experiment) -> None:
    bench = Workbench(experiment)
    key = model_key(experiment, "base")
    one, two = model_of(bench, key), model_of(bench, key)
    assert one is not two and all(p.requires_grad for p in one.parameters())
    assert not any(p.requires_grad for p in base_of(bench).parameters())
