"""What a question pushes and what must hold: objectives, and constraints whose bounds become numbers once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sweep.errors import UsageError
from sweep.space.parameters import plain
from sweep.statistics.directions import DIRECTIONS, Direction, sign_of

Side = Literal["at_least", "at_most"]


@dataclass(frozen=True)
class Objective:
    """A figure of a trial to push one way; `direction` is ``maximise`` or ``minimise``."""

    metric: str
    direction: Direction

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise UsageError(
                f"objective {self.metric!r}: direction {self.direction!r} is neither 'maximise' nor 'minimise'"
            )

    @property
    def sign(self) -> float:
        """What a value is multiplied by so that less is better."""
        return sign_of(self.direction)

    @property
    def worse_side(self) -> Side:
        """The side of a constraint that keeps the figure from its worse end."""
        return "at_least" if self.direction == "maximise" else "at_most"


@dataclass(frozen=True)
class Constraint:
    """A figure of a trial that must stay on one side of a bound: a number, or a word whose number the prepare phase finds.

    Its `name` is what its excess is recorded under. It is the metric's, or, of the second bound of a metric that has two,
    that with the side: see `SearchSpace`. Its `bound` is a number in the metric's units, None of a word whose number has not
    been found yet: see `bounded`.
    """

    metric: str
    at_most: float | str | None = None
    at_least: float | str | None = None
    name: str = ""
    bound: float | None = None

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise UsageError(f"constraint {self.metric!r}: give exactly one of at_most and at_least")
        bound = plain(self.at_most if self.at_most is not None else self.at_least)
        word = isinstance(bound, str) and bound.isidentifier()
        finite = isinstance(bound, int | float) and not isinstance(bound, bool) and math.isfinite(bound)
        if isinstance(bound, str) and not word:
            raise UsageError(
                f"constraint {self.metric!r}: {self.side} {bound!r} is no bound; write a number, or a word that stands for one"
            )
        if not word and not finite:
            raise UsageError(f"constraint {self.metric!r}: {self.side} {bound!r} is not a finite number")
        object.__setattr__(self, self.side, bound)
        object.__setattr__(self, "name", self.name or self.metric)
        if isinstance(bound, int | float):
            object.__setattr__(self, "bound", float(bound))

    @property
    def word(self) -> str:
        """The word that stands for the bound; empty where it is a number."""
        bound = self.at_most if self.at_most is not None else self.at_least
        return bound if isinstance(bound, str) else ""

    @property
    def side(self) -> Side:
        return "at_most" if self.at_most is not None else "at_least"

    def bounded(self, numbers: Mapping[str, float]) -> Constraint:
        """The constraint with the number that its word stands for, where `numbers` have it."""
        number = numbers.get(self.word) if self.word else self.bound
        return dataclasses.replace(self, bound=number)

    @property
    def unit(self) -> float:
        """What violations are measured in: the bound's size, 1 where that is 0. ValueError while the bound is not known."""
        if self.bound is None:
            raise ValueError(f"constraint {self.name!r}: its bound is not known before the prepare phase has ended")
        return abs(self.bound) or 1.0

    def violation(self, value: float) -> float:
        """≤ 0 where the constraint holds; in units of the bound, so that violations of different figures add up."""
        unit = self.unit
        assert self.bound is not None  # `unit` has looked
        return (value - self.bound if self.side == "at_most" else self.bound - value) / unit


def named(space: str, constraints: Sequence[Constraint]) -> Iterator[Constraint]:
    """The constraints, each under a name of its own; UsageError where two bound a metric on the same side, or contradict."""
    by_side: dict[str, dict[str, Constraint]] = {}
    for constraint in constraints:
        before = by_side.setdefault(constraint.metric, {})
        if constraint.side in before:
            raise UsageError(
                f"space {space!r}: two constraints bound {constraint.metric!r} by {constraint.side}; keep the tighter one"
            )
        before[constraint.side] = constraint
        name = constraint.metric if len(before) == 1 else f"{constraint.metric}_{constraint.side}"
        yield dataclasses.replace(constraint, name=name)
    for metric, sides in by_side.items():
        bounds = [sides[side].bound for side in ("at_least", "at_most") if side in sides]
        if len(bounds) == 2 and None not in bounds and bounds[0] > bounds[1]:  # type: ignore[operator]  # both are numbers
            raise UsageError(
                f"space {space!r}: {metric!r} is to be at least {bounds[0]:g} and at most {bounds[1]:g}, which nothing is"
            )
