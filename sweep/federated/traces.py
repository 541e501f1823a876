"""What TensorBoard and trackers are given of federated trials: a curve for each party, published images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sweep.procedures import Row
from sweep.procedures.traces import NoTraces, Picture
from sweep.space import SearchSpace


class Traces(NoTraces):
    """The `sweep.procedures.traces.Traces` of federated trials."""

    def facts(self) -> Sequence[str]:
        """Keys by which what is published is found in the store."""
        return ("synthesizer", "synthetic")

    def pictures(self, space: SearchSpace, replicate: Row, curves: Iterable[Row]) -> Sequence[Picture]:
        """Some of the published images; of tables none."""
        key, last = replicate.get("score"), max((row["round"] for row in curves), default=0)
        images = replicate.get("cross_agreement") is not None
        return [(key, "published", last)] if key and images else []
