"""What a procedure adds to a run's page and plots: words, numbers and keys of artifacts, which the page draws in its own way.

Nothing here is markup, and nothing says how it looks. A procedure that adds nothing is `NoPanels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from sweep.statistics.estimates import Estimate

Row: TypeAlias = Mapping[str, Any]
Cell: TypeAlias = "str | Estimate | None"


@dataclass(frozen=True)
class Wording:
    """What sentences of the page and the plot say of a procedure alone; empty where they say nothing."""

    subject: tuple[tuple[str, str], ...] = ()  # what the trials are about, by name: ("data", "digits")
    title: str = ""  # the same over the plot, behind the question's name
    planned: str = ""  # the same behind how many trials are planned
    course: str = ""  # what happens to a trial, in sentences
    confirmed_by: str = ""  # what is done on the fresh seeds, behind their number
    prepared: str = ""  # what was made for all trials, in a sentence
    stopped: str = ""  # what a trial that stopped early is without
    quality: str = "Further figures"  # the heading of the figures of `Columns.quality`
    compared: str = ""  # how a comparison of two arms is read, in sentences
    controls: str = ""  # what is to be known of the controls, in sentences


@dataclass(frozen=True)
class Caption:
    """What a caption for a paper says of a procedure alone; empty where it says nothing."""

    subject: str = ""  # behind what is drawn against what
    lines: str = ""  # what the lines across the front are, in a sentence
    facts: tuple[str, ...] = ()  # what the figures depend on, a sentence each
    origin: str = ""  # what the trials started from


@dataclass(frozen=True)
class Control:
    """A control as a legend names it; one that is not `in_view` is left out of a plot's window where others fill that."""

    name: str
    in_view: bool = True


@dataclass(frozen=True)
class Line:
    """A line across the front at a value of an objective."""

    metric: str
    value: float
    name: str


@dataclass(frozen=True)
class Axes:
    """What curves are drawn against: a figure over the steps of a series."""

    x: str
    y: str
    steps: tuple[int, ...]  # that are marked
    symbol: str  # of a step, as in ``k = 3``
    doubling: bool = False  # a step k lies at log2(k + 1), not at k
    share: bool = False  # the figure lies between 0 and 1


@dataclass(frozen=True)
class Series:
    """A series that the curves have, and what is to be known of it: briefly, and `why`."""

    name: str
    note: str = ""
    why: str = ""

    @property
    def brief(self) -> str:
        return f"{self.name} ({self.note})" if self.note else self.name

    @property
    def title(self) -> str:
        return f"{self.name} ({self.note}: {self.why})" if self.note and self.why else self.brief


@dataclass(frozen=True)
class Curves:
    """Which figure's curves the page draws of every trial beside the controls', and what is written about them."""

    metric: str
    axes: Axes
    series: tuple[Series, ...]  # in the order they are drawn in
    title: str  # over the plot of the best
    nothing: str  # over that plot as long as there is no curve
    heading: str  # over the curves of one trial, behind its name
    note: str  # below that
    label: str  # of one of its charts, for who cannot see it; with ``{trial}`` and ``{series}``


@dataclass(frozen=True)
class Curve:
    """One trial's curve in a panel, its values over the steps."""

    label: str
    arm: str
    trial_id: str
    steps: tuple[int, ...]
    values: tuple[Estimate, ...]


@dataclass(frozen=True)
class Panel:
    """The curves of one series: of the best of each arm, the arm that stands first before the others, then the controls'."""

    series: Series
    confirmed: bool  # intervals over seeds; otherwise over the samples of the search's one seed
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Heading:
    """The head of a column: of names of trials, which become links, of words, or of figures."""

    name: str
    kind: Literal["trial", "words", "figure"] = "figure"


@dataclass(frozen=True)
class Table:
    """A table of the page; its `folded` rows are shown on a click on `summary`."""

    label: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    heading: str = ""
    folded: tuple[tuple[Cell, ...], ...] = ()
    summary: str = ""


