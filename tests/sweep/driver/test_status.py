"""What ``status.json`` says of a run that runs, that was stopped, and that came to its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from agenda_by_hand import plan_in

from sweep import records
from sweep.driver.sweep import Shared, drive
from sweep.jobs import Jobs, View
from sweep.procedures import Execute
from sweep.terminal.lines import Progress


def status_after(folder: Path, error: BaseException) -> dict[str, Any]:
    """The status that a run is left with whose preparing is stopped by this."""
    plan = plan_in(folder, in_process=True)
    Path(plan.run_dir).mkdir(parents=True, exist_ok=True)

    def open_(execute: Execute) -> tuple[Jobs, Sequence[View]]:
        running = records.read_json(Path(plan.run_dir) / "status.json")
        assert (running["state"], running["cause"], running["finished_at"]) == ("running", None, None)
        raise error

    with pytest.raises(type(error)):
        drive(plan, open_, Shared(plan.artifacts, lambda waiting: ""), Progress())
    return records.read_json(Path(plan.run_dir) / "status.json")


def test_an_error_is_the_cause_and_nothing_else(tmp_path: Path) -> None:
    status = status_after(tmp_path, RuntimeError("no more"))
    assert status.keys() == {"state", "cause", "started_at", "finished_at"}
    assert (status["state"], status["cause"], status["finished_at"]) == ("failed", "RuntimeError('no more')", None)
    again = status_after(tmp_path, KeyboardInterrupt())
    assert (again["state"], again["cause"]) == ("interrupted", "KeyboardInterrupt()")
    assert again["started_at"] == status["started_at"]
