"""What TensorBoard and trackers are given of relearning: a curve for every attack, the unlearned model's key, sample grids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sweep.procedures import Row
from sweep.procedures.traces import Picture
from sweep.relearning.columns import RELEARNED
from sweep.space import SearchSpace


class Traces:
    """The `sweep.procedures.traces.Traces` of relearning."""

    def tags(self, space: SearchSpace) -> Sequence[str]:
        """``relearning_accuracy/ATTACK``."""
        attacks = dict.fromkeys(a.name for a in (*space.search_attacks, *space.confirm_attacks))
        return [f"{RELEARNED}/{attack}" for attack in attacks]

    def begins_at_start(self, metric: str) -> bool:
        """Relearning accuracy rises from what is shown before any attack; the others are compared with themselves alone."""
        return metric == RELEARNED

    def facts(self) -> Sequence[str]:
        """The unlearned model's key, by which it is found in the store."""
        return ("unlearned_model",)

    def pictures(self, space: SearchSpace, replicate: Row, curves: Iterable[Row]) -> Sequence[Picture]:
        """Sample grids before unlearning, after it, and after each attack's last rung, those before it of the same noise.

        None of a replicate that was never scored.
        """
        last = space.rungs[-1]
        attacked = {r["attack"]: r["artifact"] for r in curves if r["attack_step"] == last and r["artifact"]}
        before, score = replicate.get("base_score"), replicate.get("score")
        pictures = [(before, "before unlearning", 0)] if before else []
        pictures += [(score, "unlearned", 0)] if score else []
        return pictures + [(key, f"after {attack}", last) for attack, key in attacked.items()]

    def figures(self) -> Sequence[str]:
        """The recovery curves."""
        return ("recovery",)
