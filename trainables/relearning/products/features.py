"""The experiment's feature network on a workbench, and what lies near in its space."""

from __future__ import annotations

import sys

from trainables.features import FEATURE_NETWORKS, FeatureNetwork, FeatureSource, conditions_by_distance
from trainables.relearning.experiment import Experiment
from trainables.relearning.products.classifier import classifier_key, classifier_of
from trainables.relearning.products.images import forget_set_of, retain_set_of
from trainables.relearning.workbench import Workbench, kept


def feature_weights(experiment: Experiment) -> str:
    """What determines the feature network: the classifier's artifact key, or the hash of the weights file."""
    if experiment.features == "classifier":
        return classifier_key(experiment)
    module = sys.modules[feature_module(experiment)]
    return experiment.weights_sha256 or getattr(module, "PINNED_SHA256", "")


def feature_module(experiment: Experiment) -> str:
    """The module that is the feature network's code."""
    return FEATURE_NETWORKS[experiment.features].__module__


@kept
def features_of(bench: Workbench) -> FeatureNetwork:
    """The experiment's feature network, loaded."""
    experiment = bench.experiment
    classifier_hash = bench.store.get(classifier_key(experiment)).sha256 or ""
    source = FeatureSource(
        classifier_of(bench),
        classifier_hash,
        experiment.weights_file,
        experiment.weights_sha256,
        experiment.device_name,
    )
    return FEATURE_NETWORKS[experiment.features](source)


@kept
def conditions_by_distance_of(bench: Workbench) -> list[int]:
    """Retained conditions, nearest to the forgotten one first, by their means in the experiment's feature network."""
    return conditions_by_distance(features_of(bench).extract, forget_set_of(bench), retain_set_of(bench))
