"""Procedures: a kind of trial each, as one value that says what its trials are about and how they are prepared and told.

A procedure is a room of sweep, ``sweep/NAME/procedure.py`` with its `PROCEDURE`, beside ``trainables/NAME/trial.py``, which runs
its trials. It is found by its name, which a question says (`SearchSpace.procedure`), so that the rooms below it import none.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from sweep.errors import UsageError, near
from sweep.procedures.columns import START, Columns, column, facts_of
from sweep.procedures.setup import Setup
from sweep.procedures.traces import NoTraces, Traces
from sweep.space import Arm, SearchSpace
from sweep.space.question import DEFAULT_PROCEDURE as DEFAULT

if TYPE_CHECKING:  # both import scipy, and a plan is to be checked in no time
    from sweep.procedures.panels import Panels
    from sweep.procedures.sections import Sections

__all__ = [
    "DEFAULT", "START", "Columns", "Counts", "Execute", "Knowledge", "Preparing", "Procedure", "Release", "Row", "Setup", "Spec",
    "Specs", "Task", "Tasks", "Tell", "column", "facts_of", "named", "names",
]  # fmt: skip

Row: TypeAlias = Mapping[str, Any]
Counts: TypeAlias = dict[tuple[str, int], dict[str, int]]  # (trial_id, replicate) -> N by kind of samples
Tell = Callable[[str], None]
"""Says what happens, in one line."""


class Task(NamedTuple):
    """A function to call, its arguments, and the names of the tasks that must be done before it."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()


Tasks = dict[str, Task]
"""By name; each stands after those it needs."""
Execute = Callable[[Tasks], dict[str, Any]]
"""Does tasks and gives their artifacts by name: on Ray each as soon as what it needs is done, or one after the other here."""


class Spec(Protocol):
    """What one replicate of a trial is asked to do: plain values that travel as JSON to whoever runs it."""

    @property
    def procedure(self) -> str: ...
    @property
    def trial_id(self) -> str: ...
    @property
    def replicate(self) -> int: ...
    @property
    def method(self) -> str: ...
    @property
    def seed(self) -> int: ...
    def to_json(self) -> dict[str, Any]: ...


class Specs(Protocol):
    """What replicates of a run are asked to do, as its plan and question say it; the bounds are numbers by now."""

    @property
    def controls(self) -> tuple[str, ...]:
        """What is run beside the trials and searched by nobody, by its name behind ``control-``."""
        ...

    @property
    def leading_control(self) -> str | None:
        """The control whose first stage others on its seed begin with too, and find made if they begin after it; None of none."""
        ...

    def of(self, trial_id: str, replicate: int, arm: Arm, parameters: Mapping[str, Any], gate: bool = False) -> Any:
        """The `Spec` of a replicate of a trial with these parameters; with `gate`, stopped early where it surely is infeasible."""
        ...

    def reduced(self, spec: Any, arm: Arm, figures: Collection[str]) -> tuple[Any, float]:
        """The cheapest spec of the same replicate that gives these figures, and what it costs as a part of the whole one."""
        ...

    def of_control(self, control: str, replicate: int) -> Any:
        """The `Spec` of a replicate of a control, whose method is ``none``."""
        ...

    def parameters_of(self, arm: Arm, replicate: Row) -> dict[str, Any] | None:
        """What the sampler chose for a trial, by its replicate's row and artifacts; None where they don't say."""
        ...

    def begins_with(self, arm: Arm, replicate: int) -> str:
        """Key of the product that all trials of an arm make or find first in this replicate; empty where each has its own."""
        ...

    def keys_used(self, spec: Any) -> set[str]:
        """Keys of artifacts that a replicate stands on while it runs."""
        ...

    def keys_made(self, spec: Any, arm: Arm, stages: Iterable[str]) -> Iterator[str]:
        """Keys of what a replicate makes for itself alone, checkpoints included; `stages` are those that it has recorded."""
        ...


class Release(NamedTuple):
    """What a release is to be, beside the trial whose settings it is trained by; what is left empty is as in the trial's run."""

    samples: int | None = None  # how many synthetic rows
    device: str = ""
    artifacts: str = ""  # where the artifact store lies now, if it was moved
    data_folder: str = ""  # where the data's files lie now, likewise


