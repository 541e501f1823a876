"""How many stages one step of a trial has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from trainables.running import steps
from trainables.running.report import Report
from trainables.running.steps import reports_of_a_step

ENDED = Report(stage={"stage": "score"})
COMPLETE, FAIL = Report(stage={"stage": "rung"}, state="COMPLETE"), Report(state="FAIL", cause="Diverged")
HALT, INTERRUPTED = Report(halt="no space left"), Report()
HOURS = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def stages(self, reports: Iterable[Report], given: list[float], takes: float = 0.0) -> Callable[[float], Report]:
        """Runs a stage that takes so many seconds, and notes how many it was given."""
        left = iter(reports)

        def run(seconds: float) -> Report:
            given.append(seconds)
            self.now += takes
            return next(left)

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(steps, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.mark.parametrize("last", [COMPLETE, FAIL, HALT, INTERRUPTED], ids=["over", "failed", "halted", "interrupted"])
def test_stages_follow_one_another_until_one_is_not_the_trials_to_go_on_from(last: Report, clock: Clock) -> None:
    given: list[float] = []
    reports = [ENDED, ENDED, last, ENDED]
    assert reports_of_a_step(clock.stages(reports, given, takes=100.0), HOURS, every_stage=False) == reports[:3]
    assert given == [HOURS, HOURS - 100, HOURS - 200], "each has what those before it left"


@pytest.mark.parametrize("limits", [{"seconds": HOURS, "every_stage": True}, {"seconds": 0.0, "every_stage": False}])
def test_a_stage_that_somebody_decides_by_is_a_step_and_so_is_one_that_took_the_time(
    limits: dict[str, Any], clock: Clock
) -> None:
    assert reports_of_a_step(clock.stages([ENDED, ENDED], []), **limits) == [ENDED]


@pytest.mark.parametrize(("takes", "count"), [(15.0, 1), (14.9, 2), (7.5, 2), (7.4, 3)])
def test_no_stage_is_begun_in_the_second_half_of_the_time(takes: float, count: int, clock: Clock) -> None:
    reports = reports_of_a_step(clock.stages([ENDED] * 4, [], takes), 30.0, every_stage=False)
    assert reports == [ENDED] * count, "whatever time is left"
