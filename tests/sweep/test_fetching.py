"""Results that are fetched from a cluster, more than once, and of a run that goes on."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import recorded_run

from sweep import records
from sweep.cluster import files, remote
from sweep.errors import UsageError
from sweep.records.folder import compact

GPU = Path(__file__).parents[2] / "cluster" / "gpu.yaml"
pytestmark = pytest.mark.skipif(not (shutil.which("rsync") or os.environ.get("CI")), reason="rsync is not installed")


class Reached(remote.Head):
    """A head that answers: a home folder of this machine."""

    def __init__(self, home: Path) -> None:
        super().__init__(files.read(str(GPU)))
        self.home = home

    def ask(self, command: str) -> str:
        asked = {"env": os.environ | {"HOME": str(self.home)}, "text": True, "timeout": 60}
        return subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.PIPE, **asked).stdout

    def fetch(self, source: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["rsync", "-a", f"{source.replace('~', str(self.home))}/", f"{folder}/"], check=True)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in the head's storage, fetched from this folder."""
    monkeypatch.chdir(tmp_path)
    return recorded_run.write_run(tmp_path / "storage" / "first", artifacts=False)


def fetch(head: remote.Head, run: Path) -> Path:
    assert remote.fetch(head, run.name, argparse.Namespace(storage=str(run.parent), cluster=str(GPU))) == 0
    return Path("runs") / run.name


def test_a_run_that_is_fetched_again_has_every_row_once_and_another_runs_folder_is_left_alone(
    tmp_path: Path, there: Path
) -> None:
    head = Reached(tmp_path)
    here = fetch(head, there)
    before = sorted(r["trial_id"] for r in records.rows(here, "replicates"))
    (here / "dimum-0001-model").mkdir()
    compact(there)
    fetch(head, there)
    assert sorted(r["trial_id"] for r in records.rows(here, "replicates")) == before != []
    assert (here / "dimum-0001-model").is_dir(), "what was exported into it stays"
    assert sorted(p.name for p in here.parent.iterdir()) == ["first"]
    plan = json.loads((there / "plan.json").read_text())
    (there / "plan.json").write_text(json.dumps(plan | {"space_fingerprint": "another"}))
    with pytest.raises(UsageError, match="runs/first: is of another run; rename it, then fetch first again"):
        fetch(head, there)
    assert sorted(r["trial_id"] for r in records.rows(here, "replicates")) == before


def test_the_models_of_a_run_with_a_store_of_its_own_stay_there_and_it_is_said_where(
    tmp_path: Path, there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (there / "artifacts").mkdir(exist_ok=True)
    (there / "artifacts" / "model.safetensors").write_bytes(b"gigabytes")
    here = fetch(Reached(tmp_path), there)
    assert not (here / "artifacts").exists() and (here / "plan.json").is_file()
    assert not list(tmp_path.rglob("first/artifacts/*"))[1:], "nor were they copied on the head"
    told = capsys.readouterr().out
    assert (
        f"ray rsync-down {GPU} {there}/artifacts/ runs/first/artifacts/, then name them: --artifacts runs/first" in told
    )
    (here / "artifacts").mkdir()
    (here / "artifacts" / "model.safetensors").write_bytes(b"gigabytes")
    fetch(Reached(tmp_path), there)
    assert (here / "artifacts" / "model.safetensors").is_file(), "what was brought stays"


def test_a_fetch_that_was_interrupted_goes_on_and_leaves_nothing_that_the_head_has_no_more(
    tmp_path: Path, there: Path
) -> None:
    class Interrupted(Reached):
        def fetch(self, source: str, folder: Path) -> None:
            super().fetch(source, folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"^go on with: .* --fetch first$"):
        fetch(Interrupted(tmp_path), there)
    coming = tmp_path / "runs" / ".first.fetching"
    (coming / "artifacts" / "some").mkdir(parents=True)
    (coming / "artifacts" / "some" / "model.safetensors").write_bytes(b"of an earlier version's fetch")
    began = {file.name: file.stat().st_ino for file in coming.rglob("*.json")}
    compact(there)
    here = fetch(Reached(tmp_path), there)
    assert {name: (here / name).stat().st_ino for name in began} == began != {}, "what had come did not come again"
    for table in records.TABLES:
        assert len(list((here / "records" / table).iterdir())) == 1
        assert records.rows(here, table) == records.rows(there, table)
    assert not (here / "artifacts").exists() and not coming.exists()
