"""How trials and replicates are named: ``ARM-NUMBER``, ``control-NAME``, and ``TRIAL-rREPLICATE``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.space import CONTROL

BASE, RETRAIN = f"{CONTROL}-base", f"{CONTROL}-retrain"  # θ₀ and θ*, which nothing is unlearned of
UNSEEN = f"{CONTROL}-unseen"  # θ₀ again, taught a concept that it never saw: where there is no θ*


def trial_name(arm: str, number: int) -> str:
    """``dimum-0012``: the id of an arm's trial. Longer numbers are longer."""
    return f"{arm}-{number:04d}"


def parts_of(trial_id: str) -> tuple[str, str]:
    """Arm and what tells its trials apart: a number, or a control's name."""
    arm, _, digits = trial_id.rpartition("-")
    return arm, digits


def number_of(trial_id: str) -> int:
    """The number of a trial that an arm was asked for; ValueError for a control's id."""
    return int(parts_of(trial_id)[1])


def control_name(name: str) -> str:
    """The id of a control by its name: ``control-NAME``."""
    return f"{CONTROL}-{name}"


def replicate_name(trial_id: str, replicate: int) -> str:
    """``dimum-0012-r3``: of a trial the search's own run (0), or one of the confirm phase (1, 2, …)."""
    return f"{trial_id}-r{replicate}"


def name_of(row: Mapping[str, Any]) -> str:
    """The name of the replicate that a row of the replicates, curves or stages table is of."""
    return replicate_name(row["trial_id"], row["replicate"])


def replicate_of(name: str) -> tuple[str, int]:
    """Trial and replicate of a replicate's name."""
    trial_id, _, replicate = name.rpartition("-r")
    return trial_id, int(replicate)


def trial_of(name: str) -> str:
    """The id of the trial that the replicate of this name is of; empty where it is no replicate's name."""
    return name.rpartition("-r")[0]
