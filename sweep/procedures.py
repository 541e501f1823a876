"""Which procedure a question is of: the room of sweep that says what its trials are about.

A procedure is found by its name when it is asked for, so that the plan, which stands below its room, imports none.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

RELEARNING = "relearning"
NAMES = (RELEARNING,)  # each a room of sweep


def setup_type(procedure: str = RELEARNING) -> Any:
    """What trials of a procedure are about: a frozen dataclass of flags (`sweep.plan.flags`), ``sweep.NAME.setup.Setup``.

    Beside its fields it has ``asked(values)``, the setup that a command line asks for; ``check()``, for what no flag can be
    told by itself; ``fingerprinted()``, the setup with what its data are known again by; and ``more_words()``, what the
    printed plan says beside its flags.
    """
    return _file(procedure, "setup").Setup


def estimate(plan: Any, space: Any, procedure: str = RELEARNING) -> dict[str, float]:
    """Rough core-seconds of each phase of a plan, and wall seconds of all: ``prepare``, ``search``, ``confirm``, ``wall``."""
    found: dict[str, float] = _file(procedure, "cost").estimate(plan, space)
    return found


def _file(procedure: str, name: str) -> ModuleType:
    """A file of a procedure's room; ValueError where there is no such procedure."""
    if procedure not in NAMES:
        raise ValueError(f"procedure {procedure!r} is unknown; known: {', '.join(NAMES)}")
    return importlib.import_module(f"sweep.{procedure}.{name}")
