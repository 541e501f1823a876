"""What a figure is, as metrics, audits and trials declare theirs: plain words, for readers who run none of what makes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

DIRECTIONS = ("maximise", "minimise", "")
OVER = ("forgotten", "retained", "retained, labelled", "anchors", "all", "audited", "forgotten, at every rung")
SAMPLES = ("forgotten", "retained", "retained, after an attack", "")


@dataclass(frozen=True)
class Figure:
    """A figure of a trial, as its column in the tables tells it.

    `unit` is for readers; ``share`` alone means something: the figure lies between 0 and 1, and needs no bound as an objective.
    `direction` is ``maximise``, ``minimise`` or empty: neither is better. `over` says which samples it is of: for a metric
    or an audit those prompted for what was ``forgotten`` (of these as many as every rung has: ``forgotten, at every rung``), for
    what is ``retained`` (of prompts those that say what to show as well: ``retained, labelled``), for the ``anchors`` of what
    was forgotten, ``all``, or the ``audited`` images. Of a share of
    independent samples, to which a binomial interval applies, `samples` says which count: ``forgotten``, ``retained``, or
    ``retained, after an attack``. A `whole` figure is a whole number, the name of a class say, and no quantity.
    """

    name: str
    description: str
    unit: str = ""
    direction: str = ""
    over: str = "forgotten"
    samples: str = ""
    whole: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.name):
            raise ValueError(f"figure {self.name!r}: a name is of letters, digits and '_'")
        if not self.description or not isinstance(self.description, str):
            raise ValueError(f"figure {self.name!r}: its description is missing")
        _check_word(self, "direction", DIRECTIONS)


def check_samples(figure: Figure) -> None:
    """ValueError where a figure of images says that it is over samples which no score has, or a share of such."""
    _check_word(figure, "over", OVER)
    _check_word(figure, "samples", SAMPLES)


def _check_word(figure: Figure, what: str, known: tuple[str, ...]) -> None:
    value = getattr(figure, what)
    if value not in known:
        words = ", ".join(repr(word) for word in known)
        raise ValueError(f"figure {figure.name!r}: {what} {value!r} is none of {words}")