class Preparing(Protocol):
    """What is made once for all trials of a plan. May import torch: it is asked for once a run begins."""

    def check(self, space: SearchSpace) -> None:
        """UsageError for what is wrong with the plan's models, data and settings; before anything is written."""
        ...

    def resolved(self) -> Setup:
        """The plan's setup with what is fixed for good as the run begins: a commit of a hub, say."""
        ...

    def begin(self) -> None:
        """UsageError where the plan's models cannot be had, before workers are started."""
        ...

    def prepare(self, space: SearchSpace, execute: Execute, tell: Tell) -> dict[str, Any]:
        """Find or make every shared artifact; what ``prepared.json`` holds: ``keys``, ``shared``, and the bounds by their words."""
        ...

    def specs(self, space: SearchSpace, prepared: Row) -> Specs:
        """What replicates are asked to do once that is prepared."""
        ...

    def code_differs(self, prepared: Row) -> str:
        """Which of a run's prepared artifacts other code or libraries made, so that its figures would mix with ours; else empty."""
        ...

    def progress(self, waiting: Sequence[str]) -> str:
        """How far the tasks are that are still waited for, in one line."""
        ...


class Knowledge(Protocol):
    """What rows say of a run's figures beyond their values: to samplers, stopping rules and whoever chooses what to confirm."""

    def errors(self, figures: Row, curves: Sequence[Row]) -> dict[str, float]:
        """Standard errors of one replicate's figures over sampling, by figure and in its unit, as far as they are known."""
        ...

    def possible(self, curves: Sequence[Row]) -> dict[str, tuple[float, float]]:
        """Of a trial that goes on, by figure: the best that it can still be, and that bound's standard error."""
        ...

    def sd(self, figure: str, value: float) -> float:
        """Standard deviation of one replicate's figure over seeds, training seeds included; 0 where it is not known."""
        ...


@dataclass(frozen=True)
class Procedure:
    """A kind of trial. Its parts are functions, so that a command imports no more than it asks for.

    `bounds` are the words that may stand for a constraint's bound, whose numbers `Preparing.prepare` finds, each with its
    name in words. `setup` gives the frozen dataclass of flags that says what trials are about. `check` refuses, by a UsageError,
    what a question asks of its trials. `estimate` are rough core-seconds of a plan's phases: ``prepare``, ``search``,
    ``confirm``, and ``wall`` seconds of all.
    """

    name: str
    columns: Callable[[], Columns]
    setup: Callable[[], type[Setup]]
    check: Callable[[SearchSpace], None]
    estimate: Callable[[Any, SearchSpace], dict[str, float]]
    preparing: Callable[[Any], Preparing]  # of a plan
    knowledge: Callable[[SearchSpace, Row, Row], Knowledge]  # of a question, prepared.json and plan.json's values
    counts: Callable[[Iterable[Row], Iterable[Row]], Counts]  # of replicates, and of the curves of `Columns.counted_by`
    sections: Callable[[], Sections]
    panels: Callable[[], Panels]
    bounds: Mapping[str, str]
    estimated_on: str = ""  # what the estimate rests on, in words
    traces: Callable[[], Traces] = NoTraces
    # Of a run, saves a replicate by its row in a new folder; last is where the artifact store lies now, if it was moved.
    export: Callable[[str, Row, Path, str], Path] | None = None
    # Of a run, trains a trial's replicate once more for a release and saves what may be given away in a new folder.
    release: Callable[[str, Row, Path, Release, Tell], Path] | None = None


def names() -> list[str]:
    """The procedures that there are."""
    return sorted(path.parent.name for path in Path(__file__).parents[1].glob("*/procedure.py"))


@cache
def named(name: str) -> Procedure:
    """The procedure of this name; UsageError where there is none."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name not in names():
        raise UsageError(f"procedure {name!r}: unknown; {near(name, names())}")
    procedure = importlib.import_module(f"sweep.{name}.procedure").PROCEDURE
    assert isinstance(procedure, Procedure)
    return procedure
