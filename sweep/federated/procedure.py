"""Vertical federated GANs as a procedure: partition, train under a mechanism, synthesise, score, audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sweep.federated.columns import (
    BLIND_FD,
    BLIND_PARTY_FD,
    SHUFFLED_FD,
    WANTED_EPSILON,
    columns,
    counts_of,
)
from sweep.procedures import Procedure, Row
from sweep.space import SearchSpace

if TYPE_CHECKING:  # a procedure's columns are asked for without its flags and its trials
    from sweep.federated.setup import Setup
    from sweep.plan.plan import Plan
    from sweep.procedures import Knowledge, Preparing, Release, Tell
    from sweep.procedures.panels import Panels
    from sweep.procedures.sections import Sections
    from sweep.procedures.traces import Traces


def setup_class() -> type[Setup]:
    """The flags' frozen dataclass."""
    from sweep.federated.setup import Setup

    return Setup


def _check(space: SearchSpace) -> None:
    from sweep.federated.question import check

    check(space)


def _estimate(plan: Plan[Setup], space: SearchSpace) -> dict[str, float]:
    from sweep.federated.cost import estimate

    return estimate(plan, space)


def _preparing(plan: Plan[Setup]) -> Preparing:
    from sweep.federated.preparation import Preparation

    return Preparation(plan)


def _knowledge(space: SearchSpace, prepared: Row, plan: Row) -> Knowledge:
    from sweep.federated.knowledge import Knowledge

    return Knowledge(plan.get("samples") or 0)


def _sections() -> Sections:
    from sweep.federated.sections import Sections

    return Sections()


def _panels() -> Panels:
    from sweep.federated.page_panels import FederatedPanels

    return FederatedPanels()


def _traces() -> Traces:
    from sweep.federated.traces import Traces

    return Traces()


def _export(run: str, replicate: Row, folder: Path, artifacts: str) -> Path:
    from sweep.federated.exporting import export

    return export(run, replicate, folder, artifacts)


def _release(run: str, replicate: Row, folder: Path, asked: Release, tell: Tell) -> Path:
    from sweep.federated.releasing import release

    return release(run, replicate, folder, asked, tell)


PROCEDURE = Procedure(
    name="federated",
    columns=columns,
    setup=setup_class,
    check=_check,
    estimate=_estimate,
    preparing=_preparing,
    knowledge=_knowledge,
    counts=counts_of,
    sections=_sections,
    panels=_panels,
    bounds={
        WANTED_EPSILON: "the ε wanted",
        BLIND_FD: "the fd of rows that know the schema alone",
        SHUFFLED_FD: "the fd of real rows whose parties are shuffled",
        BLIND_PARTY_FD: "the party_fd of rows that know the schema alone",
    },
    estimated_on="timed with digits on a CPU, scaled by the nets' size",
    traces=_traces,
    export=_export,
    release=_release,
)
