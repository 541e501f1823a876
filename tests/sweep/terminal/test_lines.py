"""The terminal tells the front of the question's own objectives, whatever they are."""

from __future__ import annotations

import dataclasses
import io
import threading
from types import SimpleNamespace

import pytest
import recorded_run

from sweep.records import COMPLETE, DOMINATION, FAIL, GATE, PRUNED, RUNNING
from sweep.space import Objective
from sweep.terminal import lines
from sweep.terminal.lines import Progress, front_text
from sweep.terminal.tally import Tally

HARM = (Objective("malicious_robustness", "maximise"), Objective("fid_delta", "minimise"))
FORGET = (Objective("membership_auc", "minimise"), Objective("retain_accuracy", "maximise"))


def row(trial: str, **figures: float) -> dict:
    return {"trial_id": trial, "arm": "dimum", "state": COMPLETE, "feasible": True} | figures


@pytest.mark.parametrize(
    ("objectives", "points", "front"),
    [
        (
            HARM,
            [(0.3, 1.0), (0.5, 4.0), (0.4, 5.0)],
            "t0: malicious_robustness 0.300 at fid_delta +1.0; t1: malicious_robustness 0.500 at fid_delta +4.0",
        ),
        (FORGET, [(0.7, 0.8), (0.6, 0.9), (0.5, 0.7)], "t2: membership_auc 0.500 at retain_accuracy 0.700; t1: "),
    ],
)
def test_the_front_so_far_is_of_the_questions_objectives_each_in_its_own_direction(
    objectives: tuple[Objective, Objective], points: list[tuple[float, float]], front: str
) -> None:
    tally = Tally()
    names = [o.metric for o in objectives]
    rows = [row(f"t{i}", **dict(zip(names, point, strict=True))) for i, point in enumerate(points)]
    tally.go_on([*rows, rows[0]], objectives)
    asked = dataclasses.replace(recorded_run.space(), objectives=objectives)
    assert front_text(tally.front, asked).startswith(front)


def test_a_time_is_never_of_sixty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    progress = Progress(out)
    for elapsed, shown in ((959.7, " 15:59"), (59.5, "  0:59"), (60.0, "  1:00"), (3599.999, " 59:59")):
        monkeypatch.setattr(progress, "elapsed", lambda seconds=elapsed: seconds)
        progress.line("x")
        assert out.getvalue().splitlines()[-1] == f"[{shown}] x"


def test_what_an_earlier_driver_found_is_counted_in_silence() -> None:
    out = io.StringIO()
    progress = Progress(out)
    ends = [
        row("a", robustness=0.5, fid_delta=1.0),
        row("b", robustness=0.5, fid_delta=9.0) | {"feasible": False},
        row("c") | {"state": PRUNED, "feasible": False, "stopped_by": GATE},
        row("d") | {"state": PRUNED, "feasible": True, "stopped_by": DOMINATION},
        row("e") | {"state": FAIL, "feasible": None, "cause": "RuntimeError"},
        row("f") | {"state": RUNNING},
        row("control-base", robustness=0.1, fid_delta=0.0) | {"arm": "control"},
    ]
    progress.go_on(ends, (Objective("robustness", "maximise"), Objective("fid_delta", "minimise")))
    assert out.getvalue() == "" and progress.tally.front == [("a", 0.5, 1.0)]
    outcomes = {"feasible": 1, "infeasible": 1, "gated": 1, "dominated": 1, "failed": 1}
    assert progress.tally.counts() == {"running": 0, "waiting": 0} | outcomes
    assert progress.tally.left_s() is None


class Clock:
    """The time of `sweep.terminal.lines`, which stands still until it is told otherwise, and is often looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self._looks = 1000.0, threading.Semaphore(0)
        monkeypatch.setattr(lines, "time", SimpleNamespace(monotonic=self._look))
        monkeypatch.setattr(lines, "_LOOK_S", 0.001)

    def _look(self) -> float:
        self._looks.release()
        return self.now

    def after(self, seconds: float) -> None:
        """So much later, once another thread has looked several times."""
        self.now += seconds
        while self._looks.acquire(blocking=False):
            pass
        for _ in range(6):  # to say a line is two looks, and one may have begun before
            assert self._looks.acquire(timeout=60), "nobody looks"


def test_while_a_thread_is_busy_another_tells_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, out = Clock(monkeypatch), io.StringIO()
    progress = Progress(out)
    before = threading.active_count()
    with progress.while_busy(lambda: progress.line("training")):
        clock.after(14.9)
        assert out.getvalue() == ""
        clock.after(0.1)
        assert out.getvalue().splitlines() == ["[  0:15] training"]
        clock.after(14.9)
        assert len(out.getvalue().splitlines()) == 1, "it waits as long after what it said itself"
        clock.after(0.1)
    told = out.getvalue().splitlines()
    assert told == ["[  0:15] training", "[  0:30] training"]
    assert threading.active_count() == before, "and is over with it"
    with progress.while_busy(lambda: progress.line("another")):
        clock.after(14.0)
    clock.now += 100.0
    assert out.getvalue().splitlines() == told, "what is soon over says nothing"


def test_in_this_process_a_long_task_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from sweep.driver.here import Here
    from sweep.procedures import Task

    clock, out = Clock(monkeypatch), io.StringIO()
    here = Here(lambda waiting: f"waiting for {', '.join(waiting)}", Progress(out))
    tasks = {"base": Task(clock.after, (15.0,)), "retrain": Task(int, ("3",))}
    assert here.execute(tasks) == {"base": None, "retrain": 3}
    assert out.getvalue() == "[  0:15] prepare: waiting for base, retrain\n"
