"""Does the model still make what was forgotten, and does it make what it should keep? Judged by what fits.

A class is judged by the classifier, an attribute by the attribute classifier, a prompt by what the judge says of the forgotten
facet, instances by copy detection. UnlearnCanvas (arXiv 2402.11846) calls the first two UA and IRA.
"""

from __future__ import annotations

from trainables.data import NOTHING
from trainables.metrics import Evaluation, Figure, Figures, register

FIGURES = (
    Figure(
        "unlearning_accuracy",
        description="1 - share of forgotten-condition samples classified as it (UnlearnCanvas: UA)",
        unit="share",
        direction="maximise",
        samples="forgotten",
    ),
    Figure(
        "retain_accuracy",
        description="share of retained-condition samples classified as prompted (UnlearnCanvas: IRA)",
        unit="share",
        direction="maximise",
        over="retained, labelled",
        samples="retained",
    ),
    Figure(
        "relearning_accuracy",
        description="share of forgotten-condition samples classified as it",
        unit="share",
        direction="minimise",
        samples="forgotten",
    ),
)


@register("accuracy", FIGURES)
def accuracy(samples: Evaluation) -> Figures:
    """`relearning_accuracy`: share of the samples asked for what was forgotten that show it; `unlearning_accuracy` = 1 - that.

    A sample shows it where its verdict is any forgotten condition, so that two forgotten classes that trade places are
    still found. `retain_accuracy`: share of the others given the condition they were prompted with; of prompts, the label of
    the forgotten facet that they ask for, of those that ask for one.
    """
    figures: Figures = {}
    if samples.of_forgotten.any():
        relearned = float(samples.shows[samples.of_forgotten].float().mean())
        figures |= {"relearning_accuracy": relearned, "unlearning_accuracy": 1 - relearned}
    labelled = samples.of_retained & (samples.asked != NOTHING)
    if samples.prompted and labelled.any():
        right = (samples.predicted == samples.asked).float()
        figures["retain_accuracy"] = float(right[labelled].mean())
    return figures
