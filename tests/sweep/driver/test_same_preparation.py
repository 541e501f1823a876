"""A run goes on only where what was prepared for it is still the same; what it prepared beyond that does no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.driver.sweep import _same_preparation
from sweep.errors import UsageError
from sweep.records.folder import write_json


def test_a_run_that_prepared_more_than_is_needed_now_goes_on_and_one_that_differs_does_not(tmp_path: Path) -> None:
    path = tmp_path / "prepared.json"
    write_json(path, {"keys": {"base model": "a", "synthetic set": "b"}, "fid_budget": 4.0})
    now = {"keys": {"base model": "a"}, "fid_budget": 4.0, "shared": ["a"]}
    prepared = _same_preparation(path, now, ("fid_budget",))
    assert prepared["keys"] == {"base model": "a", "synthetic set": "b"} and prepared["shared"] == ["a"]
    for other in ({"keys": {"base model": "c"}}, {"keys": {"base model": "a", "new": "d"}}, {"fid_budget": 5.0}):
        with pytest.raises(UsageError, match="differ from this run's"):
            _same_preparation(path, now | other, ("fid_budget",))
