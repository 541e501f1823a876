"""How each kind of model is drawn, in the plot and on the page alike.

Colours are Okabe and Ito's, told apart by every kind of colour vision, and shape repeats what colour says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sweep.procedures.panels import Control
from sweep.reading.sweep import Sweep
from sweep.space import CONTROL

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, VIOLET = "#CC79A7", "#56B4E9", "#7E57C2"  # violet is not theirs: green and orange are the controls'
GREY, PALE = "#8a8a8a", "#b5b5b5"


@dataclass(frozen=True)
class Mark:
    """How one kind of model is drawn; the page's interactive figures use the same marks."""

    colour: str
    shape: str  # matplotlib's
    symbol: str  # plotly's
    dash: str  # plotly's
    line: str  # matplotlib's


MARKS = {
    "main": Mark(BLUE, "o", "circle", "solid", "-"),
    "baseline": Mark(VERMILION, "s", "square", "dash", "--"),
}
CONTROL_MARKS = (  # in the order of a procedure's controls
    Mark(ORANGE, "D", "diamond", "dot", ":"),
    Mark(GREEN, "^", "triangle-up", "dashdot", "-."),
    Mark(ORANGE, ">", "triangle-right", "dashdot", "-."),
    Mark(GREEN, "h", "hexagon", "dot", ":"),
)


# More arms than a main one and a baseline: neighbours differ in colour, shape and dash; 5 colours and 8 shapes give each
# of up to 40 arms a pair of its own. Diamonds and upright triangles stay with the controls.
_COLOURS = (BLUE, VERMILION, PURPLE, SKY, VIOLET)
_SHAPES = (
    ("o", "circle"),
    ("s", "square"),
    ("v", "triangle-down"),
    ("P", "cross"),
    ("X", "x"),
    ("p", "pentagon"),
    ("*", "star"),
    ("<", "triangle-left"),
)
_DASHES = (("solid", "-"), ("dash", "--"), ("dashdot", "-."), ("dot", ":"))


def marks(sweep: Sweep) -> dict[str, Mark]:
    """How each arm is drawn: the main one and a baseline as ever; more of them, or two of one kind, each in its own way."""
    kinds = {name: "baseline" if arm.baseline else "main" for name, arm in sweep.arms.items()}
    if len(set(kinds.values())) == len(kinds):
        return {name: MARKS[kind] for name, kind in kinds.items()}
    return distinct(sweep.arms)


def marks_in_words(sweep: Sweep) -> str:
    """Whose mark is which, of two arms; of one arm nothing need be said."""
    if len(sweep.arms) < 2:
        return ""
    drawn = {"circle": "Circles and solid lines", "square": "squares and dashes"}
    every = [
        f"{drawn[mark.symbol]}: {name}{' (baseline)' if sweep.arms[name].baseline else ''}"
        for name, mark in marks(sweep).items()
    ]
    return f"{'; '.join(every)}; "


def distinct(names: Iterable[str]) -> dict[str, Mark]:
    """A mark of its own for each name: up to 40 of them differ in colour or shape, neighbours in both."""
    marks = {}
    for i, name in enumerate(names):
        (shape, symbol), (dash, line) = _SHAPES[i % len(_SHAPES)], _DASHES[i % len(_DASHES)]
        marks[name] = Mark(_COLOURS[i % len(_COLOURS)], shape, symbol, dash, line)
    return marks


def controls(sweep: Sweep) -> dict[str, Control]:
    """The controls by their trials' ids: those that the procedure names, then any other that the run has."""
    named = dict(sweep.procedure.panels().controls())
    return named | {trial_id: Control(trial_id) for trial_id in sweep.controls if trial_id not in named}


def control_marks(sweep: Sweep) -> dict[str, Mark]:
    """How each control is drawn."""
    return {trial_id: CONTROL_MARKS[i % len(CONTROL_MARKS)] for i, trial_id in enumerate(controls(sweep))}


def mark_of(sweep: Sweep, arm: str, trial_id: str) -> Mark:
    """How a trial of an arm is drawn, or a control."""
    return control_marks(sweep)[trial_id] if arm == CONTROL else marks(sweep)[arm]


def plain(text: str) -> str:
    """Text as matplotlib draws it: names come from a run, and a dollar sign would begin a formula."""
    return text.replace("$", r"\$")
