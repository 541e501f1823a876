"""Tasks side by side in processes: each after what it needs, the others ended where one fails."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from sweep.driver import processes
from sweep.driver.processes import side_by_side
from sweep.errors import UsageError
from sweep.procedures import Task


def test_each_is_done_after_what_it_needs_in_another_process_and_in_one_thread(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    tasks = {
        "late": Task(os.path.exists, (str(tmp_path / "y"),), ("middle",)),
        "middle": Task(os.replace, (str(tmp_path / "x"), str(tmp_path / "y")), ("early",)),
        "early": Task(os.path.exists, (str(tmp_path / "x"),)),
        "pid": Task(os.getpid),
    }
    made = side_by_side(1, lambda waiting: None)(tasks)
    assert made["early"] and made["late"] and made["pid"] != os.getpid()


def fail_once_there(file: str) -> None:
    """In another process."""
    while not os.path.exists(file):
        time.sleep(0.05)
    raise ZeroDivisionError("as it was told to")


def test_where_one_fails_the_others_are_ended_and_what_goes_on_was_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processes, "TOLD_EVERY_S", 0.5)
    """What fails waits for a file that the one who is told writes: both were going on when they were told of."""
    reports: list[list[str]] = []
    seen = tmp_path / "seen"

    def tell(waiting: Sequence[str]) -> None:
        reports.append(list(waiting))
        seen.touch()

    tasks = {"sleeps": Task(time.sleep, (600,)), "fails": Task(fail_once_there, (str(seen),))}
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError, match="as it was told to"):
        side_by_side(2, tell)(tasks)
    assert time.monotonic() - began < 300 and not multiprocessing.active_children()
    assert reports and all(names == ["sleeps", "fails"] for names in reports)


def test_a_process_that_is_killed_is_told_in_one_line() -> None:
    with pytest.raises(UsageError, match="dies: the process was killed"):
        side_by_side(1, lambda waiting: None)({"dies": Task(os._exit, (9,))})
