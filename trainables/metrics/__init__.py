"""Metrics: one file each, all ``(Evaluation) -> {name: figure}``.

Every registered metric runs wherever samples are scored: before the attack and after it. A figure that does not apply is
left out, never invented. A metric's file declares its figures as ``FIGURES``: from that their columns are made, and a
question may name any of them as an objective or in a constraint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.figures import Figure, check_samples
from trainables.members import MemberFault, fault_of, file_of
from trainables.registry import Registry

if TYPE_CHECKING:
    import torch  # for readers of scores, who need `aurc` and `wilson` and no torch

Figures = dict[str, float]

REVIVED = 0.3  # relearning accuracy past which a concept counts as back ("Illusion of Unlearning")
REFERENCE_SAMPLE = 1000  # reference features that kid, precision and recall are over, where there are as many


@dataclass(frozen=True)
class Metric:
    """A registered metric, or audit: what makes its figures, their declarations, and which of the two it is, for its faults."""

    name: str
    make: Callable[[Any], Figures]
    figures: tuple[Figure, ...]
    family: str = "metric"

    def __post_init__(self) -> None:
        for figure in self.figures:
            check_samples(figure)

    def __call__(self, what: Any) -> Figures:
        """Its figures. MemberFault for one that it does not declare, which would have no column, for what is no number, or a
        share that is none.
        """
        with fault_of(f"{self.family} {self.name!r}", self.make.__module__):
            made = self.make(what)
        declared = {figure.name: figure for figure in self.figures}
        if not isinstance(made, Mapping):
            raise self._fault(f"gives a {type(made).__name__}; return {{name: number}}")
        for name, value in made.items():
            if name not in declared:
                raise self._fault(f"gives {name!r}, which is not among its FIGURES; declare it there")
            if not isinstance(value, Real):
                raise self._fault(f"gives {name!r} as a {type(value).__name__}; return a number, or leave it out")
            if declared[name].unit == "share" and not -1e-6 <= value <= 1 + 1e-6:
                raise self._fault(
                    f"gives {name!r} as {value:g}; a share lies between 0 and 1: give it another unit if it is none"
                )
        return made

    def _fault(self, what: str) -> MemberFault:
        return MemberFault(f"{self.family} {self.name!r} {what} ({file_of(self.make.__module__)})")


@dataclass(
    frozen=True, eq=False
)  # one reference is another only if it is the same object: what is made of it is cached
class Reference:
    """The retained training images' features: `mean` (d,), `covariance` (d, d), and `features` (M, d) themselves.

    `features` come in a fixed random order, so that their first ones are a fair sample of all.
    """

    mean: np.ndarray
    covariance: np.ndarray
    features: np.ndarray

    @property
    def sample(self) -> np.ndarray:
        """(M, d) float64, M ≤ 1,000: the reference of figures whose cost grows with M²."""
        return self.features[:REFERENCE_SAMPLE].astype(np.float64)


@dataclass(frozen=True)
class Evaluation:
    """Samples of one model and what the judge and the feature network say of them.

    `images` (N, C, H, W) in [-1, 1]; `conditions` (N,) they were prompted with; `of_forgotten` and `of_retained` (N,) bool:
    prompted for what was forgotten, for what stays (of an unconditional model, every sample is both); `predicted` (N,) the
    condition the judge gives each and `confidence` (N,) how sure it is; `shows` (N,) bool: shows what was forgotten;
    `features` (N, d) float64; `reference` the retained training images'. `prompted`: conditions mean something;
    `instances` (M, C, H, W) the single images that were to be forgotten, each once, where it was those. `at_every_rung`: of those
    of what was forgotten, the first that are drawn at every rung of an attack too; None: all.

    Of conditions that are prompts, `predicted` is the label of the facet that was forgotten, and `asked` (N,) the one each
    sample was prompted for, `NOTHING` where its prompt says none; else `asked` are the conditions. `other_predicted` and
    `other_asked` (N, F - 1) are the same of the other facets that the judge can tell, and `of_anchor` (N,) bool: prompted for
    what stands for the forgotten.
    """

    images: torch.Tensor
    conditions: torch.Tensor
    of_forgotten: torch.Tensor
    of_retained: torch.Tensor
    asked: torch.Tensor
    predicted: torch.Tensor
    confidence: torch.Tensor
    shows: torch.Tensor
    features: np.ndarray
    reference: Reference
    prompted: bool = True
    instances: torch.Tensor | None = None
    other_asked: torch.Tensor | None = None
    other_predicted: torch.Tensor | None = None
    of_anchor: torch.Tensor | None = None
    at_every_rung: int | None = None


METRICS: Registry[Metric] = Registry("metric", __name__)


def register(name: str, figures: tuple[Figure, ...]) -> Callable:
    """Register a function ``(Evaluation) -> {name: figure}`` with the declarations of its figures."""
    return METRICS.decorator(name, lambda make: Metric(name, make, figures))


def declared_figures(family: Registry[Metric]) -> list[Figure]:
    """The figures of every member of a family."""
    return [figure for name in family.names() for figure in family[name].figures]


def evaluate(evaluation: Evaluation) -> Figures:
    """Every registered metric's figures."""
    figures: Figures = {}
    for name in METRICS.names():
        figures |= METRICS[name](evaluation)
    return figures


def wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share of `n` samples (Wilson 1927); `z` = 1.96 for 95 % two-sided, 1.645 one-sided."""
    if n == 0:
        return math.nan, math.nan
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def aurc(accuracy_at: dict[int, float]) -> float:
    """AURC@K: trapezoid of relearning accuracy over log₂(k+1), k = 0 … K, divided by log₂(K+1).

    `accuracy_at` maps attack steps to relearning accuracy and must hold step 0; K is its largest step.
    """
    steps = sorted(accuracy_at)
    if len(steps) < 2 or steps[0] != 0:
        raise ValueError(f"AURC needs step 0 and at least one more, not {steps}")
    x = np.log2(np.array(steps) + 1.0)
    y = np.array([accuracy_at[k] for k in steps])
    return float(np.trapezoid(y, x) / x[-1])


def revival_step(accuracy_at: dict[int, float], threshold: float = REVIVED) -> int | None:
    """The first rung at which relearning accuracy exceeds `threshold` ("Illusion of Unlearning": .3).

    `accuracy_at` maps attack steps to relearning accuracy. None where no rung's does: censored at K, its largest step. A
    step between two rungs is not made up, so the figure is comparable between equal ladders only.
    """
    return next((step for step in sorted(accuracy_at) if accuracy_at[step] > threshold), None)
