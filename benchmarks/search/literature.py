"""Two constrained problems of the literature that no sampler here was tuned on, each with a categorical switch.

- *osy*: Osyczka and Kundu 1995, six numbers, two objectives, six constraints;
- *welded-beam*: Deb's two objectives, cost and deflection, of a beam welded on (Ragsdell and Phillips 1976), four numbers, four
  constraints on stress, thickness, load and size.

The switch has three options: the problem as it is; every number mirrored in its range, and both objectives worse by a
twentieth of their spread; as it is, but worse by a tenth. A spread is the middle half's: of feasible settings for objectives, of
all for slacks. Whole trials, four under way at a time, told in the order they were asked; what is measured has a normal error of
1 % of its spread, and feasibility is judged by it. Hypervolumes are of noise-free figures of the trials that are truly
feasible, as shares of what all runs of a table found together.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.search import measures
from benchmarks.search.clock import stream
from benchmarks.search.results import interval, median
from sweep.errors import UsageError, near
from sweep.records import COMPLETE
from sweep.samplers import Observation, Question
from sweep.samplers.catalogue import make
from sweep.space import Choice, Constraint, Float, Objective, Parameter, Settings
from sweep.statistics.estimates import estimate, hypervolume, nondominated, paired_difference

UNDER_WAY, NOISE = 4, 0.01
SWITCH = Choice("switch", ("plain", "mirrored", "dear"))
WORSE = {"plain": 0.0, "mirrored": 0.05, "dear": 0.1}
OBJECTIVES = (Objective("first", "minimise"), Objective("second", "minimise"))


@dataclass(frozen=True)
class Written:
    """Numbers in their ranges, and what they give: two objectives, both to be small, and slacks, all to be at least 0."""

    name: str
    ranges: tuple[tuple[float, float], ...]
    figures: Callable[[np.ndarray], tuple[list[float], list[float]]]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (SWITCH, *(Float(f"x{i}", *ends) for i, ends in enumerate(self.ranges, start=1)))

    def at(self, settings: Settings) -> np.ndarray:
        """Noise-free objectives and slacks, (2 + constraints,), the switch not yet paid for."""
        x = np.array([float(settings[f"x{i}"]) for i in range(1, len(self.ranges) + 1)])  # type: ignore[arg-type]
        if settings["switch"] == "mirrored":
            x = np.array([low + high - v for v, (low, high) in zip(x, self.ranges, strict=True)])
        objectives, slacks = self.figures(x)
        return np.array([*objectives, *slacks])


def osy(x: np.ndarray) -> tuple[list[float], list[float]]:
    first = -(25 * (x[0] - 2) ** 2 + (x[1] - 2) ** 2 + (x[2] - 1) ** 2 + (x[3] - 4) ** 2 + (x[4] - 1) ** 2)
    slacks = [x[0] + x[1] - 2, 6 - x[0] - x[1], 2 - x[1] + x[0], 2 - x[0] + 3 * x[1]]
    slacks += [4 - (x[2] - 3) ** 2 - x[3], (x[4] - 3) ** 2 + x[5] - 4]
    return [float(first), float((x**2).sum())], [float(s) for s in slacks]


def welded_beam(x: np.ndarray) -> tuple[list[float], list[float]]:
    """Thickness of the weld, its length, height and thickness of the beam, in inches; loads in pounds."""
    h, length, t, b = (float(v) for v in x)
    cost = 1.10471 * h**2 * length + 0.04811 * t * b * (14 + length)
    deflection = 2.1952 / (t**3 * b)
    direct = 6000 / (math.sqrt(2) * h * length)
    arm = math.sqrt(0.25 * (length**2 + (h + t) ** 2))
    twist = 6000 * (14 + 0.5 * length) * arm / (2 * (0.707 * h * length * (length**2 / 12 + 0.25 * (h + t) ** 2)))
    shear = math.sqrt(direct**2 + twist**2 + length * direct * twist / arm)
    buckling = 64746.022 * (1 - 0.0282346 * t) * t * b**3
    return [cost, deflection], [1 - shear / 13600, 1 - 504000 / (t**2 * b) / 30000, b - h, buckling / 6000 - 1]


PROBLEMS = {
    "osy": Written("osy", ((0, 10), (0, 10), (1, 5), (0, 6), (1, 5), (0, 10)), osy),
    "welded-beam": Written("welded-beam", ((0.125, 5), (0.1, 10), (0.1, 10), (0.125, 5)), welded_beam),
}


@dataclass(frozen=True)
class Scale:
    """Of 4,000 settings drawn anywhere: spreads of all figures, the corner (medians of what is feasible), the feasible share."""

    spread: np.ndarray
    corner: tuple[float, float]
    feasible: float


def scale_of(problem: Written) -> Scale:
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(4000):
        values: Settings = {f"x{i}": float(rng.uniform(*ends)) for i, ends in enumerate(problem.ranges, start=1)}
        drawn.append(problem.at({"switch": "plain", **values}))
    figures = np.array(drawn)
    feasible = (figures[:, 2:] >= 0).all(1)
    some = figures[feasible] if feasible.any() else figures
    objectives, slacks = (np.subtract(*np.quantile(f, [0.75, 0.25], axis=0)) for f in (some[:, :2], figures[:, 2:]))
    spread = np.concatenate([objectives, slacks])
    return Scale(spread, (float(np.median(some[:, 0])), float(np.median(some[:, 1]))), float(feasible.mean()))


@dataclass(frozen=True)
class Searched:
    """Of one run: the noise-free objectives (n, 2) of its truly feasible trials, and the trial that was the first of them."""

    points: np.ndarray
    first: float


def search(problem: Written, sampler: str, seed: int, trials: int, scale: Scale) -> Searched:
    """One run of so many trials. Errors of measurement are a trial's own, alike for every sampler."""
    slacks = [f"slack{i}" for i in range(len(scale.spread) - 2)]
    constraints = tuple(Constraint(name, at_least=0.0) for name in slacks)
    chooser = make(
        sampler,
        Question(problem.parameters, OBJECTIVES, constraints, scale.corner, trials),
        stream("sampler", seed),
    )
    under_way: deque[tuple[int, Settings]] = deque()
    points, first = [], math.inf

    def end(number: int, settings: Settings) -> None:
        nonlocal first
        true = problem.at(settings)
        true[:2] += WORSE[str(settings["switch"])] * scale.spread[:2]
        error = np.random.default_rng([seed, number]).standard_normal(len(true))
        measured = true + NOISE * scale.spread * error
        figures = {"first": float(measured[0]), "second": float(measured[1])}
        excesses = {name: float(-m / s) for name, m, s in zip(slacks, measured[2:], scale.spread[2:], strict=True)}
        chooser.tell(Observation(number, settings, COMPLETE, figures, excesses))
        if (true[2:] >= 0).all():
            first = min(first, number + 1)
            points.append(true[:2])

    for number in range(trials):
        if len(under_way) == UNDER_WAY:
            end(*under_way.popleft())
        under_way.append((number, chooser.ask(number)))
    for one in under_way:
        end(*one)
    return Searched(np.array(points).reshape(-1, 2), first)


