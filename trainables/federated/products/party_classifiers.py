"""Of images, a classifier of each party's part, trained on public rows: do they name the same class of a synthetic one?"""

from __future__ import annotations

import time

import torch

from trainables.federated.experiment import Experiment
from trainables.federated.figures.agreement import PartyClassifiers, accuracies, load_classifiers, train_classifiers
from trainables.federated.products.rows import rows_key, rows_of
from trainables.federated.workbench import Bench
from trainables.store import Artifact, Store, artifact_key, code_version


def party_classifiers_key(experiment: Experiment) -> str:
    config = {"parties": experiment.parties_identity, "seed": experiment.base_seed}
    return artifact_key("party classifiers", config, {"rows": rows_key(experiment)}, code_version(__name__))


def make_party_classifiers(experiment: Experiment) -> Artifact:
    """The classifiers, with their accuracies on test rows."""
    store, key = Store(experiment.store), party_classifiers_key(experiment)
    if artifact := store.whole(key):
        return artifact
    began, source, splits = time.process_time(), experiment.source, rows_of(Bench(store), experiment)
    public, test = splits["public"], splits["test"]
    model = train_classifiers(source.parties, public.rows, public.labels, source.classes, experiment.base_seed)
    right = accuracies(model, test.rows, test.labels)
    facts = {"accuracies": list(right), "core_s": time.process_time() - began}
    return store.put(
        key, "party classifiers", facts, {name: value.detach() for name, value in model.state_dict().items()}
    )


def party_classifiers_of(bench: Bench, experiment: Experiment) -> PartyClassifiers:
    """The classifiers, loaded once a process."""
    key, source = party_classifiers_key(experiment), experiment.source

    def read() -> PartyClassifiers:
        tensors = {name: torch.from_numpy(array.copy()) for name, array in bench.store.get(key).tensors().items()}
        return load_classifiers(source.parties, source.classes, tensors)

    return bench.keep(key, read, party_classifiers_of)
