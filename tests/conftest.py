"""One torch thread, as in a trial; a Ray as tests need it; what a machine keeps, out of its user's way; models made once."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# The suite's processes share the cores: at the 15 that Ray gives its workers they wait for all tests beside them, minutes at times.
os.environ.setdefault("RAY_worker_niceness", "0")

Lend = Callable[[str, Callable[[Path], object], Path], None]


@pytest.fixture(scope="session", autouse=True)
def kept_of_the_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder of the tests' own for what a machine's processes share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWEEP_CACHE", str(tmp_path_factory.mktemp("kept") / "cache"))
        yield


@pytest.fixture(scope="session")
def lend(tmp_path_factory: pytest.TempPathFactory) -> Lend:
    """Puts into an artifact store what is made into an empty one under this name: once for the tests of all processes."""
    own = tmp_path_factory.getbasetemp()
    lent = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "lent"

    def lend(name: str, make: Callable[[Path], object], artifacts: Path) -> None:
        made, part = lent / name, lent / f"{name}.part"
        lent.mkdir(exist_ok=True)
        with (lent / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(part, ignore_errors=True)  # of a process that failed at it
                make(part)
                part.rename(made)
        shutil.copytree(made, artifacts, dirs_exist_ok=True)

    return lend


@pytest.fixture(scope="session")
def lend_classifier(lend: Lend) -> Callable[[Path], None]:
    """Puts the embedded digits' classifier into an artifact store: a quarter of a minute of training."""

    def make(store: Path) -> None:
        from trainables.relearning.experiment import Experiment
        from trainables.relearning.products import make_classifier

        make_classifier(Experiment(store=str(store)))

    return lambda artifacts: lend("classifier", make, artifacts)
