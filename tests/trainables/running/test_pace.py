"""Checkpoints are taken no oftener than 20 times as long as the last one took."""

from __future__ import annotations

import time

import pytest

from trainables.running.pace import SHARE, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_the_first_is_taken_and_the_next_once_20_times_as_long_has_passed(clock: Clock) -> None:
    pace, taken = Pace(), []

    def save(seconds: float) -> bool:
        def write() -> None:
            clock.now += seconds
            taken.append(clock.now)

        return pace.take(write)

    assert save(3.0)
    clock.now += SHARE * 3.0 - 0.1
    assert not save(3.0)
    clock.now += 0.2
    assert save(0.5), "it took less this time"
    clock.now += SHARE * 0.5 + 0.1
    assert save(0.5)
    assert len(taken) == 3 and SHARE == 20


def test_writing_is_at_most_a_twentieth_of_the_time(clock: Clock) -> None:
    pace, began, wrote = Pace(), clock.now, 0.0

    def write() -> None:
        nonlocal wrote
        clock.now += 14.0
        wrote += 14.0

    while clock.now < began + 10_000:
        clock.now += 30.0  # a step of a trial
        pace.take(write)
    assert 0.04 < wrote / (clock.now - began) <= 0.05


def test_one_that_fails_is_none(clock: Clock) -> None:
    pace = Pace()

    def fail() -> None:
        clock.now += 100.0
        raise OSError("the disk is full")

    with pytest.raises(OSError):
        pace.take(fail)
    assert pace.take(lambda: None)
