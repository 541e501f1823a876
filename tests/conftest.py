"""One torch thread, as in a trial; a Ray as the tests need it; and what a machine keeps, out of the user's way."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# The suite's processes share the cores: at the 15 that Ray gives its workers they wait for all tests beside them, minutes at times.
os.environ.setdefault("RAY_worker_niceness", "0")


@pytest.fixture(scope="session", autouse=True)
def kept_of_the_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder of the tests' own for what a machine's processes share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWEEP_CACHE", str(tmp_path_factory.mktemp("kept") / "cache"))
        yield
