"""Whether intervals around what a parameter's values do hold: ``python -m benchmarks.effects``, five minutes on one core.

Simulated sweeps whose effects are known: nine kinds, of which some raise the figure and some lower it, and six numbers, of which
one acts as a hump, one as a straight line and one as a step. `sweep.statistics.main_effects` beside the partial dependence of a
random forest (Friedman 2001; Breiman 2001), whose intervals are over folds as those of importances are. *Together*: the share of
sweeps of which all nine intervals hold, which is what `main_effects` promises of 95 in 100; *each*: of single intervals.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, stdtrit
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold

from sweep.statistics.main_effects import main_effects

KINDS = tuple("abcdefghi")
NUMBERS, FOLDS, TREES = 6, 5, 40


@dataclass(frozen=True)
class Problem:
    """How far kinds differ (standard deviation), how much more so beside a large first number, and what a figure's noise is."""

    name: str
    spread: float
    beside: float = 0.0
    noise: str = "equal"


PROBLEMS = (
    Problem("effects add", 0.5),
    Problem("a kind's effect grows with a number", 0.5, beside=1.0),
    Problem("kinds do nothing", 0.0),
    Problem("noise grows where the figure is low", 0.5, noise="low"),
    Problem("the figure is 0 or 1", 0.5, noise="coin"),
)


def drawn(problem: Problem, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A sweep's kinds (n,), numbers (n, 6) and figures (n,), and what each kind truly adds (9,)."""
    added = rng.normal(0, 1, len(KINDS)) * problem.spread
    added -= added.mean()

    def level(kind: np.ndarray, x: np.ndarray) -> np.ndarray:
        hump, step = 1.5 * np.exp(-(((x[:, 0] - 0.6) / 0.25) ** 2)), 0.8 * (x[:, 2] > 0.5)
        figure: np.ndarray = added[kind] * (1 + problem.beside * (2 * x[:, 0] - 1)) + hump + x[:, 1] + step
        return expit(2 * (figure - 1.8)) if problem.noise == "coin" else figure

    kind, x = rng.integers(0, len(KINDS), n), rng.random((n, NUMBERS))
    mean = level(kind, x)
    if problem.noise == "coin":
        many = rng.random((4000, NUMBERS))
        truth = np.array([level(np.full(len(many), k), many).mean() for k in range(len(KINDS))])
        return kind, x, (rng.random(n) < mean).astype(float), truth - truth.mean()
    sd = 0.3 * np.exp(-added[kind]) if problem.noise == "low" else np.full(n, 0.3)
    return kind, x, mean + sd * rng.normal(0, 1, n), added


def by_fit(kind: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and half-widths (9,) of `main_effects`; NaN of a kind that was left out."""
    fit = main_effects({"kind": [KINDS[k] for k in kind]}, {f"x{i}": x[:, i] for i in range(NUMBERS)}, y)
    mean, half = np.full(len(KINDS), math.nan), np.full(len(KINDS), math.nan)
    for name, effect in fit.effects["kind"].items():
        assert effect.upper is not None
        at = KINDS.index(str(name))
        mean[at], half[at] = effect.mean, effect.upper - effect.mean
    return mean, half


def by_forest(kind: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and half-widths (9,) of forests' partial dependence over folds, t's with the variance corrected for their overlap."""
    coded = np.eye(len(KINDS))
    of_folds = []
    for fold, (learned, _) in enumerate(KFold(FOLDS, shuffle=True, random_state=0).split(x)):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=fold)
        forest.fit(np.concatenate([coded[kind], x], axis=1)[learned], y[learned])
        every = [np.concatenate([np.tile(row, (len(x), 1)), x], axis=1) for row in coded]
        level = np.array([forest.predict(rows).mean() for rows in every])
        of_folds.append(level - level.mean())
    values = np.array(of_folds)
    spread = values.std(axis=0, ddof=1) * math.sqrt(1 / FOLDS + 1 / (FOLDS - 1))
    return values.mean(axis=0), float(stdtrit(FOLDS - 1, 0.975)) * spread


def coverage(problem: Problem, n: int, draws: int, way: Callable[..., tuple[np.ndarray, np.ndarray]]) -> str:
    """``together, each, half-width`` over so many simulated sweeps; the half-width is the median."""
    together, each, halves = [], [], []
    for draw in range(draws):
        kind, x, y, truth = drawn(problem, n, np.random.default_rng(draw))
        mean, half = way(kind, x, y)
        known = np.isfinite(mean)
        holds = np.abs(mean - (truth - truth[known].mean()))[known] <= half[known]
        together.append(holds.all())
        each.append(holds.mean())
        halves.append(np.median(half[known]))
    return f"{np.mean(together):.3f} | {np.mean(each):.3f} | {np.median(halves):.2f}"


def rows(draws: int, forests: int) -> Iterator[str]:
    """The table, a row at a time."""
    yield "| sweep | trials | main effects: together | each | half-width | forest: together | each | half-width |"
    yield "|---" * 8 + "|"
    for n in (72, 108, 200):
        for problem in PROBLEMS:
            fitted = coverage(problem, n, draws, by_fit)
            yield f"| {problem.name} | {n} | {fitted} | {coverage(problem, n, forests, by_forest)} |"


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.effects", description=__doc__.split(":")[0] + ".")
    parser.add_argument("--draws", type=int, default=400, help="simulated sweeps a row (default: 400)")
    parser.add_argument("--forests", type=int, default=20, help="of them that have a forest too (default: 20)")
    args = parser.parse_args()
    for row in rows(args.draws, args.forests):
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