def table(names: Sequence[str], samplers: Sequence[str], seeds: int, trials: int) -> str:
    """A section a problem as Markdown; differences are to the last sampler, seed by seed."""
    for name in names:
        if name not in PROBLEMS:
            raise UsageError(f"--problem {name}: {near(name, PROBLEMS)}")
    sections = []
    for problem in (PROBLEMS[name] for name in names):
        scale = scale_of(problem)
        runs = {s: [search(problem, s, seed, trials, scale) for seed in range(seeds)] for s in samplers}
        every = np.concatenate([r.points for of in runs.values() for r in of])
        best = _volume(every, scale) or 1.0  # nothing at all was found: every share is 0
        shares = {s: {seed: _volume(r.points, scale) / best for seed, r in enumerate(of)} for s, of in runs.items()}
        lines = [
            f"## {problem.name}: {scale.feasible:.2%} of settings anywhere are feasible",
            "",
            f"| sampler | seeds | hypervolume of {trials} trials | less {samplers[-1]} | first feasible trial |",
            "|---|---|---|---|---|",
        ]
        for s in samplers:
            less = "–" if s == samplers[-1] else interval(paired_difference(shares[s], shares[samplers[-1]]), "+.3f")
            first = [r.first for r in runs[s]]
            never = sum(map(math.isinf, first))
            cells = [s, str(seeds), interval(estimate(shares[s].values()), ".3f"), less]
            cells.append(median(measures.middle(first), ".0f") + (f"; {never} never" if never else ""))
            lines.append("| " + " | ".join(cells) + " |")
        sections.append("\n".join(lines))
    return "\n\n".join(sections)


def _volume(points: np.ndarray, scale: Scale) -> float:
    inside = points[(points < np.array(scale.corner)).all(1)] if len(points) else points
    if not len(inside):
        return 0.0
    front = inside[nondominated(inside, ["minimise", "minimise"])]
    return hypervolume(front, scale.corner, ("minimise", "minimise"))
