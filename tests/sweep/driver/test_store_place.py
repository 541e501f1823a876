"""An artifact store that was moved is named with --artifacts; a run whose store is gone says so, and makes nothing again."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import ray
from recorded_run import write_run

from sweep import compact, gc, launch, records, repair, report
from sweep.driver.keeping import runs_beside
from sweep.driver.store_place import check_store, record_store
from sweep.errors import UsageError
from sweep.plan.folders import create_run_dir
from sweep.plan.plan import Plan
from sweep.records.folder import write_json
from trainables.store import Store, artifact_key

TINY = Path(__file__).parents[2] / "questions" / "tiny.py"
KEY = artifact_key("made", {}, {}, "code")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run in runs/ that has prepared one artifact, its store beside it."""
    plan = Plan.of(
        space=str(TINY), run_dir=str(tmp_path / "runs/run"), artifacts=str(tmp_path / "runs/artifacts"), in_process=True
    )
    create_run_dir(plan)
    run = tmp_path / "runs" / "run"
    (run / "records").mkdir()
    write_json(run / "prepared.json", {"keys": {"made": KEY}})
    Store(plan.artifacts).put(KEY, "made", {}, {"x": np.zeros(2)})
    return run


def refusal(command: object, *args: object, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that is refused."""
    assert command.main([str(arg) for arg in args]) == 2  # type: ignore[attr-defined]
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_a_store_that_is_there_says_nothing(run: Path) -> None:
    assert check_store(run, str(run.parent / "artifacts"), given=False) == ""


def test_a_resume_whose_store_is_gone_is_refused_and_makes_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = run.parent / "artifacts"
    store.rename(tmp_path / "moved")
    before = (run / "plan.json").read_bytes()
    for more in ([], ["--dry-run"]):
        said = refusal(launch, "--resume", run, *more, capsys=capsys)
        assert f"{store}: holds none of the 1 artifacts that {run} names, or is gone; say where it lies now" in said
        assert not store.exists() and (run / "plan.json").read_bytes() == before
    said = refusal(launch, "--resume", run, "--artifacts", tmp_path, capsys=capsys)
    assert f"--artifacts {tmp_path}: holds none of the 1 artifacts" in said
    assert launch.main(["--resume", str(run), "--artifacts", str(tmp_path / "moved"), "--dry-run"]) == 0
    assert (run / "plan.json").read_bytes() == before, "a dry run changes nothing"
    record_store(run, str(tmp_path / "moved"))
    assert check_store(run, records.read_json(run / "plan.json")["plan"]["artifacts"], given=False) == ""


def test_a_store_that_was_moved_along_with_the_run_is_guessed_and_one_that_was_emptied_is_made_again(
    run: Path, tmp_path: Path
) -> None:
    recorded = str(run.parent / "artifacts")
    run.parent.rename(tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere" / "run"
    with pytest.raises(UsageError, match=rf"perhaps --artifacts {tmp_path}/elsewhere/artifacts; an empty folder"):
        check_store(moved, recorded, given=False)
    Path(recorded).mkdir(parents=True)
    assert check_store(moved, recorded, given=False).endswith("names: they are made again")


def test_repair_and_gc_take_the_stores_new_place_and_refuse_another(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.parent / "artifacts").rename(tmp_path / "moved")
    other = Store(tmp_path / "other")
    other.put(artifact_key("other", {}, {}, "code"), "other", {})
    for command in (repair, gc):
        assert "say where" in refusal(command, run, capsys=capsys)
        refusal(command, run, "--artifacts", other.root, capsys=capsys)
    refusal(gc, run, "--artifacts", other.root, "--delete", "--age", 0, capsys=capsys)
    assert len(other.files()) == 1, "what a run has nothing in is not swept for it"
    assert gc.main([str(run), "--artifacts", str(tmp_path / "moved")]) == 0
    assert repair.main([str(run), "--artifacts", str(tmp_path / "moved"), "--dry-run"]) == 0


@pytest.fixture
def read_only() -> Iterator[tuple[Path, Path]]:
    """A run that this process cannot write, and a folder that it can: as root it is another user for a while."""
    place = Path(tempfile.mkdtemp())
    run, free = write_run(place / "run"), place / "free"
    free.mkdir()
    place.chmod(0o755)
    free.chmod(0o777)
    store = ["--artifacts", str(run / "artifacts")]
    for command, args in ((report, ["-o", str(free / "first.html")]), (gc, store)):
        assert command.main([str(run), *args]) == 0  # what is imported on the way is read before this is another user
    (run / ".driver.lock").unlink()
    for path in (run, *run.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield run, free
    finally:
        if root:
            os.seteuid(0)
        for path in (run, *(p for p in run.rglob("*") if p.is_dir())):
            path.chmod(0o755)
        shutil.rmtree(place)


def test_a_run_that_cannot_be_written_is_reported_elsewhere_and_elsewise_refused_in_one_line(
    read_only: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, free = read_only
    capsys.readouterr()
    assert report.main([str(run), "-o", str(free / "page.html")]) == 0
    assert (free / "page.html").stat().st_size > 100_000
    for command, more in ((compact, []), (gc, ["--artifacts", run / "artifacts"])):
        said = refusal(command, run, *more, capsys=capsys)
        assert f"{run}: cannot be written (Permission denied); copy it" in said
    assert "cannot be written: Permission denied" in refusal(report, run, capsys=capsys)


@pytest.mark.parametrize("dead", [True, False])
def test_a_worker_that_died_is_one_line_and_no_traceback_in_tunes_log(dead: bool) -> None:
    from sweep.driver.tune import ToldOnce

    said: list[str] = []
    error = ray.exceptions.ActorDiedError() if dead else RuntimeError("of Tune's own")
    record = logging.LogRecord("tune", logging.ERROR, "", 0, "Trial task failed", None, (type(error), error, None))
    searcher = SimpleNamespace(error=None)
    assert ToldOnce(searcher, said.append).filter(record) is not dead  # type: ignore[arg-type]
    assert [line.partition(":")[0] for line in said] == ["a worker's process ended"] * dead
    assert ToldOnce(searcher, None).filter(record), "--verbose shows all of it"  # type: ignore[arg-type]
    searcher.error = error
    assert not ToldOnce(searcher, None).filter(record)  # type: ignore[arg-type]


def test_every_reader_finds_a_store_where_it_was_moved_to(run: Path) -> None:
    """Of two runs on one store each must know the other, or ``--keep front`` of one removes what the other names."""
    beside = Path(shutil.copytree(run, run.with_name("beside")))
    moved = str(run.parent / "moved")
    for folder in (run, beside):
        record_store(folder, moved)
        plan = records.read_json(folder / "plan.json")
        assert plan["artifacts"] == plan["plan"]["artifacts"] == moved
    assert [other.name for other in runs_beside(run, moved)] == ["beside"]
    split = records.read_json(beside / "plan.json")
    write_json(beside / "plan.json", split | {"artifacts": "as earlier drivers left it"})
    assert [other.name for other in runs_beside(run, moved)] == ["beside"]
