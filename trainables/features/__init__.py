"""Feature networks of the Fréchet distance: one file each.

A feature network maps images (N, C, H, W) float32 in [-1, 1] to float64 features (N, d), and knows the hash of its
weights, without which two distances cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from trainables.data import Images
from trainables.judges._classifier import Classifier
from trainables.registry import Registry


@dataclass(frozen=True)
class FeatureNetwork:
    """`extract` maps images (N, C, H, W) in [-1, 1] to features (N, d) float64; `weights_hash` is a SHA-256."""

    name: str
    weights_hash: str
    extract: Callable[[torch.Tensor], np.ndarray]


@dataclass(frozen=True)
class FeatureSource:
    """What a feature network can be loaded from: the data set's classifier, and a local weights file with its hash."""

    classifier: Classifier
    classifier_hash: str
    weights_file: str = ""
    weights_sha256: str = ""
    device: str = "cpu"


FEATURE_NETWORKS: Registry[Callable[[FeatureSource], FeatureNetwork]] = Registry("feature network", __name__)


def register(name: str) -> Callable:
    """Register a function ``(FeatureSource) -> FeatureNetwork``."""
    return FEATURE_NETWORKS.decorator(name, lambda load: load)


def features_of_set(extract: Callable[[torch.Tensor], np.ndarray], images: Images) -> np.ndarray:
    """(N, d) features of a set, of which no more than a part is floats at a time."""
    return np.concatenate([extract(part.cpu()) for part in images.parts()])


def conditions_by_distance(
    extract: Callable[[torch.Tensor], np.ndarray], forget: Images, retain: Images, shown: Sequence[int] = ()
) -> list[int]:
    """Retained conditions, nearest first, by the distance of their mean feature to the forget set's.

    `shown` says of conditions that are prompts which label of the forgotten facet each asks for: the mean is then over all
    images of a label, and its prompts come in their own order.
    """
    centre = features_of_set(extract, forget).mean(axis=0)
    features, conditions = features_of_set(extract, retain), retain.conditions.cpu().numpy()
    labels = np.asarray(shown)[conditions] if shown else conditions
    distance = {int(c): float(np.linalg.norm(features[labels == c].mean(axis=0) - centre)) for c in np.unique(labels)}
    label_of = shown or range(int(conditions.max()) + 1)
    return sorted(map(int, np.unique(conditions)), key=lambda condition: distance[label_of[condition]])
