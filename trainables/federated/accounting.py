"""How much privacy noise buys: ε of Gaussian mechanisms on Poisson batches, by Opacus' accountants, and the noise for a wanted ε.

Neighbouring tables differ in one row that is added or removed: all parties' parts of one person. Each step releases, of every
one of G groups of parameters, a sum of gradients clipped to C with noise of σ C. One row moves each group by C at most, all
together by √G C, so the step is one Gaussian mechanism of noise multiplier σ / √G: one budget for all parties together.
"""

from __future__ import annotations

import importlib.metadata
import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MOST_ERROR = 0.05  # that PRV adds to ε for its own rounding …
ERROR_SHARE = 1 / 20  # … or this share of ε, where that is less
MOST_POINTS = 2**23  # of PRV's grid, beyond which it would take many seconds
TOLERANCE = 0.01  # the noise for a wanted ε gives at least so much less than it, relatively
MOST_NOISE = 1e5
# Of Rényi's divergence. Opacus' own end at 63, where an ε far below 1 wants more.
ORDERS = (1.05, *(1 + tenths / 10 for tenths in range(1, 40)), *range(5, 65), 80, 96, 128, 192, 256, 384, 512)


@dataclass(frozen=True)
class Releases:
    """What is released of the private rows: `steps` times the noised gradients of so many `groups`, on Poisson batches.

    `sampling_rate` is the probability that a row is in a step's batch. ValueError for values that no training has.
    """

    sampling_rate: float
    steps: int
    groups: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.sampling_rate < 1:
            raise ValueError(
                f"sampling rate {self.sampling_rate:g}: a batch is a part of the rows; make it smaller than their number"
            )
        if self.steps < 1 or self.groups < 1:
            raise ValueError(f"ε is of one step and one group at least, not of {self.steps} and {self.groups}")


@dataclass(frozen=True)
class Spent:
    """An upper bound of ε, and which accountant, of which version, gave it."""

    epsilon: float
    accountant: str


def default_delta(rows: int) -> float:
    """δ = min(1e-5, 1 / (10 N))."""
    return min(1e-5, 1 / (10 * rows))


def check_delta(delta: float, rows: int) -> None:
    """ValueError unless 0 < δ < 1/N: at 1/N, to publish one row whole would count as private."""
    if not 0 < delta < 1 / rows:
        raise ValueError(
            f"delta {delta:g} is not between 0 and 1/N = {1 / rows:.3g}: at 1/N, publishing a row counts as private"
        )


def epsilon(noise_multiplier: float, releases: Releases, delta: float) -> Spent:
    """ε of noise σ = `noise_multiplier` in each group: by PRV (Gopi et al. 2021, arXiv 2106.02848), or by RDP where that fails.

    Both are upper bounds, the first within `MOST_ERROR`. Without noise it is infinite. ValueError where Opacus is not installed.
    """
    if noise_multiplier <= 0:
        return Spent(math.inf, "no noise")
    together = noise_multiplier / math.sqrt(releases.groups)
    return _spent(together, releases.sampling_rate, releases.steps, delta)


def noise_for(wanted: float, releases: Releases, delta: float) -> float:
    """σ of each group's noise at which ε is at most `wanted`, and within `TOLERANCE` of it.

    ValueError where no noise is enough.
    """
    if not 0 < wanted < math.inf:
        raise ValueError(f"epsilon {wanted:g}: must be a positive, finite number")
    return _noise_for(wanted, releases.sampling_rate, releases.steps, delta) * math.sqrt(releases.groups)


def epsilon_of_all(made: Iterable[tuple[float, Releases]], delta: float) -> Spent:
    """ε of several trainings on the same rows together, (σ of a group, its releases) each: of a sweep that looked at all of them.

    By Rényi's divergence (Mironov 2017, arXiv 1702.07476), which composes unlike mechanisms cheaply.
    """
    history = []
    for noise, releases in made:
        if noise <= 0:
            return Spent(math.inf, "no noise")
        history.append((noise / math.sqrt(releases.groups), releases.sampling_rate, releases.steps))
    return Spent(_by_rdp(history, delta), _named("RDP")) if history else Spent(0.0, "nothing was released")


