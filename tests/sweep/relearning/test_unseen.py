"""Without θ* an unseen concept stands for learning anew: nobody trains on it but the control, and the page calls it by its name."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import text_folders
import text_recipe
import torch
from PIL import Image

from sweep import launch, records
from sweep.plan.place import Place
from sweep.relearning import experiments
from sweep.relearning.experiments import experiment_of
from sweep.relearning.setup import Setup
from sweep.relearning.unseen import experiment_of_unseen, products_beside, unseen_text
from trainables.data import dataset
from trainables.forgetting import parse_forget
from trainables.relearning.experiment import Experiment
from trainables.relearning.origins import parts_of
from trainables.relearning.products import models
from trainables.relearning.products.images import splits_of
from trainables.relearning.products.latents import encoded_sets_of
from trainables.relearning.shared_products import products_of
from trainables.relearning.workbench import Workbench

OWN = "a photo of a glub"


def with_unseen(folder: Path) -> Path:
    """The prompts of the other tests, and a made-up subject beside them with as many pictures."""
    text_folders.save_prompts(folder)
    with (folder / "prompts.csv").open("a") as prompts:
        prompts.write(f"\n{OWN},unseen,glub\n")
    with (folder / "train" / "metadata.csv").open("a") as captions:
        captions.write("\n")
        table = csv.writer(captions)
        for copy in range(8):
            pixels = np.full((16, 16, 3), 20 + copy, np.uint8)
            pixels[4:12, 4:12] = (240, 10, 200)
            Image.fromarray(pixels).save(folder / "train" / f"glub-{copy}.png")
            table.writerow((f"glub-{copy}.png", OWN))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("unseen")
    text_folders.save_sd(root / "sd")
    with_unseen(root / "prompts")
    return root


def test_what_was_never_seen_is_neither_forgotten_nor_kept(folder: Path) -> None:
    data = dataset("prompts", str(folder / "prompts"), 16)
    number = data.prompts.index(OWN)
    forgetting = parse_forget("concept:cat", data)
    assert number not in (*forgetting.conditions, *forgetting.retained, *forgetting.anchors)
    train = data.load(data.fingerprint()).train
    forget, retain = forgetting.split(train)
    seen = torch.cat([forget.conditions, retain.conditions, forgetting.unrelated(train).conditions])
    assert number in train.conditions and number not in seen
    assert unseen_text(data) == "concept:glub"
    learned = parse_forget("concept:glub", data)
    assert learned.conditions == (number,) and set(learned.retained) == set(range(data.conditions)) - {number}
    plain = dataset("digits_styled")
    assert unseen_text(plain) == ""


def test_no_method_is_given_its_images(folder: Path) -> None:
    asked = {"data": "prompts", "data_folder": str(folder / "prompts"), "image_size": 16, "forget": "concept:cat"}
    experiment = experiment_of(Setup.asked(asked | {"base": str(folder / "sd")}), str(folder / "store"), Place())
    number = experiment.dataset.prompts.index(OWN)
    graph = products_of(experiment)
    for name in (*parts_of(experiment), "base model"):
        graph[name].make()
    bench = Workbench(experiment)
    sets = encoded_sets_of(bench)
    assert number in splits_of(bench).train.conditions
    assert all(len(images) and number not in images.conditions for images in sets)
    assert len(sets[1]) == len(experiment.forgetting.split(splits_of(bench).train)[1])


def test_a_base_model_that_is_trained_here_never_sees_them_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"data": "prompts", "data_folder": str(with_unseen(tmp_path / "prompts")), "image_size": 16}
    experiment = experiment_of(Setup.asked(asked | {"forget": "concept:cat"}), str(tmp_path / "store"), Place())
    monkeypatch.setattr(models, "splits_trained_on", Experiment.splits)  # pixels: a VAE would have to be trained first
    trained_on, train = models.training_images(experiment, "base"), experiment.splits().train
    number = experiment.dataset.prompts.index(OWN)
    unseen = int((train.conditions == number).sum())
    assert unseen and number not in trained_on.conditions and len(trained_on) == len(train) - unseen


def test_it_stands_only_where_there_is_no_control(folder: Path) -> None:
    asked = {"data": "prompts", "data_folder": str(folder / "prompts"), "image_size": 16, "forget": "concept:cat"}
    setup = Setup.asked(asked | {"base": str(folder / "sd")})
    experiment = experiment_of(setup, str(folder / "store"), Place())
    other = experiment_of_unseen(experiment)
    assert other is not None and other.forget == "concept:glub" and other.base == experiment.base
    products = products_of(experiment)
    beside = {product.name: product for product in products_beside(experiment, products)}
    assert "reference statistics of concept:glub" in beside
    assert {p.key() for p in products.values()}.isdisjoint(p.key() for p in beside.values())
    controlled = Setup.asked(asked | {"base": str(folder / "sd"), "retrain_control": str(folder / "sd")})
    assert experiment_of_unseen(experiment_of(controlled, str(folder / "store"), Place())) is None


@pytest.mark.slow
def test_a_sweep_teaches_it_to_the_base_model_and_shows_it_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(experiments, "classifier_recipe", lambda *_, **__: text_recipe.JUDGE)
    words = (
        "--space closed_form_text2image --preset smoke --fix method=uce --trials 1 --in-process --base sd --run-dir run"
    )
    data = "--data prompts --data-folder prompts --image-size 16 --forget concept:cat --artifacts store"
    assert launch.main([*words.split(), *data.split()]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "beside it concept:glub, which the base model never saw, taught to it by the same attacks" in output
    run = folder / "run"
    controls = {r["trial_id"] for r in records.rows(run, "replicates") if r["arm"] == "control"}
    assert controls == {"control-base", "control-unseen"}
    curves = [c for c in records.rows(run, "curves") if c["trial_id"] == "control-unseen" and c["replicate"] == 1]
    taught = {
        c["attack_step"] for c in curves if c["attack"].startswith("malicious") and c["metric"] == "relearning_accuracy"
    }
    assert taught == {1, 3} and json.loads((run / "prepared.json").read_text())["unseen"] == "concept:glub"
    page = (run / "report.html").read_text()
    assert "In its place stand the same attacks on the base model" in page and "unseen concept, learned anew" in page
    assert "control-unseen" in page and "base model, unseen concept" in page


def test_an_unseen_prompt_needs_its_concept(tmp_path: Path) -> None:
    text_folders.save_prompts(tmp_path / "prompts")
    with (tmp_path / "prompts" / "prompts.csv").open("a") as prompts:
        prompts.write(f"\n{OWN},unseen,\n")
    with pytest.raises(ValueError, match="line 7: a prompt of the role unseen needs the concept that its images show"):
        dataset("prompts", str(tmp_path / "prompts"), 16)
