"""How much each parameter matters to each objective and to feasibility, and whether these trials can tell.

A random forest (Breiman 2001) learns the figure from the parameters of four fifths of the trials and is judged on the rest:
its score is the share of their variance that it explains (R²; of feasibility, 0 or 1, that is the Brier skill score). A
parameter's importance is what the score loses when that parameter's values are shuffled among the held-out trials. Both are
means over five folds with 95 % t intervals, whose variance is corrected for the folds sharing most of what they learned from
(Nadeau and Bengio 2003). Where the score's interval reaches 0, the trials cannot tell what matters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import stdtrit

from sweep.reading.comparison import FEW_ARMS
from sweep.reading.fronts import Front
from sweep.reading.members import values_of
from sweep.statistics.estimates import Estimate

FEWEST = 20  # trials with the figure; a forest of fewer is told by whom it was shown
MOST = (
    400  # trials that are learned from; of more, evenly many from the whole search: the page of 100,000 takes seconds
)
FOLDS, TREES, SHUFFLES = 5, 40, 4
FEASIBLE = "feasible"


@dataclass(frozen=True)
class Importance:
    """Of one figure, in one arm or in all: the forest's score and each parameter's importance, the largest first.

    `reason` says why there is none, or why what there is tells nothing.
    """

    arm: str | None  # None: all arms together, by the parameters they share, the arm itself among them
    target: str
    trials: int
    score: Estimate | None
    parameters: dict[str, Estimate]
    reason: str | None


def importances(front: Front) -> tuple[Importance, ...]:
    """Of each objective and of feasibility: in each arm of a run with few, else in all arms together."""
    found = []
    for arm, table, names in _groups(front):
        for target in (*(o.metric for o in front.objectives), FEASIBLE):
            y = values_of(table, target)
            known = np.flatnonzero(np.isfinite(y))
            found.append(_importance(arm, target, table.take(known), y[known], names))
    return tuple(found)


def _groups(front: Front) -> Iterator[tuple[str | None, pa.Table, list[str]]]:
    """(arm, its trials, their parameters); of many arms one group."""
    table = front.trial_table.filter(pc.field("arm").isin(pa.array(list(front.arms), pa.string())))
    order = [("number", "ascending"), ("trial_id", "ascending")]
    table = table.take(pc.sort_indices(table, sort_keys=order))
    parameters = [n for n in table.column_names if n.startswith("param_")]
    if len(front.arms) > FEW_ARMS:
        shared = [n for n in parameters if table[n].null_count == 0]
        yield None, table, ["arm", *shared]
        return
    for arm in front.arms:
        own = table.filter(pc.field("arm") == arm)
        yield arm, own, [n for n in parameters if own[n].null_count < len(own)]


def _importance(arm: str | None, target: str, table: pa.Table, y: np.ndarray, names: list[str]) -> Importance:
    n = len(y)
    if n > MOST:
        kept = np.linspace(0, n - 1, MOST).astype(int)
        table, y = table.take(kept), y[kept]
    blocks = {name: columns for name in names if (columns := _columns(table, name)) is not None}
    reason = None
    if n < FEWEST:
        reason = f"too few trials: {n} with this figure, at least {FEWEST} are needed"
    elif np.ptp(y) == 0:
        reason = f"the same in all {n} trials"
    elif not blocks:
        reason = "no parameter varies"
    if reason is not None:
        return Importance(arm, target, n, None, {}, reason)
    scores, losses = _folds(blocks, y)
    score = _corrected(scores)
    told = {name.removeprefix("param_"): _corrected(loss) for name, loss in zip(blocks, losses.T, strict=True)}
    if score.lower is not None and score.lower <= 0:
        reason = (
            f"{n} trials do not tell: held-out trials are not surely predicted better than by their mean "
            f"(R² {score.mean:.2f} [{score.lower:.2f}, {score.upper:.2f}])"
        )
    return Importance(arm, target, n, score, dict(sorted(told.items(), key=lambda t: -t[1].mean)), reason)


def _columns(table: pa.Table, name: str) -> np.ndarray | None:
    """A parameter's columns (n, c): itself, or one a word; NaN where a trial has none. None where it never varies."""
    column = table[name]
    if not (pa.types.is_dictionary(column.type) or pa.types.is_string(column.type)):
        found = values_of(table, name)[:, None]
        varies = len(np.unique(found[np.isfinite(found)])) > 1
    else:
        words = np.array(column.to_pylist(), dtype=object)
        options = sorted({w for w in words.tolist() if w is not None})
        varies = len(options) > 1  # none at all where every trial failed
        found = np.stack([(words == o).astype(float) for o in options], axis=1) if varies else np.empty((len(words), 0))
    return found if varies else None


def _folds(blocks: dict[str, np.ndarray], y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R² on the held-out trials of each fold (f,), and what it loses by each parameter's shuffling (f, p)."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    x = np.concatenate(list(blocks.values()), axis=1)
    ends = np.cumsum([b.shape[1] for b in blocks.values()])
    scores, losses = [], []
    for fold, (learned, kept) in enumerate(KFold(FOLDS, shuffle=True, random_state=0).split(x)):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=fold).fit(x[learned], y[learned])
        rng, variance = np.random.default_rng(fold), y.var()
        error = ((forest.predict(x[kept]) - y[kept]) ** 2).mean()
        lost = []
        for end, block in zip(ends, blocks.values(), strict=True):
            shuffled = np.repeat(x[kept][None], SHUFFLES, axis=0)
            has = np.flatnonzero(
                np.isfinite(block[kept]).all(axis=1)
            )  # a conditional parameter: among trials that have it
            for copy in shuffled:
                copy[has, end - block.shape[1] : end] = block[kept][rng.permutation(has)]
            worse = forest.predict(shuffled.reshape(-1, x.shape[1])).reshape(SHUFFLES, -1)
            lost.append((((worse - y[kept]) ** 2).mean() - error) / variance)
        scores.append(1 - error / variance)
        losses.append(lost)
    return np.array(scores), np.array(losses)


def _corrected(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean over folds with its t interval, the variance corrected for their overlap: 1/f + held out/learned from."""
    found = np.asarray(values, dtype=float)
    spread = found.std(ddof=1) * math.sqrt(1 / len(found) + 1 / (FOLDS - 1))
    half = float(stdtrit(len(found) - 1, 0.975)) * float(spread)
    mean = float(found.mean())
    return Estimate(mean, mean - half, mean + half, len(found))
