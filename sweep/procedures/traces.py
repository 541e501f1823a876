"""What a procedure adds to what TensorBoard and trackers are given of its trials. Every part may be empty, as in `NoTraces`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from sweep.space import SearchSpace

Picture: TypeAlias = tuple[str, str, int]
"""The key of the artifact whose tensors are its images, by condition; what it shows; and a step."""


class Traces(Protocol):
    """What TensorBoard and trackers are given beside the figures, the parameters and the curves of every procedure."""

    def tags(self, space: SearchSpace) -> Sequence[str]:
        """Tags of curves that boards are to know of before any trial has points of them."""
        ...

    def begins_at_start(self, metric: str) -> bool:
        """Whether a metric's points of `START` belong to its curve in every series; where not, they are told as figures alone."""
        ...

    def facts(self) -> Sequence[str]:
        """Columns of the replicates that trackers are given beside `Columns.conditions`."""
        ...

    def pictures(
        self, space: SearchSpace, replicate: Mapping[str, Any], curves: Iterable[Mapping[str, Any]]
    ) -> Sequence[Picture]:
        """The pictures of a replicate, by its row and its curves."""
        ...

    def figures(self) -> Sequence[str]:
        """Tags of the figures of curves that the page draws of a whole run, as they are called on a board."""
        ...


class NoTraces:
    """Those of a procedure that adds nothing: its curves begin at their points of `START`."""

    def tags(self, space: SearchSpace) -> Sequence[str]:
        return ()

    def begins_at_start(self, metric: str) -> bool:
        return True

    def facts(self) -> Sequence[str]:
        return ()

    def pictures(
        self, space: SearchSpace, replicate: Mapping[str, Any], curves: Iterable[Mapping[str, Any]]
    ) -> Sequence[Picture]:
        return ()

    def figures(self) -> Sequence[str]:
        return ()
