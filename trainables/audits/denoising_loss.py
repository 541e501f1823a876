"""Membership by the denoising loss: what a model was trained on it denoises better (Matsumoto et al. 2023, arXiv 2302.03262).

The score of an image x is -ℓ(x), ℓ(x) = E_{t, ε} ‖ε - ε_θ(x_t, t, c)‖², a mean over elements and over fixed t and ε; of a
model that predicts the velocity v, E ‖v - v_θ(x_t, t, c)‖².
"""

from __future__ import annotations

import numpy as np

from trainables.audits import Audited, auc, register
from trainables.metrics import Figure, Figures

FIGURES = (
    Figure(
        "membership_auc",
        description="audit: how well its loss tells the forget set from held-out images of the same kind; .5 betrays nothing",
        unit="share",
        over="audited",
    ),
    Figure(
        "membership_tpr",
        description="audit: share of the forget set found where 5 % of the held-out images are mistaken for it; "
        ".05 betrays nothing",
        unit="share",
        over="audited",
    ),
    Figure(
        "denoising_gap",
        description="audit: mean denoising loss of held-out images of the same kind - that of the forget set; "
        "0 betrays nothing",
        unit="squared error an element",
        over="audited",
    ),
)
FALSE_POSITIVES = 0.05


@register("denoising_loss", FIGURES)
def denoising_loss(audited: Audited) -> Figures:
    """`membership_auc`: how well the loss tells the forget set from strangers; .5: not at all, 1 or 0: a perfect betrayal.

    Below .5 the forget set is denoised worse than its like, as by a method that pushes its loss up: that betrays it as well.

    `membership_tpr`: share of the members found where at most 5 % of the strangers are taken for members. `denoising_gap`:
    mean loss of the strangers minus mean loss of the members, in the loss's own units; > 0 betrays. Of few members (three
    forgotten instances) all three are coarse, and say as much of how plain these images are: compare with the control θ*.
    """
    members, strangers = audited.losses
    return {
        "membership_auc": auc(-members, -strangers),
        "membership_tpr": true_positive_rate(-members, -strangers, FALSE_POSITIVES),
        "denoising_gap": float(strangers.mean() - members.mean()),
    }


def true_positive_rate(members: np.ndarray, strangers: np.ndarray, false_positives: float) -> float:
    """Share of the members that score above all but the best `false_positives` share of the strangers, rounded down."""
    allowed = int(false_positives * len(strangers))
    threshold = np.sort(strangers)[::-1][allowed]
    return float((members > threshold).mean())
