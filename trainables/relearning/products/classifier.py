"""The classifier, trained on the data set that tells its images apart: the judge, unless another is asked for."""

from __future__ import annotations

import time
from dataclasses import asdict

from trainables.judges._classifier import Classifier, accuracy, facet_accuracy, load_classifier, train_classifier
from trainables.relearning.experiment import Experiment
from trainables.relearning.workbench import Workbench, kept
from trainables.store import Artifact, Store, artifact_key, code_version, machine


def classifier_key(experiment: Experiment) -> str:
    judge = experiment.dataset.judge
    data = experiment.data_identity | {"name": judge.name}
    config = {"data": data, "recipe": asdict(experiment.classifier), "seed": experiment.base_seed}
    return artifact_key("classifier", config, {}, code_version(__name__, judge.module))


def make_classifier(experiment: Experiment) -> Artifact:
    """The classifier, with its accuracy on the held-out test split, of prompts that of each facet too."""
    store, key = Store(experiment.store), classifier_key(experiment)
    if artifact := store.whole(key):
        return artifact
    judged, start = experiment.dataset.judge, time.process_time()
    splits = judged.load(experiment.data_fingerprint)
    if not len(splits.train):
        raise ValueError(f"data set {judged.name!r}: there is no image that a classifier could be trained on")
    model = train_classifier(judged, splits.train, experiment.classifier, experiment.base_seed)
    facts = {
        "recipe": asdict(experiment.classifier),
        "held_out_accuracy": accuracy(model, splits.test),
        "held_out_images": len(splits.test),
        "core_s": time.process_time() - start,
        "machine": machine(),
    }
    if judged.facets:
        facts["facet_accuracy"] = facet_accuracy(model, splits.test)
    weights = {k: v.detach().numpy() for k, v in model.state_dict().items()}
    return store.put(key, "classifier", facts, weights)


@kept
def classifier_of(bench: Workbench) -> Classifier:
    experiment = bench.experiment
    return load_classifier(bench.store.get(classifier_key(experiment)), experiment.dataset.judge)
