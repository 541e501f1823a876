"""Closed-form edits written out: which tokens become which, found by reading, and the weights by least squares on stacked rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from text_problem import LENGTH, NULL, TEXTS

from trainables.denoisers.text_unet import TextUNet

SCALES = {"erase_scale": 1.3, "preserve_scale": 0.7, "ridge": 0.4}
Pairs = list[tuple[int, int]]


def word_positions(row: int) -> dict[str, int]:
    """Where the words of a prompt are, its first token at 0; of one that comes twice, the last."""
    return {word: i + 1 for i, word in enumerate(TEXTS[row])}


def pointed_at(row: int, anchor: int, positions: str) -> Pairs:
    """Which position becomes which of the anchor's, found by reading: a sneaker's last token is "ker", a bag's "bag"."""
    if positions == "all":
        return [(i, i) for i in range(LENGTH)]
    if positions == "last":
        return [(len(TEXTS[row]), len(TEXTS[anchor]))]
    ours, theirs = word_positions(row)["ker"], word_positions(anchor)["bag"]
    pairs = []
    while max(ours, theirs) < LENGTH:
        pairs.append((ours, theirs))
        ours, theirs = ours + 1, theirs + 1
    return pairs


def kept_at(row: int, positions: str) -> list[int]:
    last = len(TEXTS[row]) if row != NULL else 0
    return {"all": list(range(LENGTH)), "last": [last], "tail": list(range(last, LENGTH))}[positions]


def least_squares(
    w0: np.ndarray, c: np.ndarray, a: np.ndarray, kept: np.ndarray, e: float, p: float, ridge: float
) -> Any:
    """argmin_W λ‖W - W₀‖² + e Σ‖W c - W₀ a‖² + p Σ‖W r - W₀ r‖², from the stacked rows."""
    rows = np.concatenate([np.sqrt(ridge) * np.eye(w0.shape[1]), np.sqrt(e) * c, np.sqrt(p) * kept])
    values = np.concatenate([np.sqrt(ridge) * w0.T, np.sqrt(e) * a @ w0.T, np.sqrt(p) * kept @ w0.T])
    return np.linalg.lstsq(rows, values, rcond=None)[0].T


def kv_names(model: TextUNet) -> set[str]:
    return {n for n, _ in model.named_parameters() if n.endswith((".attn2.to_k.weight", ".attn2.to_v.weight"))}
