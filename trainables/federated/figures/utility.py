"""Train on synthetic rows, test on real ones: how much worse a classifier gets than one that was trained on real rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, f1_score

TREES = 100


@dataclass(frozen=True)
class Utility:
    """Accuracy and macro-averaged F1 on real rows."""

    accuracy: float
    macro_f1: float


def utility(rows: np.ndarray, labels: np.ndarray, test_rows: np.ndarray, test_labels: np.ndarray, seed: int) -> Utility:
    """A random forest trained on rows (n, d) with labels (n,), tested on others.

    Synthetic rows of one label alone make a forest that knows no other: a low figure, and no error.
    """
    forest = RandomForestClassifier(TREES, random_state=seed % 2**32).fit(rows, labels)
    named = forest.predict(test_rows)
    return Utility(float(accuracy_score(test_labels, named)), float(f1_score(test_labels, named, average="macro")))


def utility_gap(
    real: tuple[np.ndarray, np.ndarray],
    synthetic: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> float:
    """Accuracy trained on real rows less accuracy trained on synthetic ones, both on the test rows; each (rows, labels).

    As many real rows as synthetic ones are learnt from, where there are more of the one: more rows alone make a better forest.
    """
    number = min(len(real[0]), len(synthetic[0]))
    chosen = [np.random.default_rng(seed).permutation(len(rows))[:number] for rows, _ in (real, synthetic)]
    accuracy = [
        utility(rows[some], labels[some], *test, seed).accuracy
        for (rows, labels), some in zip((real, synthetic), chosen, strict=True)
    ]
    return accuracy[0] - accuracy[1]
