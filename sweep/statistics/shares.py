"""The interval of a mean over seeds of shares of samples, by these seeds alone: a control's, or of two tracks; see `moderated`.

**Which interval.** A share of n samples varies with the seed, and with the samples. `seed_interval`
is Student's t over the seeds' shares, which both kinds of noise have moved, but never narrower than Wilson's over all
samples: three seeds without one hit are no proof of zero. Coverage of nominal 95 % intervals over 2,000 simulations, seeds'
shares Beta(mean, SD), n samples a seed (`tests/sweep/statistics/test_shares.py` simulates them):

    mean  SD     n  |   3 seeds  |   5 seeds  |  10 seeds
                    |    t   t+W |    t   t+W |    t   t+W
    .5    .1    128 |  .94   .95 |  .95   .95 |  .94   .94
    .1    .08   128 |  .91   .91 |  .91   .91 |  .90   .90
    .02   .02   192 |  .88   .89 |  .88   .89 |  .90   .90
    .005  .005  192 |  .83  1.00 |  .87   .96 |  .90   .94
    .5    0     128 |  .95   .98 |  .96   .99 |  .96   .98
    Wilson alone, 3 seeds: .56, .45, .67, .92, .95

So it is t with Wilson's floor (t+W) at any number of seeds. With fewer than two there is no interval.

**Of a paired difference.** `share_difference` is t over the differences seed by seed, which holds what pairing takes out and
what it leaves, with the least that its samples leave open as a floor. Two models' hits on one noise differ by -1, 0 or 1,
so however closely they are paired, their difference varies at least as much as a share of its size does: Wilson's interval
of |difference| is that floor, to both sides. (The difference of a mean of shares may vary less: there it errs on the safe
side.) The sum of both binomial variances would be none, for it holds of models that are not paired.
Coverage at 3 seeds, 20,000 simulations, seeds' shares normal with SD .28 on the logit scale; `paired` is the part of
samples on which the same draw decides for both models, `sum` the floor of both variances (Newcombe 1998, φ = 0), and the
widths are in those of t:

    shares     n  paired |    t   t+W   sum | width t+W   sum
    .90 .90  100     0   |  .95   .96   .99 |      1.00  1.03
    .90 .90  100    .9   |  .97   .99  1.00 |      1.01  1.16
    .99 .95  100    .9   |  .93   .99   .99 |      1.04  1.05
    .99 .99  100    .9   | 1.00  1.00  1.00 |      1.46  1.84

t alone errs little here, but where all seeds differ by the same it claims to know the difference exactly.

A share that is not one of independent samples (an AUC, a recall) has 0 `samples`: t alone, within [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from sweep.statistics.estimates import Estimate, paired_difference


@dataclass(frozen=True)
class Point:
    """One seed's share and the number of independent samples it is of; 0 where it is of none."""

    value: float
    samples: int


def share_estimate(points: Sequence[Point]) -> Estimate | None:
    """Mean of one share a seed with its 95 % interval over seeds and samples; None for no seed, no ends for one."""
    if not points:
        return None
    values, samples = np.array([p.value for p in points]), np.array([p.samples for p in points])
    if len(points) < 2:
        return Estimate(float(values[0]), None, None, 1)
    lower, upper = seed_interval(values, samples)
    return Estimate(float(values.mean()), float(lower), float(upper), len(points)).as_share()


def share_difference(a: Mapping[int, Point], b: Mapping[int, Point]) -> Estimate | None:
    """Mean of a - b over the seeds both have, with its 95 % interval over seeds and samples; None where they share no seed."""
    difference = paired_difference({s: p.value for s, p in a.items()}, {s: p.value for s, p in b.items()})
    if difference is None or difference.lower is None or difference.upper is None:
        return difference
    samples = sum(min(a[seed].samples, b[seed].samples) for seed in a.keys() & b.keys())
    if not samples:
        return difference
    size = abs(difference.mean)
    lower, upper = (float(end) for end in wilson(np.array(size), np.array(samples)))
    half = max(upper - size, size - lower)
    return Estimate(
        difference.mean,
        max(min(difference.lower, difference.mean - half), -1.0),
        min(max(difference.upper, difference.mean + half), 1.0),
        difference.n,
    )


def seed_interval(values: np.ndarray, samples: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Ends (…) of Student's t interval over shares (…, S) of `samples` (…, S), and at least Wilson's over all samples."""
    n = values.shape[-1]
    mean = values.mean(axis=-1)
    half = stdtrit(n - 1, 0.5 + confidence / 2) * values.std(axis=-1, ddof=1) / math.sqrt(n)
    total = samples.sum(axis=-1)
    share = (values * samples).sum(axis=-1) / np.maximum(total, 1)
    lower, upper = wilson(share, total, float(ndtri(0.5 + confidence / 2)))
    return np.fmin(mean - half, lower), np.fmax(mean + half, upper)


def wilson(share: np.ndarray, samples: np.ndarray, z: float = 1.959964) -> tuple[np.ndarray, np.ndarray]:
    """Ends (…) of Wilson's score interval (1927) of shares (…) of `samples` (…); NaN for no samples.

    `trainables.metrics.wilson` is the same of one share, which trials decide by: no reader of a run imports trials' code.
    """
    counted = np.where(samples > 0, samples, np.nan)
    centre = share + z * z / (2 * counted)
    half = z * np.sqrt(share * (1 - share) / counted + z * z / (4 * counted * counted))
    scale = 1 + z * z / counted
    return np.maximum(0.0, (centre - half) / scale), np.minimum(1.0, (centre + half) / scale)


def ratio_estimate(a: np.ndarray, b: np.ndarray, confidence: float = 0.95) -> Estimate:
    """mean(a) / mean(b) of pairs (S,), with Fieller's interval (1954): every ρ at which a - ρb may have mean 0 by t's test.

    No ends for fewer than two pairs, or where mean(b) may itself be 0 and any ρ is possible.
    """
    n, centre = len(a), float(a.mean() / b.mean())
    if n < 2:
        return Estimate(centre, None, None, n)
    shrink = stdtrit(n - 1, 0.5 + confidence / 2) ** 2 / n
    (aa, ab), (_, bb) = np.cov(a, b)
    square, linear, constant = (
        b.mean() ** 2 - shrink * bb,
        a.mean() * b.mean() - shrink * ab,
        a.mean() ** 2 - shrink * aa,
    )
    if square <= 0:
        return Estimate(centre, None, None, n)
    half = math.sqrt(max(linear**2 - square * constant, 0.0))
    return Estimate(centre, float((linear - half) / square), float((linear + half) / square), n)
