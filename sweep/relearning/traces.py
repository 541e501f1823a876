"""What TensorBoard and trackers are given of relearning: a curve for every attack, the unlearned model's key, sample grids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sweep.procedures import Row
from sweep.procedures.traces import Picture
from sweep.relearning.columns import RELEARNED
from sweep.relearning.pictures import sample_grids
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
        """Sample grids before unlearning, after it, and after the last rung of each attack."""
        return sample_grids(replicate, curves, space.rungs[-1])

    def figures(self) -> Sequence[str]:
        """The recovery curves."""
        return ("recovery",)
