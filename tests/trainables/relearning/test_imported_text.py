"""Stable Diffusion's folders as base models of whole trials: taken apart into products, unlearned, attacked, mended."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import text_folders
import torch
from taken_pipelines import experiment_on

from sweep.relearning.prepare import _import_pretrained
from trainables.data import _dataset, dataset
from trainables.denoisers.digests import hashed
from trainables.denoisers.imported import imported_encoders
from trainables.denoisers.pipelines import fitted, read_pipeline
from trainables.denoisers.recipes import Pretrained
from trainables.relearning.experiment import AttackPlan, Experiment, Samples, TrialSpec, experiment_from_json
from trainables.relearning.origins import LATENTS, PROMPTS, VAE, parts_of
from trainables.relearning.products import Workbench, make_imported, model_key, vae_key
from trainables.relearning.products.latents import encoded_splits_of
from trainables.relearning.products.models import model_of
from trainables.relearning.products.synthetic import synthetic_forgotten_key, synthetic_key
from trainables.relearning.products.text import ENCODER, encoders_of
from trainables.relearning.shared_products import make_again, products_of, score_of
from trainables.relearning.trial import Pipeline
from trainables.store import READ_WITH, MissingArtifact, Store

SAMPLES = Samples(forgotten=6, per_retained=1)


def experiment_of(root: Path, folder: Path) -> Experiment:
    """On a user's own prompts and a few pictures of each."""
    data = text_folders.save_prompts(root / "prompts")
    data_set = dataset("prompts", str(data), 16)
    return experiment_on(
        _taken(folder, data), root / "store", data="prompts", data_folder=str(data), image_size=16, forget="concept:cat",
        guidance=2.0, data_fingerprint=data_set.fingerprint(),
    )  # fmt: skip


def _taken(folder: Path, data: Path) -> Pretrained:
    return hashed(fitted(read_pipeline(str(folder)), dataset("prompts", str(data), 16)))


