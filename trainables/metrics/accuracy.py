"""Does the model still make what was forgotten, and does it make what it should keep? Judged by the classifier."""

from __future__ import annotations

from trainables.metrics import Evaluation, Figures, register


@register("accuracy")
def accuracy(samples: Evaluation) -> Figures:
    """`relearning_accuracy`: share of forgotten-condition samples classified as it; `unlearning_accuracy` = 1 - that.

    `retain_accuracy`: share of the others classified as prompted.
    """
    right = (samples.predicted == samples.conditions).float()
    figures: Figures = {}
    if samples.of_forgotten.any():
        relearned = float(right[samples.of_forgotten].mean())
        figures |= {"relearning_accuracy": relearned, "unlearning_accuracy": 1 - relearned}
    if (~samples.of_forgotten).any():
        figures["retain_accuracy"] = float(right[~samples.of_forgotten].mean())
    return figures
