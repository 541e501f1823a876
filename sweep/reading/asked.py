"""For the sake of which figures each replicate of a run's confirm phase was run: of bounds alone, or of all that is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sweep.reading.arm import sure_of
from sweep.reading.trial import Row
from sweep.records.names import replicate_of
from sweep.records.tables import FIRST_SEEDS, adaptive


@dataclass(frozen=True)
class Asked:
    """What was asked of a run's replicates on fresh seeds.

    Their rows do not say it: one that failed has no figures, and where every figure that the question asks for is to be had of
    a reduced one, that has them all.
    """

    recorded: Mapping[str, frozenset[str] | None]  # by name, of those that were asked for because something was open
    first: frozenset[str] | None  # of those that all trials have first: see `first_figures`

    @classmethod
    def of(cls, plan: Row, confirmation: Row) -> Asked:
        """By a run's plan and what its confirmation recorded."""
        recorded = {
            name: None if figures is None else frozenset(figures)
            for name, figures in confirmation.get("asked", {}).items()
        }
        first = None
        if adaptive(sure_of(plan), plan["confirm_seeds"]):
            first = first_figures(len(plan["objectives"]), (c["metric"] for c in plan["constraints"]))
        return cls(recorded, first)

    def figures(self, name: str) -> frozenset[str] | None:
        """Those that the replicate of this name was run for; None of a whole one."""
        if name in self.recorded:
            return self.recorded[name]
        return self.first if FIRST_SEEDS < replicate_of(name)[1] <= 2 * FIRST_SEEDS else None


def first_figures(objectives: int, bounded: Iterable[str]) -> frozenset[str] | None:
    """What all trials are run for first, on the seeds after those of whole replicates; None where that is all that is asked.

    One objective ranks what is reported, so all that are need it.
    """
    return (frozenset(bounded) or None) if objectives > 1 else None
