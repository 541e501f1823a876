"""Distances between two sets of features, by one matrix product and never an (N, M, d) array."""

from __future__ import annotations

import numpy as np


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) squared Euclidean distances of rows of `a` (N, d) to rows of `b` (M, d); rounding leaves none below 0."""
    return np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0)


def nearest_squared_distance(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N,) squared distance of each point (N, d) to its nearest target (M, d), 1,024 points at a time."""
    parts = np.array_split(points, len(points) // 1024 + 1)
    return np.concatenate([squared_distances(part, targets).min(axis=1) for part in parts])


def neighbour_squared_distance(points: np.ndarray, k: int) -> np.ndarray:
    """(N,) squared distance of each point (N, d) to its k-th nearest other one; needs N > k."""
    distances = []
    for rows in np.array_split(np.arange(len(points)), len(points) // 1024 + 1):
        squared = squared_distances(points[rows], points)
        squared[np.arange(len(rows)), rows] = np.inf  # a point is no neighbour of its own
        distances.append(np.partition(squared, k - 1, axis=1)[:, k - 1])
    return np.concatenate(distances)
