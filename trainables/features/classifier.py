"""The data set's own classifier as feature network: the embedded default, for images Inception was never made for."""

from __future__ import annotations

import numpy as np
import torch

from trainables.features import FeatureNetwork, FeatureSource, register


@register("classifier")
def classifier(source: FeatureSource) -> FeatureNetwork:
    def extract(images: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            parts = [source.classifier.features(part) for part in images.split(1024)]
        return torch.cat(parts).double().numpy()

    return FeatureNetwork("classifier", source.classifier_hash, extract)