@pytest.fixture(scope="module", params=["sd-v", "xl"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Everything that trials share; the folder it came from is gone."""
    root = tmp_path_factory.mktemp("imported")
    folder = text_folders.SAVED[request.param](root / "pipeline")
    experiment = experiment_of(root, folder)
    graph = products_of(experiment, ["saliency"])
    graph |= {"score": score_of(experiment, "score", "base", SAMPLES, 0)}
    done: set[str] = set()
    while len(done) < len(graph):
        for name, product in graph.items():
            if name not in done and set(product.needs) <= done:
                product.make()
                done.add(name)
    shutil.rmtree(folder)
    return experiment


def spec_on(experiment: Experiment, **changes: object) -> TrialSpec:
    spec = TrialSpec(
        "trial", 0, experiment, "salun", {"steps": 2, "batch": 8}, 0,
        (AttackPlan("a", "dimra", {"auxiliary": "synthetic", "batch": 4}),), (0, 1, 2),
        samples=SAMPLES, attacked_per_retained=1,
    )  # fmt: skip
    return TrialSpec.from_json(json.loads(json.dumps(replace(spec, **changes).to_json())))  # type: ignore[arg-type]


def test_a_pipeline_is_taken_apart_into_products(prepared: Experiment) -> None:
    parts, store = parts_of(prepared), Store(prepared.store)
    assert list(parts) == [VAE, PROMPTS, LATENTS] and vae_key(prepared) == parts[VAE].key()
    facts = store.get(model_key(prepared, "base")).facts
    assert facts[READ_WITH] == {name: parts[name].key() for name in (VAE, PROMPTS)} and "text_unet" in facts
    splits = prepared.splits()
    encoded = encoded_splits_of(Workbench(prepared))
    assert encoded.train.shape == prepared.model_shape == (4, 8, 8) and len(encoded.train) == len(splits.train)
    assert experiment_from_json(json.loads(json.dumps(asdict(prepared)))) == prepared, "it travels as JSON"


def test_a_pipeline_is_copied_once_whatever_images_there_are_and_wherever_it_runs(tmp_path: Path) -> None:
    """Gigabytes that depend on neither: the U-Net's artifact names its prompts, and knows nothing else of the data."""
    sd, folder = text_folders.save_sd(tmp_path / "sd"), text_folders.save_prompts(tmp_path / "prompts")
    taken = _taken(sd, folder)
    shutil.move(folder / "train", tmp_path / "train")

    def now(**changes: Any) -> Experiment:
        _dataset.cache_clear()  # a process of its own would find the folder as it is now
        data = dataset("prompts", str(folder), 16)
        return experiment_on(
            taken, tmp_path / "store", data="prompts", data_folder=str(folder), image_size=16, forget="role:forget",
            data_fingerprint=data.fingerprint(), control=replace(taken, digest="0" * 64), **changes,
        )  # fmt: skip

    def keys(experiment: Experiment) -> tuple[str, str]:
        return model_key(experiment, "base"), model_key(experiment, "retrain")

    before = now()
    assert len({*keys(before), model_key(replace(before, control=taken), "retrain")}) == 3, (
        "a control is another artifact"
    )
    shutil.move(tmp_path / "train", folder / "train")
    drawn = now()
    assert keys(drawn) == keys(before) == keys(replace(drawn, device_name="cuda", base_seed=3))
    assert parts_of(drawn)[LATENTS].key() != parts_of(before)[LATENTS].key()
    assert synthetic_key(drawn) == synthetic_key(before) != synthetic_key(replace(drawn, device_name="cuda"))

    table, was = folder / "prompts.csv", [*keys(drawn), synthetic_key(drawn), synthetic_forgotten_key(drawn)]
    table.write_text(table.read_text().replace("house,unrelated", "house,forget"))
    other = now()
    assert [*keys(other)] == was[:2] and synthetic_key(other) != was[2], "it is of other retained prompts"
    assert synthetic_forgotten_key(other) != was[3]
    table.write_text(table.read_text() + "\na photo of a barn,retain,barn\n")
    assert keys(now())[0] != was[0], "its prompts are others"


def test_a_whole_trial_runs_without_the_folder(prepared: Experiment) -> None:
    pipeline = Pipeline(spec_on(prepared))
    report = pipeline.step()
    while report.state is None:
        report = pipeline.step()
    assert report.state == "COMPLETE", report.cause
    assert 0 <= report.figures["robustness"] <= 1
    scored = Store(prepared.store).get(report.figures["score"])
    made_by, forgetting, prompts = scored.facts["made_by"], prepared.forgetting, prepared.dataset.prompts
    assert {kind: len(images) for kind, images in scored.tensors().items()} == {k: len(v) for k, v in made_by.items()}
    assert set(made_by["forgotten"]) == {prompts[c] for c in forgetting.conditions}, "each in turn"
    assert made_by["retained"] == [prompts[c] for c in forgetting.retained]
    unlearned = Store(prepared.store).get(report.figures["unlearned_model"])
    assert unlearned.named_with == {name: parts_of(prepared)[name].key() for name in (VAE, PROMPTS)}


def test_a_table_of_prompts_that_is_gone_is_missed_and_named(prepared: Experiment, tmp_path: Path) -> None:
    experiment = replace(prepared, store=str(shutil.copytree(prepared.store, tmp_path / "store")))
    store, key = Store(experiment.store), parts_of(experiment)[PROMPTS].key()
    assert store.get(model_key(experiment, "base")).read_with == {key, vae_key(experiment)}
    store.delete(key)
    with pytest.raises(MissingArtifact) as missing:
        model_of(Workbench(experiment), model_key(experiment, "base"))
    assert missing.value.key == key
    with pytest.raises(ValueError, match="tokenizer is not there any more; put the pipeline back"):
        make_again(spec_on(experiment), key)


def test_a_table_of_prompts_is_made_again_and_a_strangers_model_brings_its_own(tmp_path: Path) -> None:
    folder, theirs = (text_folders.save_sd(tmp_path / name, seed) for name, seed in (("base", 0), ("theirs", 1)))
    experiment = experiment_of(tmp_path, folder)
    store = Store(experiment.store)
    for name in (*parts_of(experiment), "base model"):
        products_of(experiment)[name].make()
    key = parts_of(experiment)[PROMPTS].key()
    table = store.get(key).tensors()
    store.delete(key)
    make_again(spec_on(experiment), key)
    assert all((value == table[name]).all() for name, value in store.get(key).tensors().items())
    imported = make_imported(experiment, _taken(theirs, tmp_path / "prompts"))
    table_key = imported.key_read_with(PROMPTS)
    assert table_key != key and store.find(table_key) is not None, "its text encoder is another"
    assert imported.key_read_with(VAE) == vae_key(experiment), "its VAE is the base model's"
    expected = imported_encoders(_taken(theirs, tmp_path / "prompts"))[1][0].state_dict()
    attacked = encoders_of(experiment, imported).encoders[0].state_dict()
    assert all(torch.equal(attacked[name], value) for name, value in expected.items()), (
        "and whoever attacks it has them"
    )
    assert not all(torch.equal(v, expected[n]) for n, v in encoders_of(experiment).encoders[0].state_dict().items())
    store.delete(imported.key_read_with(ENCODER))
    assert make_imported(experiment, _taken(theirs, tmp_path / "prompts")).key == imported.key
    assert store.find(imported.key_read_with(ENCODER)) is not None

    other = text_folders.save_sd(tmp_path / "other", 1)
    shutil.rmtree(other / "tokenizer")
    text_folders.tokenizer("!").save_pretrained(other / "tokenizer")
    with pytest.raises(ValueError, match="its tokenizers are not the base model's"):
        encoders_of(experiment, make_imported(experiment, _taken(other, tmp_path / "prompts")))


def test_text_encoders_that_were_changed_since_the_pipeline_was_taken_are_refused(tmp_path: Path) -> None:
    folder = text_folders.save_sd(tmp_path / "base")
    experiment = experiment_of(tmp_path, folder)
    assert len(encoders_of(experiment).encoders) == 1
    text_folders.text_encoder(seed=1).save_pretrained(folder / "text_encoder")
    with pytest.raises(
        ValueError, match=r"base: its text encoders have changed since it was taken; put the pipeline back$"
    ):
        encoders_of(experiment)


def test_a_pipeline_is_read_where_it_is_imported_and_nowhere_else(tmp_path: Path) -> None:
    """Once it is taken into the store, every other product is made without its folder, as a task on another machine is."""
    folder = text_folders.save_sd(tmp_path / "pipeline")
    experiment = experiment_of(tmp_path, folder)
    _import_pretrained(experiment)
    shutil.rmtree(folder)
    graph, store = products_of(experiment), Store(experiment.store)
    assert all(store.whole(graph[name].key()) for name in (VAE, PROMPTS, "base model"))
    graph[LATENTS].make()
    on_gpu = replace(experiment, device_name="cuda")
    assert parts_of(on_gpu)[PROMPTS].key() == parts_of(experiment)[PROMPTS].key(), (
        "they are encoded on the CPU anywhere"
    )
