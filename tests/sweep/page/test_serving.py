"""A live page says that it has all only where it has."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_run import write_run

from sweep.page import serving
from sweep.reading.sweep import Sweep, read_sweep
from sweep.records import read_json
from sweep.records.folder import write_json


def told(run: Path, state: str) -> None:
    write_json(run / "status.json", read_json(run / "status.json") | {"state": state})


def test_a_run_that_ends_while_its_page_is_made_is_not_told_to_be_over_by_that_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hears that nothing more will come asks no more: a page made before the last record would stay as it is."""
    run = write_run(tmp_path / "run", artifacts=False)
    told(run, "running")

    def ends_meanwhile(folder: Path) -> Sweep:
        sweep = read_sweep(folder)
        told(run, "finished")
        return sweep

    pages = serving.Pages([str(run)])
    monkeypatch.setattr(serving, "read_sweep", ends_meanwhile)
    first = pages.get()
    assert not first.final and "Nothing more will come" not in first.page
    monkeypatch.setattr(serving, "read_sweep", read_sweep)
    last = pages.get()
    assert last.final and last.version != first.version and "Nothing more will come" in last.page
    assert pages.get() == last
