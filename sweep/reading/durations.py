"""About how long something takes, in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """``45 seconds``, ``12 minutes``, ``3 hours``, ``2 days``: the largest unit of which there are at least two, or seconds."""
    for unit, name in ((86400, "days"), (3600, "hours")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
