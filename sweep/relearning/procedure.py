"""Relearning as a procedure: a model unlearns, is scored, and is attacked rung by rung until what it forgot is back, or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sweep.procedures import Procedure, Row
from sweep.relearning.columns import FID_BUDGET, columns, counts_of
from sweep.space import SearchSpace

if TYPE_CHECKING:  # a procedure's columns are asked for without its flags and its trials
    from sweep.plan.plan import Plan
    from sweep.procedures import Knowledge, Preparing
    from sweep.procedures.panels import Panels
    from sweep.procedures.sections import Sections
    from sweep.procedures.traces import Traces
    from sweep.relearning.setup import Setup


def setup_class() -> type[Setup]:
    """The flags' frozen dataclass."""
    from sweep.relearning.setup import Setup

    return Setup


def _check(space: SearchSpace) -> None:
    from sweep.relearning.question import check

    check(space)


def _estimate(plan: Plan[Setup], space: SearchSpace) -> dict[str, float]:
    from sweep.relearning.cost import estimate

    return estimate(plan, space)


def _preparing(plan: Plan[Setup]) -> Preparing:
    from sweep.relearning.preparation import Preparation

    return Preparation(plan)


def _knowledge(space: SearchSpace, prepared: Row, plan: Row) -> Knowledge:
    from sweep.relearning.knowledge import knowledge_of

    return knowledge_of(space, prepared, plan)


def _sections() -> Sections:
    from sweep.relearning.sections import Sections

    return Sections()


def _panels() -> Panels:
    from sweep.relearning.page_panels import RelearningPanels

    return RelearningPanels()


def _traces() -> Traces:
    from sweep.relearning.traces import Traces

    return Traces()


def _export(run: str, replicate: Row, folder: Path, artifacts: str) -> Path:
    from sweep.relearning.exporting import export

    return export(run, replicate, folder, artifacts)


PROCEDURE = Procedure(
    name="relearning",
    columns=columns,
    setup=setup_class,
    check=_check,
    estimate=_estimate,
    preparing=_preparing,
    knowledge=_knowledge,
    counts=counts_of,
    sections=_sections,
    panels=_panels,
    bounds={FID_BUDGET: "the FID budget"},
    estimated_on="timed with digits on a CPU, scaled by the size of base model and images",
    traces=_traces,
    export=_export,
)
