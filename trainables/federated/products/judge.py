"""Of images, a classifier of public rows: it labels synthetic ones, and its features are what Fréchet distances are taken in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import torch

from trainables.data import Dataset, Images
from trainables.denoisers.recipes import classifier_recipe
from trainables.federated.experiment import Experiment
from trainables.federated.products.rows import rows_key, rows_of
from trainables.federated.sources import Split
from trainables.federated.workbench import Bench
from trainables.judges._classifier import Classifier, accuracy, load_classifier, train_classifier, verdicts
from trainables.store import Artifact, Store, artifact_key, code_version, machine

COLUMNS = "columns"  # the features of a table: its scaled columns themselves
CLASSIFIER = "classifier of public rows"
AT_ONCE = 1024


def judge_key(experiment: Experiment) -> str:
    config = {"recipe": asdict(classifier_recipe(_dataset(experiment))), "seed": experiment.base_seed}
    return artifact_key(
        "judge", config, {"rows": rows_key(experiment)}, code_version(__name__, experiment.source.module)
    )


def make_judge(experiment: Experiment) -> Artifact:
    """The classifier, with its accuracy on test rows."""
    store, key = Store(experiment.store), judge_key(experiment)
    if artifact := store.whole(key):
        return artifact
    began, data, splits = time.process_time(), _dataset(experiment), rows_of(Bench(store), experiment)
    model = train_classifier(data, _images(data, splits["public"]), classifier_recipe(data), experiment.base_seed)
    facts = {
        "recipe": asdict(classifier_recipe(data)),
        "accuracy": accuracy(model, _images(data, splits["test"])),
        "test_rows": len(splits["test"]),
        "core_s": time.process_time() - began,
        "machine": machine(),
    }
    return store.put(key, "judge", facts, {name: value.detach() for name, value in model.state_dict().items()})


def judge_of(bench: Bench, experiment: Experiment) -> Classifier:
    """The classifier, loaded once a process."""
    key = judge_key(experiment)

    def read() -> Classifier:
        return load_classifier(bench.store.get(key), _dataset(experiment))

    return bench.keep(key, read, judge_of)


def feature_name(experiment: Experiment) -> str:
    """What Fréchet distances are taken in."""
    return CLASSIFIER if experiment.source.shape else COLUMNS


def feature_inputs(experiment: Experiment) -> dict[str, str]:
    """Keys of what the features depend on beside the code."""
    return {"judge": judge_key(experiment)} if experiment.source.shape else {}


def features_of(bench: Bench, experiment: Experiment) -> Callable[[torch.Tensor], np.ndarray]:
    """Rows (n, d) → features (n, f), float64."""
    shape = experiment.source.shape
    if shape is None:
        return lambda rows: rows.double().cpu().numpy()
    model, of_image = judge_of(bench, experiment), shape

    def extract(rows: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            parts = [model.features(part.unflatten(1, of_image)) for part in rows.split(AT_ONCE)]
        return torch.cat(parts).double().numpy()

    return extract


def labels_of(bench: Bench, experiment: Experiment, rows: torch.Tensor) -> torch.Tensor:
    """The class (n,) that the judge gives each of images (n, d)."""
    data = _dataset(experiment)
    return verdicts(judge_of(bench, experiment), rows.unflatten(1, data.shape)).labels[:, 0]


def _dataset(experiment: Experiment) -> Dataset:
    data = experiment.source.dataset
    if data is None:
        raise ValueError(f"{experiment.data}: is a table, and the judge is of images")
    return data


def _images(data: Dataset, split: Split) -> Images:
    return Images(split.rows.unflatten(1, data.shape), split.labels)
