"""The paper's audits ASSD and ASIF (arXiv 2404.09722): can a forest tell models that were trained with one row from those without?

Of each model a vector of features is taken: for ASSD of its synthetic rows, for ASIF of what its local critic gives of the real
table, in the numbers it was trained on. Models come in pairs of one seed, with and without the row, and a pair is never divided
between training and test. Two models of a pair began alike, so that their guesses are not independent: the accuracy's interval
is of pairs (`clustered_interval`). Of 30 pairs at .5 it is about ± .13 where a pair's guesses have nothing to do with each other,
and ± .19 where both are right or both wrong. The ε that is proven takes each rate's exact interval, of models of different seeds;
that both hold together (Bonferroni) supposes nothing of the pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from trainables.federated.audits.intervals import clustered_interval, epsilon_of_rates

TEST_SHARE = 0.3
TREES = 1000
DEPTH = 3


def correlations(rows: np.ndarray) -> np.ndarray:
    """The upper triangle of the correlation matrix of rows (N, d), without its diagonal; 0 where a column is constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        matrix = np.corrcoef(rows, rowvar=False)
    return np.nan_to_num(matrix[np.triu_indices(rows.shape[1], k=1)])


def moments(rows: np.ndarray) -> np.ndarray:
    """Mean, median and variance of each column of rows (N, d): 3 d numbers."""
    return np.concatenate([rows.mean(axis=0), np.median(rows, axis=0), rows.var(axis=0)])


def nearest(target: np.ndarray, k: int = 10) -> Callable[[np.ndarray], np.ndarray]:
    """Features of rows (N, d): the k least distances to the target row (d,), in order (as in arXiv 2409.03612)."""

    def distances(rows: np.ndarray) -> np.ndarray:
        return np.sort(np.linalg.norm(rows - target, axis=1))[:k]

    return distances


@dataclass(frozen=True)
class Attack:
    """What a forest got right on models it had not seen: `right` of `models`, a 95 % interval, and the ε that this proves."""

    right: int
    models: int
    low: float
    high: float
    epsilon: float

    @property
    def accuracy(self) -> float:
        return self.right / self.models


def forest_attack(
    with_row: np.ndarray, without_row: np.ndarray, seed: int, delta: float = 0.0, trees: int = TREES
) -> Attack:
    """An attack on models trained with the row (n, f) and, seed by seed, without it (n, f): 70 % of the pairs to learn from.

    ValueError where the two are not as many, or fewer than four.
    """
    if with_row.shape != without_row.shape or len(with_row) < 4:
        raise ValueError(f"{len(with_row)} models with the row and {len(without_row)} without: give four pairs or more")
    order = np.random.default_rng(seed).permutation(len(with_row))
    tested = max(1, round(TEST_SHARE * len(order)))
    test, training = order[:tested], order[tested:]
    forest = RandomForestClassifier(trees, max_depth=DEPTH, random_state=seed % 2**32)
    forest.fit(np.concatenate([with_row[training], without_row[training]]), np.repeat([1, 0], len(training)))
    hits, cleared = forest.predict(with_row[test]) == 1, forest.predict(without_row[test]) == 0
    pairs = hits.astype(int) + cleared
    proven = epsilon_of_rates(int(hits.sum()), len(test), int((~cleared).sum()), len(test), delta)
    return Attack(int(pairs.sum()), 2 * len(test), *clustered_interval(pairs, 2), proven)
