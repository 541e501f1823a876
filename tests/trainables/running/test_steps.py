"""How many stages one step of a trial has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from trainables.running.report import Report
from trainables.running.steps import reports_of_a_step

ENDED = Report(stage={"stage": "score"})
COMPLETE, FAIL = Report(stage={"stage": "rung"}, state="COMPLETE"), Report(state="FAIL", cause="Diverged")
HALT, INTERRUPTED = Report(halt="no space left"), Report()
HOURS = 3600.0


def stages(reports: Iterable[Report], given: list[float], takes: float = 0.0) -> Callable[[float], Report]:
    """Runs a stage that takes so many seconds, and notes how many it was given."""
    left = iter(reports)

    def run(seconds: float) -> Report:
        given.append(seconds)
        time.sleep(takes)
        return next(left)

    return run


@pytest.mark.parametrize("last", [COMPLETE, FAIL, HALT, INTERRUPTED], ids=["over", "failed", "halted", "interrupted"])
def test_stages_follow_one_another_until_one_is_not_the_trials_to_go_on_from(last: Report) -> None:
    given: list[float] = []
    reports = [ENDED, ENDED, last, ENDED]
    assert reports_of_a_step(stages(reports, given), HOURS, every_stage=False) == reports[:3]
    assert given == sorted(given, reverse=True) and given[0] == HOURS, "each has what those before it left"


@pytest.mark.parametrize("limits", [{"seconds": HOURS, "every_stage": True}, {"seconds": 0.0, "every_stage": False}])
def test_a_stage_that_somebody_decides_by_is_a_step_and_so_is_one_that_took_the_time(limits: dict[str, Any]) -> None:
    assert reports_of_a_step(stages([ENDED, ENDED], []), **limits) == [ENDED]


def test_no_stage_is_begun_in_the_second_half_of_the_time() -> None:
    reports = reports_of_a_step(stages([ENDED] * 3, [], takes=0.3), 0.5, every_stage=False)
    assert reports == [ENDED], "the first took more than half, and left enough for another"
