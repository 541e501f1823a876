"""What a procedure adds to what readers of a run are told: words for its figures, and rows beside those of every comparison.

Every part may be empty: a procedure that adds nothing has `NoSections`, and one that adds little derives from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sweep.space import Constraint
from sweep.statistics.estimates import Estimate


@dataclass(frozen=True)
class Difference:
    """One figure of two members: both means, and the mean of main - baseline over the seeds they share.

    A figure of a curve has its place: the `series`, the `step`, and whether that series `counts`, that is, enters the figures
    that trials are judged by. `name` says all of it in words, `brief` in as few as a line of a terminal has room for.
    """

    figure: str
    series: str | None  # None for a figure of the whole trial
    step: int | None
    counts: bool
    better: str  # maximise or minimise
    main: Estimate
    baseline: Estimate
    difference: Estimate | None
    name: str
    brief: str


@dataclass(frozen=True)
class Excess:
    """A figure of a trial less a control's, at one place of a curve; `brief` is that place in few words."""

    trial_id: str
    figure: str
    series: str
    step: int
    control: Estimate
    member: Estimate
    difference: Estimate | None
    brief: str


class Sections(Protocol):
    """What readers of a run are told of its procedure alone. A `sweep` is a `sweep.reading.sweep.Sweep`, a trial one of its."""

    compared: Sequence[str]
    """Figures that two arms are compared by beside the objectives."""
    compared_at: str
    """What the rows of such a comparison are one each of, in words."""
    excess_note: str
    """Which rows of a comparison are judged against a control, and how they are marked there."""
    first_stages: Sequence[str]
    """Kinds of stages that are told before the others, which follow by their time."""

    def about(self, sweep: Any) -> str:
        """What the run's trials are about, in a few words behind the name of its folder."""
        ...

    def definitions(self, sweep: Any) -> Mapping[str, str]:
        """What figures mean in this run, N included, by what is defined; told before what every procedure's readers are."""
        ...

    def meaning(self, sweep: Any, description: str) -> str:
        """A figure's description with what this run has for its symbols."""
        ...

    def remark(self, figure: str) -> str:
        """What a reader of this figure has to keep in mind; it follows its meaning."""
        ...

    def further(self, sweep: Any) -> Sequence[str]:
        """Figures that a table of everything holds beside `Columns.shown` and `Columns.quality`; told where a trial has them."""
        ...

    def facts(self, sweep: Any) -> Mapping[str, Any]:
        """What a flat table repeats beside every trial of the run, by column, behind the bounds."""
        ...

    def corner(self, sweep: Any, value: float) -> str:
        """What the second objective's end of the front's corner is called, where this value has a name of its own."""
        ...

    def broke(self, constraint: Constraint) -> str:
        """What a trial did that broke a constraint, where that has words of its own."""
        ...

    def wrapped(self, method: str) -> str:
        """The method that this one is made around, by its name; empty of one that is around none."""
        ...

    def agreeing(self, plan: Mapping[str, Any]) -> Mapping[str, str]:
        """What has to agree between the plans of runs that are compared, as text, by name."""
        ...

    def missing_controls(self, sweep: Any) -> Sequence[str]:
        """Which controls the run lacks and why, and what is not told without them."""
        ...

    def differences(self, sweep: Any, main: Any, baseline: Any) -> Iterable[Difference]:
        """Rows of the comparison of two trials beside those of whole trials."""
        ...

    def excess(self, sweep: Any, trial: Any) -> Iterable[Excess]:
        """The figures of a trial that are judged against a control's."""
        ...


class NoSections:
    """Those of a procedure that adds nothing: its readers are told what they are of every procedure."""

    compared: Sequence[str] = ()
    compared_at: str = "figure"
    excess_note: str = ""
    first_stages: Sequence[str] = ()

    def about(self, sweep: Any) -> str:
        return ""

    def definitions(self, sweep: Any) -> Mapping[str, str]:
        return {}

    def meaning(self, sweep: Any, description: str) -> str:
        return description

    def remark(self, figure: str) -> str:
        return ""

    def further(self, sweep: Any) -> Sequence[str]:
        return ()

    def facts(self, sweep: Any) -> Mapping[str, Any]:
        return {}

    def corner(self, sweep: Any, value: float) -> str:
        return ""

    def broke(self, constraint: Constraint) -> str:
        return ""

    def wrapped(self, method: str) -> str:
        return ""

    def agreeing(self, plan: Mapping[str, Any]) -> Mapping[str, str]:
        return {}

    def missing_controls(self, sweep: Any) -> Sequence[str]:
        return ()

    def differences(self, sweep: Any, main: Any, baseline: Any) -> Iterable[Difference]:
        return ()

    def excess(self, sweep: Any, trial: Any) -> Iterable[Excess]:
        return ()
