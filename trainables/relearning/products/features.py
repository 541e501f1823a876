"""The experiment's feature network on a workbench, and what lies near in its space."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import torch

from trainables.features import FEATURE_NETWORKS, FeatureNetwork, FeatureSource, conditions_by_distance
from trainables.members import MemberFault, fault_of, file_of
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
    what, module = f"feature network {experiment.features!r}", feature_module(experiment)
    with fault_of(what, module):
        network = FEATURE_NETWORKS[experiment.features](source)
    if not isinstance(network, FeatureNetwork):
        raise MemberFault(f"{what} gives a {type(network).__name__}; return a FeatureNetwork ({file_of(module)})")

    def extract(images: torch.Tensor) -> np.ndarray:
        with fault_of(what, module):
            features = network.extract(images)
        if np.ndim(features) != 2 or len(features) != len(images):
            raise MemberFault(
                f"{what} gives {np.shape(features)} of {len(images)} images; ({len(images)}, d) is asked for ({file_of(module)})"
            )
        return features

    return replace(network, extract=extract)


@kept
def conditions_by_distance_of(bench: Workbench) -> list[int]:
    """Retained conditions, nearest to the forgotten one first, by their means in the experiment's feature network."""
    sets, shown = (forget_set_of(bench), retain_set_of(bench)), bench.experiment.forgetting.shown
    return conditions_by_distance(features_of(bench).extract, *sets, shown)
