"""Tasks that prepare: one that waits for a node says for what, and one that does nothing is ended and tried again."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray

from sweep.driver import pending
from sweep.driver.on_ray import OnRay
from sweep.driver.pending import missing
from sweep.errors import UsageError
from sweep.plan.place import Place
from sweep.procedures import Task
from sweep.terminal.lines import Progress

ASKED = {"CPU": 1.0, "GPU": 0.5, "accelerator_type:A10G": 0.001}
SMALL, LARGE = {"CPU": 4.0}, {"CPU": 4.0, "GPU": 1.0, "accelerator_type:A10G": 1.0}


@pytest.mark.parametrize(
    "nodes, said",
    [
        ([], "the cluster has none"),
        ([SMALL], "none of 1 has GPU 0.5, accelerator_type:A10G 0.001"),
        ([SMALL, {"CPU": 4.0, "GPU": 1.0}], "none of 2 has accelerator_type:A10G 0.001"),
        (
            [SMALL, {"GPU": 1.0, "accelerator_type:A10G": 1.0}],
            "none of 2 has CPU 1, GPU 0.5, accelerator_type:A10G 0.001 together",
        ),
        ([SMALL, LARGE], "those that have what it asks for are busy"),
    ],
)
def test_what_a_waiting_task_misses_is_told(nodes: list[dict[str, float]], said: str) -> None:
    assert missing(ASKED, nodes) == said


IDLER = """
import sys, time
from trainables.trial import last_breath_of_idlers
with last_breath_of_idlers(1.0):
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if sys.argv[1] == "waits":
            time.sleep(0.5)
print("done")
"""


@pytest.mark.parametrize("how, code", [("waits", 1), ("computes", 0)])
def test_a_process_that_does_nothing_for_too_long_ends_and_one_that_computes_does_not(how: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", IDLER, how], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    assert ("Timeout" in done.stderr and "line 6" in done.stderr) == (how == "waits")


@dataclass
class Planned:
    """A plan as far as its driver asks."""

    place: Place
    run_dir: str = "nowhere"  # nothing is written


class Said(Progress):
    """Keeps what is said; says nothing of how far tasks are: those here train nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def quiet_for(self) -> float:
        return 0.0


@pytest.fixture(scope="module")
def one_core() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="ray-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


def hanging(always: bool) -> Callable[[str], str]:
    """A task that does nothing, the first time or whenever it is tried, and then says who did it."""

    def hang(folder: str) -> str:
        tries = Path(folder) / "tries"
        with open(tries, "a") as file:
            file.write(f"{os.getpid()}\n")
        if always or len(tries.read_text().splitlines()) == 1:
            time.sleep(1000)
        return str(os.getpid())

    return hang


@pytest.mark.slow
def test_a_task_that_hangs_is_ended_and_tried_again_and_named_where_it_hangs_each_time(
    one_core: None, tmp_path: Path
) -> None:
    workers = OnRay(Planned(Place(workers=1, address="there", trial_timeout=3.0)), [], Said())  # type: ignore[arg-type]
    made = workers.execute({"base model": Task(hanging(always=False), (str(tmp_path),))})
    first, second = (tmp_path / "tries").read_text().split()
    assert made == {"base model": second} and first != second
    (tmp_path / "tries").unlink()
    with pytest.raises(
        UsageError, match=r"made base model was killed.*did nothing for 3 s \(--trial-timeout\)"
    ) as told:
        workers.execute({"base model": Task(hanging(always=True), (str(tmp_path),))})
    assert "\n" not in str(told.value) and len((tmp_path / "tries").read_text().split()) == 3


@pytest.mark.slow
def test_a_task_that_no_node_begins_says_what_it_waits_for(one_core: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def slept(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    monkeypatch.setattr(pending, "_TOLD_EVERY_S", 1.0)
    said = Said()
    workers = OnRay(Planned(Place(workers=1, address="there", trial_timeout=0.0)), [], said)  # type: ignore[arg-type]
    tasks: dict[str, Any] = {"classifier": Task(slept, (5.0,)), "reference": Task(slept, (0.0,))}
    tasks["score"] = Task(slept, (0.0,), needs=("classifier",))
    assert workers.execute(tasks) == {"classifier": 5.0, "reference": 0.0, "score": 0.0}
    waits = [line.split()[1] for line in said.lines if "has waited" in line and line.endswith("are busy")]
    assert waits[-2:] == ["reference", "reference"], "the classifier has begun by then, and the score waits for it"
