"""Base models, the retrain control, and models as artifacts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DModel

from trainables.denoisers.models import load_model, model_facts, trained_parameters, training_run
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.weights import weights_of
from trainables.fine_tuning import FineTuning
from trainables.relearning.experiment import Experiment
from trainables.relearning.products import Workbench, make_model, model_key
from trainables.relearning.products.models import model_of
from trainables.store import Store


def training(experiment: Experiment, forgetting: bool = False) -> FineTuning:
    images = experiment.dataset.load().train
    images = experiment.forgetting.split(images)[1] if forgetting else images
    return training_run(experiment.base, experiment.dataset, images, experiment.base_seed, experiment.device)


def conditions_of(model: UNet2DModel) -> torch.Tensor:
    return model.class_embedding.weight.detach()


def test_base_and_retrain_control_start_from_the_same_weights(experiment: Experiment) -> None:
    base, control = training(experiment).model.state_dict(), training(experiment, forgetting=True).model.state_dict()
    assert all(torch.equal(base[name], control[name]) for name in base)


def test_the_retrain_control_never_trains_the_forgotten_condition(bench: Workbench) -> None:
    experiment = bench.experiment
    initial = conditions_of(training(experiment).model)
    base, control = (conditions_of(model_of(bench, model_key(experiment, which))) for which in ("base", "retrain"))
    (forgotten,) = experiment.forgetting.conditions
    assert torch.equal(control[forgotten], initial[forgotten])
    assert not torch.equal(base[forgotten], initial[forgotten])
    others = [c for c in range(experiment.dataset.conditions + 1) if c != forgotten]
    assert all(not torch.equal(control[c], initial[c]) for c in others), "every other row is, the null condition's too"


def test_training_continues_from_its_checkpoint_to_the_same_weights(experiment: Experiment, tmp_path: Path) -> None:
    interrupted, key = replace(experiment, store=str(tmp_path)), model_key(experiment, "base")
    run = training(interrupted)
    run.advance(7)
    Store(tmp_path).save_partial(key, run.state())
    artifact, uninterrupted = make_model(interrupted, "base"), Store(experiment.store).get(key)
    assert (artifact.facts["resumed_at_step"], uninterrupted.facts["resumed_at_step"]) == (7, 0)
    assert artifact.sha256 == uninterrupted.sha256
    assert Store(tmp_path).load_partial(key) is None


def test_a_model_that_is_in_the_store_is_not_made_again(experiment: Experiment) -> None:
    key = model_key(experiment, "retrain")
    (sidecar,) = Path(experiment.store).rglob(f"{key}.json")
    before = sidecar.read_bytes()
    assert make_model(experiment, "retrain").key == key
    assert sidecar.read_bytes() == before


def test_a_model_read_from_the_store_is_the_model_that_was_put(experiment: Experiment, tmp_path: Path) -> None:
    model = training(experiment).model.eval()
    key = model_key(experiment, "base")
    Store(tmp_path).put(key, "model", model_facts(model, experiment.base), weights_of(model))
    loaded = load_model(Store(tmp_path).get(key), experiment.device)
    x, t, c = torch.randn(2, 1, 8, 8), torch.tensor([3, 900]), torch.tensor([3, 10])
    with torch.no_grad():
        assert torch.equal(loaded(x, t, class_labels=c).sample, model(x, t, class_labels=c).sample)
    assert not loaded.training


def test_a_model_may_move_all_its_parameters_or_those_near_the_condition(experiment: Experiment) -> None:
    model = training(experiment).model
    assert len(trained_parameters(model, "all")) == len(list(model.parameters()))
    some = {id(p) for p in trained_parameters(model, "condition_mid").values()}
    names = {name for name, p in model.named_parameters() if id(p) in some}
    assert "class_embedding.weight" in names and any(name.startswith("mid_block.") for name in names)
    assert all(name.startswith(("class_embedding.", "mid_block.")) for name in names)
    condition, rest = trained_parameters(model, "condition"), trained_parameters(model, "rest")
    assert {"class_embedding.weight", "mid_block.resnets.0.time_emb_proj.weight"} <= set(condition)
    assert not set(condition) & set(rest) and len(condition) + len(rest) == len(list(model.parameters()))
    with pytest.raises(ValueError, match="'atention' is none of"):
        trained_parameters(model, "atention")
    no_attention = UNet2DModel(**BaseModel(channels=(8, 16)).config(experiment.dataset) | {"add_attention": False})
    assert trained_parameters(model, "attention")
    with pytest.raises(ValueError, match="'attention': the model has no such parameters"):
        trained_parameters(no_attention, "attention")


def test_the_keys_of_base_and_control_differ_and_only_the_controls_knows_what_is_forgotten(
    experiment: Experiment,
) -> None:
    other = replace(experiment, forget="7")
    assert model_key(experiment, "base") == model_key(other, "base")
    assert len({model_key(experiment, "base"), model_key(experiment, "retrain"), model_key(other, "retrain")}) == 3
    with pytest.raises(ValueError, match="'control'"):
        model_key(experiment, "control")
