"""The gate between scoring and attacking: stop what is surely infeasible, for the attack is most of a trial's cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy.stats import norm, t

from trainables.metrics import wilson
from trainables.relearning.experiment import Limit, Samples

GLANCE = 0.99  # the first of two looks is the stricter, so that both together err in about one trial of twenty


def excluded(
    figures: Mapping[str, float],
    limits: Sequence[Limit],
    samples: Samples,
    retained: int,
    fid_delta_sd: float,
    fid_delta_seeds: int = 5,
    confidence: float = 0.95,
) -> str | None:
    """Why a trial cannot be feasible: the first limit whose one-sided bound lies on the wrong side, by more than its slack;
    None to go on.

    Accuracies are bounded by Wilson's interval over their samples, which `retain_accuracy` has of so many `retained` conditions;
    `fid_delta` by Student's t with its standard deviation over `fid_delta_seeds` sampling seeds, which was measured on the
    retrain control and taken to hold for θᵤ. A figure whose noise is not known never stops a trial.
    """
    counts = {"unlearning_accuracy": samples.forgotten, "retain_accuracy": samples.per_retained * retained}
    for limit in limits:
        value = figures.get(limit.metric)
        if value is None:
            continue  # known only after the attack
        if limit.metric in counts:
            lower, upper = wilson(value, counts[limit.metric], float(norm.ppf(confidence)))
        elif limit.metric == "fid_delta":
            half = t.ppf(confidence, fid_delta_seeds - 1) * fid_delta_sd
            lower, upper = value - half, value + half
        else:
            continue
        if lower > limit.bound + limit.slack if limit.at_most else upper < limit.bound - limit.slack:
            best, side = (lower, "≤") if limit.at_most else (upper, "≥")
            near = f", nor within {limit.slack:.3f} of it" if limit.slack else ""
            measured = f"{limit.metric} {value:.3f} ({confidence:.0%} bound {best:.3f})"
            return f"{measured} cannot be {side} {limit.bound:.3f}{near}"
    return None
