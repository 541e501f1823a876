"""What VFLGAN's published noise buys (arXiv 2404.09722): ε as its authors account for it, and as a proof would have to.

python -m benchmarks.federated_accounting        seven settings, a quarter of a minute on one core

Each row of the table is one of the paper's trainings: N rows, batches of B, T critic steps, noise σ of one matrix a party. The
columns are explained in benchmarks/federated_accounting.md.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from scipy.special import log_ndtr

from sweep.errors import command
from trainables.federated.accounting import Releases, epsilon, noise_for
from trainables.federated.generic_bound import claimed_epsilon

PARTIES = 2
COLUMNS = ("", "N, B, T", "δ", "σ", "stated ε", "authors' accounting", "Poisson, one party", "Poisson, both parties")
COLUMNS += ("not sampled, one party", "σ, per record")
GROUPS = 3  # of per-record noise: two parties' critics and the server's


@dataclass(frozen=True)
class Setting:
    """A training of the paper, and the ε that it states."""

    data: str
    rows: int
    batch: int
    steps: int
    delta: float
    noise_multiplier: float
    stated: float

    @property
    def sampling_rate(self) -> float:
        return self.batch / self.rows


SETTINGS = (
    Setting("MNIST", 60000, 64, 281100, 1e-5, 0.802, 10),
    Setting("Adult", 42960, 64, 40260, 1e-5, 0.6128, 10),
    Setting("Adult", 42960, 64, 40260, 1e-5, 0.8, 5),
    Setting("red wine", 1599, 16, 15000, 5e-4, 1.39, 10),
    Setting("red wine", 1599, 16, 15000, 5e-4, 2.348, 5),
    Setting("white wine", 4898, 32, 30000, 2e-4, 1.34, 10),
    Setting("white wine", 4898, 32, 30000, 2e-4, 2.253, 5),
)


def without_amplification(noise_multiplier: float, steps: int, delta: float) -> float:
    """ε of so many Gaussian releases of all rows: exact, by its equivalence to one with μ = √T / σ (Dong et al. 2022,
    arXiv 1905.02383): δ = Φ(μ/2 - ε/μ) - e^ε Φ(-μ/2 - ε/μ).
    """
    mu = math.sqrt(steps) / noise_multiplier
    low, high = 0.0, mu * mu / 2 + 40 * mu
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        first = float(log_ndtr(mu / 2 - middle / mu))
        second = middle + float(log_ndtr(-mu / 2 - middle / mu))
        excess = math.exp(first) * -math.expm1(min(second - first, 0.0))
        low, high = (middle, high) if excess > delta else (low, middle)
    return high


def rows() -> Iterator[str]:
    """The table, line by line."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|" + "---|" * len(COLUMNS)
    for s in SETTINGS:
        one, both = (
            epsilon(s.noise_multiplier, Releases(s.sampling_rate, s.steps, groups), s.delta) for groups in (1, PARTIES)
        )
        claimed = claimed_epsilon(s.noise_multiplier, s.sampling_rate, s.steps, s.delta)
        plain = without_amplification(s.noise_multiplier, s.steps, s.delta)
        needed = noise_for(s.stated, Releases(s.sampling_rate, s.steps, GROUPS), s.delta)
        yield (
            f"| {s.data} | {s.rows}, {s.batch}, {s.steps} | {s.delta:g} | {s.noise_multiplier:g} | {s.stated:g} | {claimed:.3f} | "
            f"{one.epsilon:.2f} | {both.epsilon:.2f} | {plain:,.0f} | {needed:.2f} |"
        )


def main() -> int:
    start = time.process_time()
    for row in rows():
        print(row, flush=True)
    print(f"\n{time.process_time() - start:.0f} s of one core")
    return 0


if __name__ == "__main__":
    sys.exit(command(main)())
