"""The reference statistics of the Fréchet distance: what the retained training images look like in feature space."""

from __future__ import annotations

import numpy as np

from trainables.features import features_of_set
from trainables.metrics import Reference
from trainables.metrics.frechet import statistics
from trainables.relearning.experiment import Experiment
from trainables.relearning.products.features import feature_module, feature_weights, features_of
from trainables.relearning.products.images import retain_set_of
from trainables.relearning.workbench import Workbench, kept
from trainables.store import Artifact, artifact_key, code_version

REFERENCE_FEATURES = 5000  # kept for nearest-neighbour distances


def reference_key(experiment: Experiment) -> str:
    config = {
        "data": experiment.data_identity,
        "forget": experiment.forget,
        "features": experiment.features,
        "kept": REFERENCE_FEATURES,
        "device": experiment.device.processor,
    }
    code = code_version(__name__, feature_module(experiment), experiment.dataset.module)
    return artifact_key("reference", config, {"weights": feature_weights(experiment)}, code)


def make_reference(experiment: Experiment) -> Artifact:
    """Statistics of the retained training images' features, and the features themselves in a fixed random order."""
    bench, key = Workbench(experiment), reference_key(experiment)
    if artifact := bench.store.whole(key):
        return artifact
    retain, network = retain_set_of(bench), features_of(bench)
    features = features_of_set(network.extract, retain)
    mean, covariance = statistics(features)
    facts = {"images": len(retain), "features": network.name, "weights_hash": network.weights_hash}
    order = np.random.default_rng(0).permutation(len(features))  # a data set may come sorted by class
    chosen = features[order[:REFERENCE_FEATURES]].astype(np.float32)
    tensors = {"mean": mean, "covariance": covariance, "features": chosen}
    return bench.store.put(key, "reference", facts, tensors)


@kept
def reference_of(bench: Workbench) -> Reference:
    """The statistics; ValueError where they are of other weights of the feature network than those at hand."""
    artifact, network = bench.store.get(reference_key(bench.experiment)), features_of(bench)
    if artifact.facts["weights_hash"] != network.weights_hash:
        raise ValueError(
            f"feature network {network.name!r}: its weights are other than those by which the scores in {bench.store.name} were "
            "made, and no key knows them; take another artifact store, and for weights of your own give "
            f"PINNED_SHA256 = '{network.weights_hash}' in the network's file"
        )
    return Reference(**artifact.tensors())
