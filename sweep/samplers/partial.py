"""What a trial that was stopped would have had: its figures, regressed on what it had shown by then.

Trials that ran to their end have shown the same things on their way and have the figures too; a ridge regression of these on
those, its strength and its error by leaving trials out, says what a stopped one was worth and how surely.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sweep.records import COMPLETE, FAIL
from sweep.samplers import Observation
from sweep.samplers.encoding import Array

FEWEST = 8  # whole trials that a regression rests on
STRENGTHS = 10.0 ** np.arange(-3, 3)  # of the ridge, in units of the trials' number


def predictions(observations: Sequence[Observation], metric: str) -> dict[int, tuple[float, float]]:
    """By row of `observations`: mean and standard error of a figure that the trial never reached, where it can be told."""
    whole = [o for o in observations if o.state == COMPLETE and metric in o.figures]
    found: dict[int, tuple[float, float]] = {}
    lacking: dict[tuple[str, ...], list[int]] = {}
    for row, o in enumerate(observations):
        if o.state != FAIL and metric not in o.figures and len(o.shown) > 1:
            lacking.setdefault(tuple(sorted(o.shown)), []).append(row)
    for names, rows in lacking.items():
        some = [o for o in whole if all(name in o.shown for name in names)]
        if len(some) < FEWEST:
            continue
        shown, figures = _matrix(some, names), np.array([o.figures[metric] for o in some])
        means, errors = _ridge(shown, figures, _matrix([observations[row] for row in rows], names))
        found |= {row: (float(m), float(e)) for row, m, e in zip(rows, means, errors, strict=True)}
    return found


def _matrix(observations: Sequence[Observation], names: Sequence[str]) -> Array:
    return np.array([[o.shown[name] for name in names] for o in observations])


def _ridge(shown: Array, figures: Array, at: Array) -> tuple[Array, Array]:
    """Predictions (m,) and their standard errors: the error left out, widened by how far off a place is."""
    n = len(shown)
    centre, spread = shown.mean(0), np.maximum(shown.std(0), 1e-9)
    x, y, x_at = (shown - centre) / spread, figures - figures.mean(), (at - centre) / spread
    best: tuple[float, Array] | None = None
    for strength in STRENGTHS:
        inverse = np.linalg.inv(x.T @ x + strength * n * np.eye(x.shape[1]))
        hat = x @ inverse @ x.T
        left_out = (y - hat @ y) / np.maximum(1 - 1 / n - np.diag(hat), 1e-6)
        error = float(np.mean(left_out**2))
        if best is None or error < best[0]:
            best = error, inverse
    assert best is not None
    error, inverse = best
    means = figures.mean() + x_at @ inverse @ (x.T @ y)
    widened = 1 + 1 / n + np.einsum("ij,jk,ik->i", x_at, inverse, x_at)
    return means, np.sqrt(error * widened)
