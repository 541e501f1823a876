"""How the values of relearning's flags are read from a command line. Imports no torch."""

from __future__ import annotations

import math
import os

from sweep.errors import UsageError
from sweep.plan.flags import Check, member_of
from sweep.plan.paths import absolute
from trainables.data import DATASETS

AUTO = "auto"


def data_wrong(data: str) -> str:
    """Of ``NAME:OPTION`` the name alone is looked up, and named where it is unknown."""
    name = data.partition(":")[0]
    wrong = member_of(DATASETS.names)(name)
    if wrong:
        raise UsageError(f"--data {name}: {wrong}")
    return ""


def folder(given: str) -> str:
    """A folder as every process finds it; nothing where none is given."""
    return given and absolute(given)


def pipeline(source: str) -> str:
    """A pipeline's folder as every process finds it; a hub id as it is."""
    return absolute(source) if os.path.isdir(source) else source


def judge(given: str) -> str:
    """``NAME``, or ``NAME:PLACE`` with the place as every process finds it."""
    name, colon, place = given.partition(":")
    return f"{name}:{absolute(place)}" if colon and place else given


def judge_wrong(known: Check) -> Check:
    """Of ``NAME:PLACE`` the name alone is looked up."""
    return lambda given: known(given.partition(":")[0]) if given else ""


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers, separated by commas; UsageError for anything else."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(f"--base-classes {text}: write whole numbers such as 0,217,482") from None


def budget(text: str) -> float | str:
    """``auto`` or a positive number; UsageError for anything else."""
    if text == AUTO:
        return AUTO
    try:
        distance = float(text)
    except ValueError:
        raise UsageError(f"--fid-budget {text}: neither 'auto' nor a number") from None
    if not math.isfinite(distance) or distance <= 0:
        raise UsageError(f"--fid-budget {text}: must be a positive, finite distance")
    return distance
