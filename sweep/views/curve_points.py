"""Rows of the curves table as points of named series, which is what trackers of experiments draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


def scalars(curves: list[Mapping[str, Any]]) -> Iterable[tuple[str, int, float]]:
    """(METRIC/ATTACK, attack step, value): each attack's curve starts from the figure before any attack.

    Of confirm replicate r with ``/rR`` behind it. What is not finite has no point.
    """
    attacks = {(c["replicate"], c["attack"]) for c in curves if c["attack"] != "none"}
    for c in curves:
        suffix = f"/r{c['replicate']}" if c["replicate"] else ""
        if c["value"] is None or not math.isfinite(c["value"]):
            continue
        if c["attack"] != "none":
            yield f"{c['metric']}/{c['attack']}{suffix}", c["attack_step"], c["value"]
        elif c["metric"] == "relearning_accuracy":
            for replicate, attack in attacks or {(c["replicate"], "none")}:
                if replicate == c["replicate"]:
                    yield f"{c['metric']}/{attack}{suffix}", c["attack_step"], c["value"]
