"""Membership by shadow models: is an image's loss what models say that saw it, or models that did not?

LiRA (Carlini et al. 2022, arXiv 2112.03570): with many shadow models, the log likelihood ratio of an image's loss under
two normal distributions, of the losses of the shadow models trained with it and of those trained without,

    Λ(x) = log N(ℓ(x); μ_in(x), σ_in²) - log N(ℓ(x); μ_out(x), σ_out²),

their means per image and their variances pooled over images. Two means per image need many models: with fewer than
`LIKELIHOOD_MODELS`, the difficulty-calibrated loss (Watson et al. 2022, arXiv 2111.08440), μ_out(x) - ℓ(x). ℓ is the
logarithm of the denoising loss: losses are positive and spread in proportion to their size, and one variance for all
images supposes that they do not. (LiRA's own statistic, the logit of a class probability, has no counterpart here.)
"""

from __future__ import annotations

import numpy as np

from trainables.audits import Audited, Shadows, auc, register
from trainables.metrics import Figure, Figures

FIGURES = (
    Figure(
        "shadow_auc",
        description="audit: membership_auc with the loss calibrated by shadow models; null without them; "
        ".5 betrays nothing",
        unit="share",
        over="audited",
    ),
)
LIKELIHOOD_MODELS = 8


@register("shadow", FIGURES)
def shadow(audited: Audited) -> Figures:
    """`shadow_auc`: how well the calibrated loss tells members from strangers. Without shadow models, no figure.

    Nothing is known of how hard an image is that every shadow model was trained on, nor, for the likelihood ratio, of what
    knowing it is like where none was: such images are left out, and the figure too where no member or no stranger is left.
    """
    if audited.shadows is None:
        return {}
    losses, trained_on = per_image(audited.shadows, audited)
    score = likelihood_ratio if len(losses) >= LIKELIHOOD_MODELS else calibrated
    scores = score(np.log(np.concatenate(audited.losses)), np.log(losses), trained_on)
    n = len(audited.losses[0])
    members, strangers = (part[np.isfinite(part)] for part in (scores[:n], scores[n:]))
    if not len(members) or not len(strangers):
        return {}
    return {"shadow_auc": auc(members, strangers)}


def per_image(shadows: Shadows, audited: Audited) -> tuple[np.ndarray, np.ndarray]:
    """(S, n) losses and (S, n) bool of the distinct images: one that any copy was trained on was trained on."""
    n = len(audited.members)
    copy_of, distinct = (
        np.concatenate([members, strangers + n]) for members, strangers in (audited.copy_of, audited.distinct)
    )
    if shadows.losses.shape[1] != len(copy_of):
        raise ValueError(
            f"the shadow models were asked about {shadows.losses.shape[1]} images, not these {len(copy_of)}"
        )
    seen = [shadows.trained_on[:, copy_of == image].any(axis=1) for image in distinct]
    return shadows.losses[:, distinct], np.stack(seen, axis=1)


def calibrated(loss: np.ndarray, losses: np.ndarray, trained_on: np.ndarray) -> np.ndarray:
    """(n,) μ_out - ℓ; nan where every model was trained on the image."""
    return _moments(losses, ~trained_on)[0] - loss


def likelihood_ratio(loss: np.ndarray, losses: np.ndarray, trained_on: np.ndarray) -> np.ndarray:
    """(n,) Λ; nan where every model or none was trained on the image."""
    (mean_in, variance_in), (mean_out, variance_out) = (_moments(losses, those) for those in (trained_on, ~trained_on))
    constant = (np.log(variance_out) - np.log(variance_in)) / 2
    return constant + (loss - mean_out) ** 2 / (2 * variance_out) - (loss - mean_in) ** 2 / (2 * variance_in)


def _moments(losses: np.ndarray, those: np.ndarray) -> tuple[np.ndarray, float]:
    """(n,) each image's mean over `those` of the models (nan: over none), and the variance about it, pooled over images."""
    counts = those.sum(axis=0)
    mean = np.where(counts > 0, np.where(those, losses, 0).sum(axis=0) / np.maximum(counts, 1), np.nan)
    squares = np.where(those, (losses - mean) ** 2, 0).sum()
    return mean, float(squares / max((counts - 1).clip(min=0).sum(), 1))
