"""How much of a trial is one step, which ends in one message to whoever drives it: stage after stage, for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

from trainables.running.report import Report


def reports_of_a_step(run: Callable[[float], Report], seconds: float, every_stage: bool) -> list[Report]:
    """Run stages until `seconds` have passed or the trial is over; what each reports, in order.

    `run` runs the trial's next stage, or goes on with it, for so many seconds at most. None is begun in the second half of the
    time: what it could be interrupted in would have to be checkpointed. With `every_stage` the step ends with its first stage:
    whoever drives the trial decides there whether it goes on.
    """
    began = time.monotonic()
    reports, spent = [run(seconds)], time.monotonic() - began
    while not every_stage and _goes_on(reports[-1]) and spent < seconds / 2:
        reports.append(run(seconds - spent))
        spent = time.monotonic() - began
    return reports


def _goes_on(report: Report) -> bool:
    """Whether it tells of a stage that ended and was not the last one."""
    return report.stage is not None and report.state is None
