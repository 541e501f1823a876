"""Which procedure a question is of: the room of sweep that says what its trials are about.

A procedure is found by its name when it is asked for, so that the plan, which stands below its room, imports none.
"""

from __future__ import annotations

import importlib
from typing import Any

RELEARNING = "relearning"


def setup_type(procedure: str = RELEARNING) -> Any:
    """What trials of a procedure are about: a frozen dataclass of flags (`sweep.plan.flags`), ``sweep.NAME.setup.Setup``.

    Beside its fields it has ``asked(values)``, the setup that a command line asks for; ``check()``, for what no flag can be
    told by itself; ``fingerprinted()``, the setup with what its data are known again by; and ``more_words()``, what the
    printed plan says beside its flags.
    """
    return importlib.import_module(f"sweep.{procedure}.setup").Setup


def estimate(plan: Any, space: Any, procedure: str = RELEARNING) -> dict[str, float]:
    """Rough core-seconds of each phase of a plan, and wall seconds of all: ``prepare``, ``search``, ``confirm``, ``wall``."""
    found: dict[str, float] = importlib.import_module(f"sweep.{procedure}.cost").estimate(plan, space)
    return found
