"""Results that are fetched from a cluster, more than once."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pytest
import recorded_run

from sweep import records
from sweep.cluster import files, remote
from sweep.errors import UsageError
from sweep.records.folder import compact

GPU = Path(__file__).parents[2] / "cluster" / "gpu.yaml"


class Reached(remote.Head):
    """A head that answers, whose run folder is one of this machine."""

    def __init__(self, run: Path) -> None:
        super().__init__(files.read(str(GPU)))
        self.run = run

    def ask(self, command: str) -> str:
        return ""

    def fetch(self, source: str, folder: Path) -> None:
        shutil.copytree(self.run, folder, dirs_exist_ok=True)  # as rsync without --delete does


def test_a_run_that_is_fetched_again_has_every_row_once_and_another_runs_folder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there, here = recorded_run.write_run(tmp_path / "there", artifacts=False), tmp_path / "runs" / "first"
    args = argparse.Namespace(storage="", cluster=str(GPU))
    assert remote.fetch(Reached(there), "first", args) == 0
    before = sorted(r["trial_id"] for r in records.rows(here, "replicates"))
    (here / "dimum-0001-model").mkdir()
    compact(there)
    assert remote.fetch(Reached(there), "first", args) == 0
    assert sorted(r["trial_id"] for r in records.rows(here, "replicates")) == before != []
    assert (here / "dimum-0001-model").is_dir(), "what was exported into it stays"
    assert sorted(p.name for p in here.parent.iterdir()) == ["first"]
    plan = json.loads((there / "plan.json").read_text())
    (there / "plan.json").write_text(json.dumps(plan | {"space_fingerprint": "another"}))
    with pytest.raises(UsageError, match="runs/first: is of another run; rename it, then fetch first again"):
        remote.fetch(Reached(there), "first", args)
    assert sorted(r["trial_id"] for r in records.rows(here, "replicates")) == before
