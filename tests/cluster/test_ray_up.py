"""`ray up` for real: the shipped on-premises file against hosts with an `sshd` each, a sweep sent to them, and `ray down`.

With one worker. The long form, in which workers are lost, is `python -m benchmarks.cluster`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.cluster import ROOT, Cluster, cluster, left, made_twice, refused, states, until, wait_for
from benchmarks.hosts import missing
from sweep.records import rows

TINY = str(ROOT / "tests" / "questions" / "tiny.py")
METRIC = str(ROOT / "tests" / "questions" / "brightness.py")
SMALL = ("--space", TINY, "--members", METRIC, "--base-steps", "20", "--samples-forgotten", "8", "--samples-per-retained", "4",
         "--confirm-seeds", "0", "--baseline-trials", "0", "--fid-budget", "100000", "--sampler", "random", "--trials", "2",
         "--workers", "1")  # fmt: skip
ASKED = (  # by --cluster: what is printed, and the exit code
    (
        (*SMALL, "--run-dir", "plan", "--dry-run"),
        ("runs on     auto; 1 trial at a time", "members     metric brightness"),
        0,
    ),
    (("--space", TINY, "--sampler", "radnom", "--workers", "1", "--run-dir", "plan"), ("did you mean 'random'",), 2),
    (("--fetch", "plan"), ("plan has no results",), 2),
    (("--attach", "plan"), ("no run plan on this cluster",), 2),
)


@pytest.fixture(scope="module")
def up() -> Iterator[Cluster]:
    """A cluster that `ray up` has started; in CI it must be possible."""
    if (why := missing()) and not os.environ.get("CI"):
        pytest.skip(why)
    assert not why, why
    # Ray's workers give an unreachable head a minute; here, so that `ray down` can be seen to the end, five seconds.
    with tempfile.TemporaryDirectory(prefix="sweep-hosts-") as folder, cluster(Path(folder), 1, patience_s=5) as c:
        c.ray("up", "-y", str(c.file))
        yield c


def says(process: subprocess.Popen[str]) -> str:
    """All that a command prints."""
    return process.communicate(timeout=400)[0]


@pytest.mark.long
def test_a_sweep_outlives_the_laptop_is_stopped_resumed_and_fetched(up: Cluster) -> None:
    laptop = up.sweep(*SMALL, "--run-dir", "first")
    until(laptop, "started first")
    laptop.kill()
    laptop.wait()
    taken = up.sweep(*SMALL, "--run-dir", "first")
    assert "has a run of this name" in says(taken) and taken.returncode == 2

    laptop = up.sweep("--attach", "first")  # the laptop is opened again
    until(laptop, "prepare:")
    laptop.kill()
    stopped = up.sweep("--stop", "first")
    assert "--resume first" in says(stopped) and stopped.returncode == 0
    wait_for(lambda: not any("sweep.launch" in line for line in up.head.processes()), 60, "the sweep to stop")

    laptop = up.sweep("--resume", "first", "--workers", "1")
    printed = says(laptop)
    assert laptop.returncode == 0, printed
    assert re.search(r"search: 2 of dimum", printed) and "fetched runs/first" in printed, printed
    here = up.home / "runs" / "first"
    assert (here / "report.html").is_file()
    assert states(here) == Counter(COMPLETE=4), rows(here, "trials")  # with the base model and the retrain control
    assert not made_twice(here)
    assert all(row["brightness"] is not None for row in rows(here, "trials")), "the worker had the metric from outside"


@pytest.mark.slow
def test_workers_join_strangers_do_not_a_plan_is_checked_there_and_ray_down_leaves_nothing(up: Cluster) -> None:
    with ThreadPoolExecutor() as beside:
        stranger = beside.submit(refused, up)  # Ray tries for a while
        for words, said, code in ASKED:
            command = up.sweep(*words)
            printed = says(command)
            assert command.returncode == code and all(words in printed for words in said), printed
        wait_for(lambda: up.nodes() == 1, 120, "a worker")
        assert stranger.result(), "a driver without the token was let in"
    up.ray("down", "-y", str(up.file))
    wait_for(lambda: not any(left(host) for host in (up.head, *up.workers)), 90, "hosts without Ray")
    gone = up.sweep("--fetch", "plan")
    assert "ray up" in says(gone) and gone.returncode == 2