@dataclass(frozen=True)
class Pictures:
    """Which pictures the page shows of trials, in strips of grids, and what is written about them.

    An artifact holds a grid's pictures as tensors; `kinds` names those that are shown, each with what it is in words. The first
    grid of the control `reference` stands before those of any trial of the same seed. `made_by` is the fact of an artifact that
    says of each picture, by kind, what it was made by, where there is one.
    """

    kinds: Mapping[str, str]
    replicate: tuple[str, ...]  # columns of the replicates that `Panels.strip` reads
    curves: tuple[str, ...]  # columns of the curves that it reads
    grids: int  # of a trial, as many as it is likely to have
    note: str  # of several trials'
    note_of_one: str  # of one trial's, all of one seed
    heading: str = "Samples"
    nothing: str = "No samples are recorded."
    reference: str = ""
    made_by: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own: panels of curves, then tables, then the strips of pictures."""

    key: str  # its place in the page's addresses
    heading: str
    note: str = ""
    panels: tuple[Panel, ...] = ()
    nothing: str = ""  # said where panels are expected and there is none
    label: str = ""  # of a panel's chart, for who cannot see it; its title follows
    tables: tuple[Table, ...] = ()
    pictures: bool = False


Grid: TypeAlias = tuple[str, "str | None"]
"""What a grid of a strip is of, and the key of its artifact where one was recorded."""


class Panels(Protocol):
    """What a run's page and plots show of its procedure alone. A `sweep` is a `sweep.reading.sweep.Sweep`."""

    exported: str
    """The column of the replicates that says whether `sweep.export` can save what one made; empty: nothing is exported."""

    def wording(self, sweep: Any) -> Wording:
        """What sentences of the page and the plot say."""
        ...

    def caption(self, sweep: Any) -> Caption:
        """What the plot's caption says."""
        ...

    def controls(self) -> Mapping[str, Control]:
        """The controls by their trials' ids, in the order of their marks."""
        ...

    def lines(self, sweep: Any) -> Sequence[Line]:
        """Lines across the front, as far as their values are known."""
        ...

    def curves(self, sweep: Any) -> Curves | None:
        """Which curves are drawn, or None where trials have none."""
        ...

    def panels(self, sweep: Any) -> Sequence[Panel]:
        """The curves of the best of each arm and of the controls, one panel a series."""
        ...

    def pictures(self, sweep: Any) -> Pictures | None:
        """Which pictures are shown, or None where trials make none."""
        ...

    def strip(self, replicate: Row, curves: Iterable[Row]) -> Sequence[Grid]:
        """A replicate's grids in order, by its row and its trial's curves."""
        ...

    def sections(self, sweep: Any, trials: Sequence[Any]) -> Sequence[Section]:
        """Parts of the page between the comparisons and what failed; `trials` are those that its tables tell of."""
        ...

    def folded(self, sweep: Any, difference: Any) -> bool:
        """Whether a row of a comparison of two arms is shown on a click only."""
        ...

    def comparison(self, sweep: Any, pair: Any) -> Sequence[Table]:
        """Tables below a comparison of two arms, a `sweep.reading.arm_against_arm.Comparison`."""
        ...


class NoPanels:
    """The panels of a procedure that adds nothing: its run's page has what every run has."""

    exported = ""

    def wording(self, sweep: Any) -> Wording:
        return Wording()

    def caption(self, sweep: Any) -> Caption:
        return Caption()

    def controls(self) -> Mapping[str, Control]:
        return {}

    def lines(self, sweep: Any) -> Sequence[Line]:
        return ()

    def curves(self, sweep: Any) -> Curves | None:
        return None

    def panels(self, sweep: Any) -> Sequence[Panel]:
        return ()

    def pictures(self, sweep: Any) -> Pictures | None:
        return None

    def strip(self, replicate: Row, curves: Iterable[Row]) -> Sequence[Grid]:
        return ()

    def sections(self, sweep: Any, trials: Sequence[Any]) -> Sequence[Section]:
        return ()

    def folded(self, sweep: Any, difference: Any) -> bool:
        return False

    def comparison(self, sweep: Any, pair: Any) -> Sequence[Table]:
        return ()
