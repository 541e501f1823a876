"""The data set's classifier: a sample shows what was forgotten where it is given any condition, or label, that is it."""

from __future__ import annotations

import torch

from trainables.judges import Evidence, register


@register("classifier")
def classifier(evidence: Evidence) -> torch.Tensor:
    """By the condition or label each sample is given, however sure the classifier is."""
    return evidence.asks(evidence.predicted)
