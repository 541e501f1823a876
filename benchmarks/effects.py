"""Whether intervals around what a parameter's values do hold: ``python -m benchmarks.effects``, ten minutes on one core.

Simulated sweeps whose effects are known: nine kinds, of which some raise the figure and some lower it, and six numbers, of which
one acts as a hump, one as a straight line and one as a step. `sweep.statistics.main_effects` beside the partial dependence of a
random forest (Friedman 2001; Breiman 2001), whose intervals are over folds as those of importances are. *Together*: the share of
sweeps of which all intervals hold, of `main_effects` those of the nine kinds and of the eighteen thirds, which it promises of
95 in 100; *each*: of single intervals; *kinds*: the median half-width of a kind's.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, stdtrit
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold

from sweep.statistics.main_effects import main_effects

KINDS = tuple("abcdefghi")
NUMBERS, THIRDS, FOLDS, TREES, MANY = 6, 3, 5, 40, 20_000


@dataclass(frozen=True)
class Problem:
    """How far kinds differ (standard deviation), how much more so beside a large first number, what the noise is, and whether
    each kind is drawn a third less often than the one before."""

    name: str
    spread: float = 0.5
    beside: float = 0.0
    noise: str = "equal"
    uneven: bool = False


PROBLEMS = (
    Problem("effects add"),
    Problem("a kind's effect grows with a number", beside=1.0),
    Problem("kinds do nothing", spread=0.0),
    Problem("noise grows where the figure is low", noise="low"),
    Problem("the figure is 0 or 1", noise="coin"),
    Problem("kinds are drawn unevenly", uneven=True),
    Problem("the same, and noise grows where the figure is low", noise="low", uneven=True),
)


@dataclass(frozen=True)
class Simulated:
    """A sweep's kinds (n,), numbers (n, 6) and figures (n,); what each kind (9,) and each third (6, 3) truly adds."""

    kind: np.ndarray
    x: np.ndarray
    y: np.ndarray
    of_kinds: np.ndarray
    of_thirds: np.ndarray


def simulated(problem: Problem, n: int, rng: np.random.Generator) -> Simulated:
    """A sweep of n trials. True effects are means over many settings in which every kind is as frequent."""
    added = rng.normal(0, 1, len(KINDS)) * problem.spread

    def level(kind: np.ndarray, x: np.ndarray) -> np.ndarray:
        hump, step = 1.5 * np.exp(-(((x[:, 0] - 0.6) / 0.25) ** 2)), 0.8 * (x[:, 2] > 0.5)
        figure: np.ndarray = added[kind] * (1 + problem.beside * (2 * x[:, 0] - 1)) + hump + x[:, 1] + step
        return expit(2 * (figure - 1.8)) if problem.noise == "coin" else figure

    chances = (2 / 3) ** np.arange(len(KINDS)) if problem.uneven else np.ones(len(KINDS))
    kind, x = rng.choice(len(KINDS), n, p=chances / chances.sum()), rng.random((n, NUMBERS))
    mean = level(kind, x)
    if problem.noise == "coin":
        y = (rng.random(n) < mean).astype(float)
    else:
        y = mean + 0.3 * (np.exp(-added[kind]) if problem.noise == "low" else 1.0) * rng.normal(0, 1, n)
    kinds, settings = rng.integers(0, len(KINDS), MANY), rng.random((MANY, NUMBERS))
    of_kinds = np.array([level(np.full(MANY, k), settings).mean() for k in range(len(KINDS))])
    truth = level(kinds, settings)
    of_thirds = np.zeros((NUMBERS, THIRDS))
    for i in range(NUMBERS):  # a third is of this sweep's values, and what it adds is its mean over all settings
        edges = np.quantile(x[:, i], np.arange(1, THIRDS) / THIRDS, method="inverted_cdf")
        third = np.searchsorted(edges, settings[:, i])
        of_thirds[i] = [truth[third == k].mean() for k in range(THIRDS)]
    return Simulated(kind, x, y, of_kinds - of_kinds.mean(), of_thirds - of_thirds.mean(axis=1, keepdims=True))


def holds_by_fit(sweep: Simulated) -> tuple[list[bool], float]:
    """Whether each interval of `main_effects` holds, of kinds that were left out none; and a kind's median half-width."""
    numbers = {f"x{i}": sweep.x[:, i] for i in range(NUMBERS)}
    fit = main_effects({"kind": [KINDS[k] for k in sweep.kind]}, numbers, sweep.y)
    kept = [KINDS.index(str(name)) for name in fit.effects["kind"]]
    truths = {"kind": sweep.of_kinds[kept] - sweep.of_kinds[kept].mean()}
    truths |= {name: sweep.of_thirds[i] for i, name in enumerate(numbers)}
    holds, halves = [], []
    for factor, truth in truths.items():
        for effect, true in zip(fit.effects[factor].values(), truth, strict=True):
            assert effect.lower is not None and effect.upper is not None
            holds.append(bool(effect.lower <= true <= effect.upper))
            if factor == "kind":
                halves.append(effect.upper - effect.mean)
    return holds, float(np.median(halves))


def holds_by_forest(sweep: Simulated) -> tuple[list[bool], float]:
    """Whether each kind's interval around forests' partial dependence holds: t's over folds, corrected for their overlap."""
    coded, of_folds = np.eye(len(KINDS)), []
    for fold, (learned, _) in enumerate(KFold(FOLDS, shuffle=True, random_state=0).split(sweep.x)):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=fold)
        forest.fit(np.concatenate([coded[sweep.kind], sweep.x], axis=1)[learned], sweep.y[learned])
        every = [np.concatenate([np.tile(row, (len(sweep.x), 1)), sweep.x], axis=1) for row in coded]
        level = np.array([forest.predict(rows).mean() for rows in every])
        of_folds.append(level - level.mean())
    values = np.array(of_folds)
    spread = values.std(axis=0, ddof=1) * math.sqrt(1 / FOLDS + 1 / (FOLDS - 1))
    half = float(stdtrit(FOLDS - 1, 0.975)) * spread
    return (np.abs(values.mean(axis=0) - sweep.of_kinds) <= half).tolist(), float(np.median(half))


def rows(draws: int, forests: int) -> Iterator[str]:
    """The table, a row at a time."""
    yield "| sweep | trials | main effects: together | each | kinds | forest, kinds alone: together | each | kinds |"
    yield "|---" * 8 + "|"
    for n in (72, 108, 200):
        for problem in PROBLEMS:
            cells = []
            for way, many in ((holds_by_fit, draws), (holds_by_forest, forests)):
                of_sweeps = [way(simulated(problem, n, np.random.default_rng(draw))) for draw in range(many)]
                together = np.mean([all(holds) for holds, _ in of_sweeps])
                each = np.mean(np.concatenate([holds for holds, _ in of_sweeps]))
                cells.append(f"{together:.3f} | {each:.3f} | {np.median([half for _, half in of_sweeps]):.2f}")
            yield f"| {problem.name} | {n} | {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.effects", description=__doc__.split(":")[0] + ".")
    parser.add_argument("--draws", type=int, default=400, help="simulated sweeps a row (default: 400)")
    parser.add_argument("--forests", type=int, default=20, help="of them that have a forest too (default: 20)")
    args = parser.parse_args()
    if min(args.draws, args.forests) < 1:
        parser.error("--draws and --forests: at least 1 each, or there is nothing to tell of")
    for row in rows(args.draws, args.forests):
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
