"""Which artifacts hold the pictures of one replicate: before unlearning, after it, and after each attack."""

from __future__ import annotations

from collections.abc import Iterable

from sweep.procedures import Row
from sweep.procedures.traces import Picture


def sample_grids(figures: Row, curves: Iterable[Row], last: int) -> list[Picture]:
    """(artifact key, what it is, attack step), from a replicate's row and curves; `last` is the last rung.

    The base model's samples are of the same noise. Nothing of a replicate that was never scored.
    """
    attacked = {r["attack"]: r["artifact"] for r in curves if r["attack_step"] == last and r["artifact"]}
    before, score = figures.get("base_score"), figures.get("score")
    pictures = [(before, "before unlearning", 0)] if before else []
    pictures += [(score, "unlearned", 0)] if score else []
    return pictures + [(key, f"after {attack}", last) for attack, key in attacked.items()]
