"""A surrogate of a recorded sweep: extremely randomised trees, softened, fitted to everything a trial yields.

It shares no family of models with any sampler it is used to judge (Gaussian processes, tree-structured Parzen estimators'
kernel densities). Extra-Trees (Geurts, Ernst & Wehenkel 2006) are piecewise constant; here every split of a number at t
becomes a logistic step of width `SOFTNESS` of the parameter's range (as in soft decision trees, Irsoy, Yildiz & Alpaydin
2012), so that the surface is smooth and a local search finds slopes. Splits of options stay sharp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

SOFTNESS = 0.02
TREES = 100
_SEED = 0


class SoftForest:
    """Extra-Trees for several targets at once, evaluated with soft splits. Deterministic.

    `smooth` (d,) says which columns are numbers in [0, 1]; the others are 0 or 1 and are split sharply.
    """

    def __init__(self, inputs: np.ndarray, targets: np.ndarray, smooth: Sequence[bool], leaf: int = 2) -> None:
        spread = targets.std(axis=0)
        self._scale = np.where(spread > 0, spread, 1.0)  # else a target with large figures decides every split
        self._middle = targets.mean(axis=0)
        forest = ExtraTreesRegressor(TREES, min_samples_leaf=leaf, random_state=_SEED)
        scaled = (targets - self._middle) / self._scale
        forest.fit(inputs, scaled if scaled.shape[1] > 1 else scaled[:, 0])
        self._flatten([e.tree_ for e in forest.estimators_], np.asarray(smooth))

    def _flatten(self, trees: list, smooth: np.ndarray) -> None:
        """All trees' nodes as one array, level by level: parents come before children."""
        offsets = np.cumsum([0, *(t.node_count for t in trees)])
        left = np.concatenate(
            [np.where(t.children_left >= 0, t.children_left + o, -1) for t, o in _with(trees, offsets)]
        )
        right = np.concatenate(
            [np.where(t.children_right >= 0, t.children_right + o, -1) for t, o in _with(trees, offsets)]
        )
        feature = np.concatenate([t.feature for t in trees])
        threshold = np.concatenate([t.threshold for t in trees])
        self._values = np.concatenate([t.value[:, :, 0] for t in trees]) / len(trees)
        self._nodes = offsets[-1]
        self._roots = offsets[:-1]
        self._levels: list[tuple[np.ndarray, ...]] = []
        level = self._roots
        while len(level := level[left[level] >= 0]):
            columns = feature[level]
            width = np.where(smooth[columns], SOFTNESS, 1e-6)
            self._levels.append((level, left[level], right[level], columns, threshold[level], width))
            level = np.concatenate([left[level], right[level]])
        leaves = left < 0
        self._leaves = np.flatnonzero(leaves)
        self._values = self._values[leaves]

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """Targets (m,) at one input (d,): each leaf's value by how much of the input reaches it."""
        reach = np.zeros(self._nodes)
        reach[self._roots] = 1.0
        for nodes, left, right, columns, threshold, width in self._levels:
            goes_right = expit((vector[columns] - threshold) / width)
            reach[right] = reach[nodes] * goes_right
            reach[left] = reach[nodes] * (1 - goes_right)
        return self._middle + self._scale * (reach[self._leaves] @ self._values)


def _with(trees: list, offsets: np.ndarray) -> list:
    return list(zip(trees, offsets[:-1], strict=True))


def logit(share: np.ndarray, n: np.ndarray | float) -> np.ndarray:
    """Logits of shares of n samples, half a success and half a failure added: finite at 0 and 1."""
    p = (np.asarray(share) * n + 0.5) / (np.asarray(n) + 1.0)
    return np.log(p / (1 - p))


@dataclass(frozen=True)
class HeldOut:
    """How well settings that the fit never saw are predicted. For a figure: R² and Spearman's ρ over the settings, mean
    absolute error in its own units; for a yes or no: the area under the ROC curve. NaN where it is not defined."""

    figure: str
    n: int
    r2: float = float("nan")
    mae: float = float("nan")
    spearman: float = float("nan")
    auc: float = float("nan")


def held_out(figure: str, true: np.ndarray, predicted: np.ndarray) -> HeldOut:
    """The errors of a figure's predictions."""
    known = np.isfinite(true) & np.isfinite(predicted)
    true, predicted = true[known], predicted[known]
    varies = len(true) > 1 and np.ptp(true) > 0
    r2 = 1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum() if varies else float("nan")
    rank = spearmanr(true, predicted).statistic if varies and np.ptp(predicted) > 0 else float("nan")
    mae = float(np.abs(true - predicted).mean()) if len(true) else float("nan")
    return HeldOut(figure, len(true), float(r2), mae, float(rank))


def held_out_of_two(figure: str, true: np.ndarray, score: np.ndarray) -> HeldOut:
    """The area under the ROC curve of a score for something that is so or not."""
    both = 0 < true.sum() < len(true)
    return HeldOut(figure, len(true), auc=float(roc_auc_score(true, score)) if both else float("nan"))


def folds(n: int, k: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    """k shuffled folds, (fitted, held out); as many folds as rows where there are fewer."""
    if n < 2:
        return []
    return list(KFold(min(k, n), shuffle=True, random_state=_SEED).split(np.arange(n)))


def table(rows: Sequence[HeldOut]) -> str:
    """The errors as Markdown."""
    head = "| figure | settings | R² | mean absolute error | Spearman ρ | ROC area |\n|---|---|---|---|---|---|"
    return "\n".join([head, *(_row(r) for r in rows)])


def _row(row: HeldOut) -> str:
    cells = [_number(v, f) for v, f in ((row.r2, ".2f"), (row.mae, ".3g"), (row.spearman, ".2f"), (row.auc, ".2f"))]
    return f"| {row.figure} | {row.n} | {' | '.join(cells)} |"


def _number(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else "–"
