"""The kept tracks' tables are what this code makes of their rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.relearning_track import ASKED, KEPT, PARTS, tables


@pytest.mark.parametrize("name", ASKED)
def test_the_kept_tables_are_what_readers_make_of_the_rows_now(name: str, tmp_path: Path) -> None:
    tables(name, tmp_path)
    assert (tmp_path / f"{name}.md").read_text() == (KEPT / f"{name}.md").read_text()
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(f"{name}{ending}" for ending in PARTS.values())
