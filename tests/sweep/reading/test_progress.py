"""How far a run is and on which worker its replicates ran, from its records alone."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from recorded_run import START, space, write_run

from sweep.reading.progress import progress
from sweep.reading.sweep import read_sweep
from sweep.reading.timeline import timeline
from sweep.records import RUNNING, SEARCH, Writer, read, schemas

EARLIER = Path(__file__).parents[2] / "data" / "run_of_27ff86b"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", artifacts=False)


def stage(trial_id: str, node: str, pid: int, began: float, ended: float) -> dict[str, Any]:
    start, end = (START + dt.timedelta(seconds=s) for s in (began, ended))
    told = {
        "trial_id": trial_id,
        "replicate": 0,
        "stage": "unlearn",
        "kind": "unlearn",
        "found": False,
        "node": node,
        "pid": pid,
    }
    return told | {"started_at": start, "finished_at": end, "wall_s": ended - began, "core_s": 1.0}


def test_processes_that_follow_one_another_are_one_worker_and_those_of_another_host_are_not(run: Path) -> None:
    writer = Writer(run, schemas(space()))
    for row in read(run, "replicates").to_pylist():
        writer.stages(f"{row['trial_id']}-r{row['replicate']}", [])
    spans = {
        "dimum-0000": ("b", 11, 0, 10),
        "dimum-0001": ("b", 12, 2, 6),
        "dimum-0002": ("b", 13, 6, 9),  # takes the place of the process before
        "dimum-0003": ("a", 11, 1, 3),  # the same number on another host
        "dimum-0006": ("b", 11, 12, 14),  # the same process again
    }
    for trial_id, span in spans.items():
        writer.stages(f"{trial_id}-r0", [stage(trial_id, *span)])
    found = timeline(read_sweep(run))
    assert found is not None and found.start == START.isoformat()
    assert found.workers == ("a, worker 1", "b, worker 1", "b, worker 2")
    told = {one.trial_id: (found.workers[one.worker], one.began, one.ended) for one in found.stretches}
    assert told == {
        "dimum-0000": ("b, worker 1", 0, 10),
        "dimum-0003": ("a, worker 1", 1, 3),
        "dimum-0001": ("b, worker 2", 2, 6),
        "dimum-0002": ("b, worker 2", 6, 9),
        "dimum-0006": ("b, worker 1", 12, 14),
    }


def test_a_process_whose_host_is_not_recorded_is_on_an_unknown_one(run: Path) -> None:
    writer = Writer(run, schemas(space()))
    for row in read(run, "replicates").to_pylist():
        writer.stages(f"{row['trial_id']}-r{row['replicate']}", [])
    writer.stages("dimum-0000-r0", [stage("dimum-0000", "a", 11, 0, 10) | {"node": None}])
    found = timeline(read_sweep(run))
    assert found is not None and found.workers == ("unknown host, worker 1",)


def test_no_worker_of_a_real_run_does_two_things_at_once() -> None:
    found = timeline(read_sweep(EARLIER))
    assert found is not None and len(found.stretches) == 22
    for worker in range(len(found.workers)):
        mine = [one for one in found.stretches if one.worker == worker]
        assert all(a.ended <= b.began for a, b in pairwise(mine))


def test_a_search_says_how_many_of_its_trials_ended_and_how_long_the_others_may_take(run: Path) -> None:
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps(plan | {"trials": 17}))  # of which 7 ran, beside 4 of the baseline
    (row,) = (r for r in read(run, "trials").to_pylist() if r["trial_id"] == "dimum-0005")
    Writer(run, schemas(space())).trial(row | {"state": RUNNING})
    found = progress(read_sweep(run))
    assert (found.searching, found.ended, found.planned) == (True, 10, 21)
    assert found.left_s is not None and found.left_s > 100  # the one worker needs 5 s to unlearn and 4 s for each rung
    assert str(found).startswith("search: 10 of 21 trials ended, at most about ")


def test_a_confirmation_counts_its_replicates_once_it_is_known_who_is_confirmed(run: Path) -> None:
    (run / SEARCH).write_text(json.dumps({"ended_by": "trials: all 11"}))
    whole = progress(read_sweep(run))
    assert str(whole) == "confirmation: 21 of 21 replicates ended"
    writer = Writer(run, schemas(space()))
    for row in read(run, "replicates").to_pylist():
        if row["replicate"] == 3:
            writer.replicate(row | {"state": RUNNING}, [], [])
    assert str(progress(read_sweep(run))).startswith("confirmation: 14 of 21 replicates ended, about ")


def test_controls_that_are_ahead_of_the_trials_do_not_say_who_is_confirmed(run: Path) -> None:
    (run / SEARCH).write_text(json.dumps({"ended_by": "trials: all 11"}))
    rows = read(run, "replicates").to_pylist()
    shutil.rmtree(run / "records" / "replicates")
    writer = Writer(run, schemas(space()))
    for row in rows:
        if row["replicate"] == 0 or row["arm"] == "control":
            writer.replicate(row, [], [])
    assert str(progress(read_sweep(run))) == "confirmation: 6 replicates ended, time left not known yet"