def _opacus() -> Any:
    try:
        import opacus.accountants
    except ImportError as error:
        raise ValueError(
            "opacus, which accounts for ε, is not installed: pip install -c constraints.txt -e '.[federated]'"
        ) from error
    return opacus.accountants


def _named(accountant: str) -> str:
    return f"opacus {importlib.metadata.version('opacus')} {accountant}"


@lru_cache(maxsize=4096)
def _spent(noise: float, rate: float, steps: int, delta: float) -> Spent:
    by_rdp = _by_rdp([(noise, rate, steps)], delta)
    by_prv = _by_prv(noise, rate, steps, delta, by_rdp)
    return Spent(by_prv, _named("PRV")) if by_prv < by_rdp else Spent(by_rdp, _named("RDP"))


def _by_rdp(history: list[tuple[float, float, int]], delta: float) -> float:
    """ε ≥ 0 by Rényi's divergence of these (σ, q, steps) together."""
    accountant = _opacus().RDPAccountant()
    accountant.history = history
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Optimal order is the"
        )  # at an end of `ORDERS` it is an upper bound all the same
        return max(0.0, float(accountant.get_epsilon(delta, alphas=list(ORDERS))))  # a bound below 0 proves (0, δ)


def _by_prv(noise: float, rate: float, steps: int, delta: float, by_rdp: float) -> float:
    """ε by PRV; infinite where it fails (at large ε or few steps, opacus issues 601 and 604), or would take too long."""
    error = min(MOST_ERROR, ERROR_SHARE * by_rdp)
    if not math.isfinite(by_rdp) or error <= 0:
        return math.inf
    beyond = (
        _by_rdp([(noise, rate, steps)], delta / 4000) + 3
    )  # the grid goes so far: PRVAccountant's own δ error is δ / 1000
    spacing = error / math.sqrt(steps * math.log(12_000 / delta) / 2)
    if 2 * beyond / spacing > MOST_POINTS:
        return math.inf
    accountant = _opacus().PRVAccountant()
    accountant.history = [(noise, rate, steps)]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Optimal order is the")  # of RDP, which says how far its grid goes
            epsilon = float(accountant.get_epsilon(delta, eps_error=error))
    except (RuntimeError, ValueError, ArithmeticError):
        return math.inf
    return epsilon if math.isfinite(epsilon) and epsilon > 0 else math.inf


@lru_cache(maxsize=1024)
def _noise_for(wanted: float, rate: float, steps: int, delta: float) -> float:
    """By bisection on log σ: first by RDP, which is quick and needs more noise, then by both."""
    low, high = 1e-2, 1e-2
    while _by_rdp([(high, rate, steps)], delta) > wanted:
        low, high = high, 2 * high
        if high > MOST_NOISE:
            raise ValueError(
                f"no noise gives epsilon {wanted:g} at delta {delta:g} over {steps} steps; allow a larger epsilon"
            )
    while high / low > 1.1:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _by_rdp([(middle, rate, steps)], delta) <= wanted else (middle, high)
    # By both: ε falls about as a power of σ, so a straight line in logarithms through two of its points finds the third.
    enough, spent = high, _spent(high, rate, steps, delta).epsilon
    too_little, overspent = low, _spent(low, rate, steps, delta).epsilon
    aim = (1 - TOLERANCE / 2) * wanted
    while overspent <= wanted:
        enough, spent = too_little, overspent
        too_little *= 0.9
        overspent = _spent(too_little, rate, steps, delta).epsilon
    while spent < (1 - TOLERANCE) * wanted and enough > 1.0005 * too_little:
        known = spent > 0 and math.isfinite(overspent)
        share = math.log(aim / spent) / math.log(overspent / spent) if known else 0.5
        tried = enough * (too_little / enough) ** share
        by_tried = _spent(tried, rate, steps, delta).epsilon
        if by_tried <= wanted:
            enough, spent = tried, by_tried
        else:
            too_little, overspent = tried, by_tried
    return enough
