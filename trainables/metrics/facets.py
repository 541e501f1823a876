"""Of prompts: do samples stay as prompted in what was not to be forgotten of them, and does the judge see it where it is not?

UnlearnCanvas (arXiv 2402.11846) calls the first CRA, cross-domain retain accuracy: of a model that forgot a style, whether the
objects are right, and the other way round.
"""

from __future__ import annotations

from trainables.data import NOTHING
from trainables.metrics import Evaluation, Figure, Figures, register

FIGURES = (
    Figure(
        "cross_facet_accuracy",
        description="share of all samples that are as prompted in the facets that were not forgotten (UnlearnCanvas: CRA); "
        "null for conditions that are no prompts",
        unit="share",
        direction="maximise",
        over="all",
    ),
    Figure(
        "anchors_as_forgotten",
        description="share of samples prompted for what stands for the forgotten that show the forgotten all the same: of the "
        "base model, the judge's false positives; null for conditions that are no prompts",
        unit="share",
        direction="minimise",
        over="anchors",
    ),
)


@register("facets", FIGURES)
def facets(samples: Evaluation) -> Figures:
    """`cross_facet_accuracy` over all facets but the forgotten one, and `anchors_as_forgotten`.

    The former where all prompts were sampled, forgotten and retained: of some, it would be of another share of them.
    """
    figures: Figures = {}
    everything = samples.of_forgotten.any() and samples.of_retained.any()
    if everything and samples.other_asked is not None and samples.other_predicted is not None:
        asks = samples.other_asked != NOTHING
        if asks.any():
            right = (samples.other_predicted == samples.other_asked)[asks]
            figures["cross_facet_accuracy"] = float(right.float().mean())
    if samples.of_anchor is not None and samples.of_anchor.any():
        figures["anchors_as_forgotten"] = float(samples.shows[samples.of_anchor].float().mean())
    return figures
