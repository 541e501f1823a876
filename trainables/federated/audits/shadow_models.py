"""The paper's audits ASSD and ASIF (arXiv 2404.09722): can a forest tell models that were trained with one row from those without?

Of each model a vector of features is taken: for ASSD of its synthetic rows, for ASIF of what its local critic gives of the real
table, in the numbers it was trained on. Models come in pairs of one seed, with and without the row, and a pair is never divided
between training and test. Two models of a pair began alike, so that their guesses are not independent: the accuracy's interval
is of pairs (`clustered_interval`). Of 30 pairs at .5 it is about ± .13 where a pair's guesses have nothing to do with each other,
and ± .19 where both are right or both wrong. The ε that is proven takes each rate's exact interval, of models of different seeds;
that both hold together (Bonferroni) supposes nothing of the pairs.

A local critic's features have no order that models of different seeds share, so that what is taken of each by itself means another
thing in every model. What heads give of the row is added, which means the same in all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier

from trainables.federated.audits.intervals import CONFIDENCE, clustered_interval, epsilon_of_rates
from trainables.federated.synthesizers import Synthesizer

TEST_SHARE = 0.3
TREES = 1000
DEPTH = 3
FEWEST_PAIRS = 4


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


def published_features(synthetic: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """What ASSD takes of a model's synthetic rows (N, d), by name; `target` is the row (d,) that models have or lack."""
    return {
        "correlations": correlations(synthetic),
        "moments": moments(synthetic),
        "nearest": nearest(target)(synthetic),
    }


def critics_features(rows: torch.Tensor, target: torch.Tensor, synthesizer: Synthesizer) -> dict[str, np.ndarray]:
    """What ASIF takes of a model's critics, by name: correlations and moments of f_k (N, features) of the real rows (N, d), in the
    numbers that they were trained on; and, of each head, how many standard deviations the row `target` (d,) lies above the mean.
    """
    critics, parties = synthesizer.critics, synthesizer.parties
    with torch.inference_mode():
        features = critics.features(parties.split(torch.cat([rows, target[None]])))
        heads = [head(torch.cat([features[k] for k in heard], dim=1)).double() for head, heard in critics.heads()]
    taken: dict[str, np.ndarray] = {}
    for number, of_party in enumerate(features, 1):
        of_rows = of_party[:-1].double().numpy()
        taken |= {f"C_{number} correlations": correlations(of_rows), f"C_{number} moments": moments(of_rows)}
    places = [(values[-1] - values[:-1].mean()) / values[:-1].std().clamp(min=1e-12) for values in heads]
    return taken | {"heads": torch.cat(places).numpy()}


@dataclass(frozen=True)
class Attack:
    """What a forest got right on models it had not seen: `right` of `models`, a 95 % interval, and the ε that this proves.

    `ceiling` is what it would have proven had all been right.
    """

    right: int
    models: int
    low: float
    high: float
    epsilon: float
    ceiling: float

    @property
    def accuracy(self) -> float:
        return self.right / self.models


def forest_attack(
    with_row: np.ndarray, without_row: np.ndarray, seed: int, delta: float = 0.0, trees: int = TREES, looks: int = 1
) -> Attack:
    """An attack on models trained with the row (n, f) and, seed by seed, without it (n, f): 70 % of the pairs to learn from.

    Where it is one of several `looks` that are reported side by side, ε is proven at a level that is divided by their number.
    ValueError where the two are not as many, or fewer than four.
    """
    if with_row.shape != without_row.shape or len(with_row) < FEWEST_PAIRS:
        raise ValueError(f"{len(with_row)} models with the row and {len(without_row)} without: give four pairs or more")
    order = np.random.default_rng(seed).permutation(len(with_row))
    tested = max(1, round(TEST_SHARE * len(order)))
    test, training = order[:tested], order[tested:]
    forest = RandomForestClassifier(trees, max_depth=DEPTH, random_state=seed % 2**32)
    forest.fit(np.concatenate([with_row[training], without_row[training]]), np.repeat([1, 0], len(training)))
    hits, cleared = forest.predict(with_row[test]) == 1, forest.predict(without_row[test]) == 0
    pairs = hits.astype(int) + cleared
    confidence = 1 - (1 - CONFIDENCE) / looks
    proven = epsilon_of_rates(int(hits.sum()), tested, int((~cleared).sum()), tested, delta, confidence)
    ceiling = epsilon_of_rates(tested, tested, 0, tested, delta, confidence)
    return Attack(int(pairs.sum()), 2 * tested, *clustered_interval(pairs, 2), proven, ceiling)
