"""What a procedure's flags must be: the frozen dataclass that says what trials are about, beside the plan's own fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, Self, TypeVar

from sweep.space import Arm, SearchSpace


class Setup(Protocol):
    """Flags of a procedure, each a field by `sweep.plan.flags.flag`; `RunPlan.setup` is a value of it.

    `headings` are its own headings of the printed plan, each a `sweep.plan.flags.Line` that says where it stands.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    headings: ClassVar[Mapping[str, Any]]

    @classmethod
    def asked(cls, values: dict[str, Any], tell: Callable[[str], None]) -> Self:
        """Of the values that a command line gives, by their fields' names; the rest is decided here.

        What takes long says how far it is by `tell`, as often as it likes: a line is printed every few seconds.
        """
        ...

    def check(self) -> None:
        """UsageError for what is wrong with a value; asks nothing heavier than a file's beginning."""
        ...

    def check_fits(self, space: SearchSpace, place: Any) -> None:
        """UsageError where the trials of a question cannot fit the machine of a `sweep.plan.place.Place`."""
        ...

    def fingerprinted(self) -> Self:
        """With what identifies the data that trials are about, as a plan's is recorded once a run begins."""
        ...

    def question(self, space: SearchSpace) -> SearchSpace:
        """The question as these values change it; UsageError where the two contradict."""
        ...

    def recorded(self, space: SearchSpace) -> dict[str, Any]:
        """What ``plan.json`` says of the question beyond its arms, objectives and constraints, for readers."""
        ...

    def arm_words(self, arm: Arm) -> str:
        """What an arm is of, in the printed plan."""
        ...

    def more_words(self, space: SearchSpace, place: Any) -> Iterator[tuple[Any, str]]:
        """What the printed plan says beyond the fields' own words, each under a `sweep.plan.flags.Words`; run on a `Place`."""
        ...


SetupT = TypeVar("SetupT", bound=Setup, covariant=True)
"""The setup of one procedure, where a plan is of that procedure alone."""
OtherT = TypeVar("OtherT", bound=Setup)
