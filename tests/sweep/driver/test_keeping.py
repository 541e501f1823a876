"""``--keep front`` and ``sweep.gc``: what is removed, what stays, and that nothing is lost by a kill between two deletions."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agenda_by_hand import agenda_of, finish, plan_in, report, stage

from sweep import gc, launch, records
from sweep.driver.keeping import Keeping, keys_of, runs_beside, unfinished_since
from sweep.driver.unneeded import unneeded
from sweep.jobs import Job
from sweep.plan.asked import plan_of
from sweep.plan.paths import own_artifacts
from sweep.plan.plan import Plan
from sweep.reading.sweep import read_sweep
from trainables.store import READ_WITH, RESTS_ON, Store

ROOT = Path(__file__).parents[3]
QUICK = str(ROOT / "tests" / "questions" / "quick.py")
SMALL = ("--space", QUICK, "--in-process", "--trials", "4", "--baseline-trials", "1", "--base-steps", "2",
         "--samples-forgotten", "2", "--samples-per-retained", "2", "--confirm-seeds", "1", "--confirm-members", "1",
         "--confirm-neighbours", "0", "--fid-budget", "100000", "--sampler", "random", "--sampling-steps", "2")  # fmt: skip


def killed(after: int, main: Callable[[list[str]], int], *args: object) -> None:
    """The command in a process of its own, which is killed in place of a removal after so many."""
    child = os.fork()
    if child == 0:
        remove, left = Store.remove, [after]

        def counted(store: Store, path: str) -> None:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            remove(store, path)

        Store.remove = counted  # type: ignore[method-assign]
        try:
            main([*map(str, args)])
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def whole(store: Store) -> set[str]:
    """Keys of the artifacts that are there; each is verified."""
    keys = {f.key for f in store.files() if f.what == "json"}
    assert all(store.examine(key) == "whole" for key in keys)
    return keys


def trials(run: Path) -> list[dict[str, Any]]:
    """The trials' rows but for the clock's."""
    return [{k: v for k, v in r.items() if k != "told_at"} for r in sorted(records.rows(run, "trials"), key=str)]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, lend_classifier: Callable[[Path], None]) -> Path:
    """A sweep that kept all, to copy: its run folder holds its store, which lay beside it while it ran."""
    folder = tmp_path_factory.mktemp("swept")
    run, store = folder / "run", folder / "store"
    lend_classifier(store)
    args = [*SMALL, "--run-dir", str(run), "--artifacts", str(store)]
    subprocess.run([sys.executable, "-m", "sweep.launch", *args], cwd=ROOT, check=True, capture_output=True)
    store.rename(run / "artifacts")
    plan = run / "plan.json"
    plan.write_text(plan.read_text().replace(str(store), str(run / "artifacts")))
    return run


@pytest.fixture
def run(swept: Path, tmp_path: Path) -> Path:
    """A copy of it, which says in its plan that it is one."""
    copy = Path(shutil.copytree(swept, tmp_path / "run"))
    plan = copy / "plan.json"
    plan.write_text(plan.read_text().replace(str(swept), str(copy)))
    return copy


def keep_front(run: Path) -> None:
    plan = run / "plan.json"
    plan.write_text(plan.read_text().replace('"keep": "all"', '"keep": "front"'))


@pytest.mark.slow
def test_a_run_that_keeps_its_front_loses_the_others_artifacts_and_nothing_else(run: Path, tmp_path: Path) -> None:
    store, before, rows = Store(run / "artifacts"), whole(Store(run / "artifacts")), trials(run)
    front = read_sweep(run)
    keep = {m.trial_id for arm in front.arms.values() for m in (*arm.front, *arm.search_front, *arm.confirmed_members)}
    losers = {r["trial_id"] for r in rows if r["arm"] != "control"} - keep
    assert losers and keep
    of_losers = keys_of(run) - keys_of(run, but=losers)
    keep_front(run)
    killed(0, launch.main, "--resume", run, "--in-process")
    assert whole(store) == before
    killed(1, launch.main, "--resume", run, "--in-process")  # its sidecar is gone, its tensors are not
    assert len(whole(store)) == len(before) - 1
    assert launch.main(["--resume", str(run), "--in-process"]) == 0
    assert whole(store) == before - of_losers
    assert {f.key for f in store.files()} == before - of_losers, "what a kill left went too"
    assert trials(run) == rows, "nothing was run again"
    assert [r for r in records.rows(run, "stages") if r["key"] in of_losers], "the records remain"
    assert (run / "report.html").is_file()


@pytest.mark.slow
def test_what_a_run_beside_it_names_stays(run: Path) -> None:
    before = whole(Store(run / "artifacts"))
    beside = Path(shutil.copytree(run, run.with_name("beside"), ignore=shutil.ignore_patterns("artifacts")))
    keep_front(run)
    assert launch.main(["--resume", str(run), "--in-process"]) == 0
    assert whole(Store(run / "artifacts")) == before
    shutil.rmtree(beside)


def test_a_run_that_keeps_its_front_has_a_store_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(*args: str) -> Plan:
        return plan_of(launch.parser().parse_args(["--space", QUICK, "--run-dir", "here/run", *args]), launch.parser())

    monkeypatch.chdir(tmp_path)
    assert plan().keep == "all" and plan().artifacts == str(tmp_path / "runs" / "artifacts")
    assert plan("--keep", "front").artifacts == str(tmp_path / "here" / "run" / "artifacts")
    assert plan("--keep", "front", "--artifacts", "a").artifacts == str(tmp_path / "a")
    own = own_artifacts("s3://bucket/x?region=a", "here/run")
    assert re.fullmatch(r"s3://bucket/x/run-[0-9a-f]{8}/artifacts\?region=a", own)
    assert own != own_artifacts("s3://bucket/x?region=a", "here/run"), "two machines may name their runs alike"


def test_while_the_search_goes_on_what_failed_is_removed_of_arms_that_have_a_feasible_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the others it may yet be confirmed as the closest. Several are removed at once."""
    monkeypatch.setattr("sweep.driver.keeping._AT_ONCE", 2)
    (tmp_path / "run").mkdir()
    agenda = agenda_of(plan_in(tmp_path, trials=6, baseline_trials=3, keep="front"))
    store, keeping = Store(agenda.plan.artifacts), Keeping(agenda)
    made: dict[str, list[str]] = {"dimum": [], "label_swap": []}

    def left() -> dict[str, list[bool]]:
        return {arm: [store.find(key) is not None for key in keys] for arm, keys in made.items()}

    def fail(job: Job) -> None:
        made[job.arm].append(uuid.uuid4().hex * 2)
        store.put(made[job.arm][-1], "model", {}, {"x": np.zeros(3)})
        assert agenda.take(job.name, report() | {"stage": stage("unlearn", made[job.arm][-1])}) is None
        keeping.take(agenda.fail(job.name, "RuntimeError: diverged"))

    jobs = {arm: [] for arm in made}
    for job in (agenda.next_job() for _ in range(9)):
        jobs[job.arm].append(job)
    keeping.take(finish(agenda, jobs["dimum"].pop()))
    fail(jobs["dimum"].pop())
    fail(jobs["label_swap"].pop())
    assert left() == {"dimum": [False], "label_swap": [True]}
    keeping.take(finish(agenda, jobs["dimum"].pop()))
    fail(jobs["dimum"].pop())
    assert left() == {"dimum": [False, True], "label_swap": [True]}, "one alone waits for another"
    keeping.take(finish(agenda, jobs["label_swap"].pop(), fid_delta=9.0))
    fail(jobs["label_swap"].pop())
    assert left() == {"dimum": [False, False], "label_swap": [True, True]}, "one that breaks a bound is no front"


# ---------------------------------------------------------------- sweep.gc


def strangers(store: Store) -> dict[str, Path]:
    """An artifact that nobody names, and what a killed writer, a killed deletion and a killed stage leave."""
    root = Path(store.root)
    keys = {name: uuid.uuid4().hex * 2 for name in ("artifact", "orphan", "checkpoint", "half")}
    paths = {name: root / key[:2] / f"{key}.safetensors" for name, key in keys.items()}
    for name in ("artifact", "orphan"):
        store.put(keys[name], "score", {}, {"x": np.zeros(1000)})
    paths["orphan"].with_suffix(".json").unlink()
    store.save_partial(keys["checkpoint"], {"x": np.zeros(1000)})
    paths["checkpoint"] = root / "partial" / paths["checkpoint"].name
    paths["half"] = paths["half"].with_name(f"{paths['half'].name}.{uuid.uuid4().hex}.tmp")
    paths["half"].parent.mkdir(exist_ok=True)
    paths["half"].write_bytes(b"half")
    return paths


def collect(*args: object) -> int:
    return gc.main([*map(str, args)])


@pytest.mark.slow
def test_a_store_whose_runs_are_all_named_has_nothing_to_remove(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect(run, "--age", 0) == 0
    assert ": not needed: 0 artifacts: 0 bytes; kept: " in capsys.readouterr().out


@pytest.mark.slow
def test_what_no_run_needs_is_counted_then_removed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(run / "artifacts")
    before, paths = whole(store), strangers(store)
    size = sum(p.stat().st_size for p in paths.values()) + paths["artifact"].with_suffix(".json").stat().st_size
    note = Path(store.root) / "note.txt"
    note.write_text("of the user's own")
    assert collect(run) == 0
    assert "not needed: 0 artifacts: 0 bytes" in capsys.readouterr().out, "all of it is young"
    assert collect(run, "--age", 0) == 0
    told = capsys.readouterr().out
    assert f"not needed: 1 artifact, 1 checkpoint, 2 half-written files: {size} bytes" in told and "--delete" in told
    assert all(p.exists() for p in paths.values())
    assert collect(run, "--age", 0, "--delete") == 0
    assert not any(p.exists() for p in paths.values()) and whole(store) == before and note.exists()


@pytest.mark.slow
def test_an_unfinished_run_keeps_what_was_made_since_it_began(run: Path) -> None:
    status = run / "status.json"
    status.write_text(re.sub(r'"state": "\w+"', '"state": "interrupted"', status.read_text()))
    paths = strangers(Store(run / "artifacts"))
    os.utime(paths["checkpoint"], (0, 0))
    assert collect(run, "--age", 0, "--delete") == 0
    assert {name for name, path in paths.items() if not path.exists()} == {"checkpoint"}


@pytest.mark.slow
def test_a_kill_between_two_deletions_leaves_whole_artifacts_and_the_next_removes_the_rest(run: Path) -> None:
    store = Store(run / "artifacts")
    before, _ = whole(store), strangers(store)
    for after in (0, 1, 2):
        killed(after, gc.main, run, "--age", 0, "--delete")
        assert before <= whole(store)
        strangers(store)
    assert collect(run, "--age", 0, "--delete") == 0
    assert whole(store) == before and {f.key for f in store.files()} == before


@pytest.mark.slow
def test_a_run_that_is_driven_or_damaged_or_none_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = strangers(Store(run / "artifacts"))
    with open(run / ".driver.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert collect(run, "--age", 0, "--delete") == 2
        assert "another driver" in capsys.readouterr().err
    part = next((run / "records" / "stages").glob("*.parquet"))
    content = part.read_bytes()
    part.write_bytes(content[:100])
    assert collect(run, "--age", 0, "--delete") == 2
    assert "python -m sweep.repair" in capsys.readouterr().err
    part.write_bytes(content)
    for args in ([tmp_path / "none"], [run, "--age", "-1"]):
        assert collect(*args, "--delete") == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert all(p.exists() for p in paths.values())


def test_files_are_told_apart(tmp_path: Path) -> None:
    store, began = Store(tmp_path), time.time()
    strangers(store)
    assert sorted(f.what for f in store.files()) == ["json", "partial", "safetensors", "safetensors", "unfinished"]
    assert all(f.size > 0 and f.modified > began - 2 for f in store.files())
    assert Store(tmp_path / "nowhere").files() == []


def test_what_an_artifact_that_is_kept_rests_on_is_kept_with_it(tmp_path: Path) -> None:
    """An unlearned model holds what differs from its start model, and that of another: without them it cannot be read."""
    store, run = Store(tmp_path / "store"), tmp_path / "run"
    keys = {
        name: character * 64 for name, character in zip(("start", "middle", "named", "of nobody"), "abcd", strict=True)
    }
    rests_on = {"middle": "start", "named": "middle", "of nobody": "start"}
    for name, key in keys.items():
        facts = {RESTS_ON: keys[rests_on[name]]} if name in rests_on else {}
        store.put(key, "model", facts, {"x": np.zeros(100)})
    run.mkdir()
    (run / "status.json").write_text('{"state": "finished"}')

    def kept(named: list[str], before: float) -> set[str]:
        (run / "prepared.json").write_text(json.dumps({"keys": {name: keys[name] for name in named}}))
        found = unneeded(store, [run], before)
        gone = {f.key for f in found.artifacts}
        assert {f.key for f in found.kept} == set(keys.values()) - gone, "a file is kept or goes, and never both"
        return {name for name, key in keys.items() if key not in gone}

    later = time.time() + 60
    assert kept(["named"], later) == {"named", "middle", "start"}
    assert kept(["start"], later) == {"start"}
    assert kept([], later) == set()
    for suffix in ("json", "safetensors"):  # all is old but for what a run that is not named may be writing
        for name in ("start", "middle", "named"):
            os.utime(tmp_path / "store" / keys[name][:2] / f"{keys[name]}.{suffix}", (0, 0))
    assert kept([], 1000.0) == {"of nobody", "start"}


def test_the_prompts_that_a_model_is_told_are_kept_with_it(tmp_path: Path) -> None:
    """Nobody names a stranger's table, but his model cannot be read without it."""
    store, run = Store(tmp_path / "store"), tmp_path / "run"
    table, model, other = (character * 64 for character in "abc")
    store.put(table, "prompts", {"prompts": ["a cat"]}, {"context": np.zeros(3)})
    store.put(model, "imported", {READ_WITH: {"prompts": table}}, {"x": np.zeros(3)})
    store.put(other, "prompts", {READ_WITH: 7}, {"context": np.zeros(3)})
    run.mkdir()
    (run / "status.json").write_text('{"state": "finished"}')
    (run / "prepared.json").write_text(json.dumps({"keys": {"model": model}}))
    assert {file.key for file in unneeded(store, [run], time.time() + 60).kept} == {table, model}


def test_a_track_and_what_a_sweep_that_runs_made_meanwhile_are_known_beside_a_run(tmp_path: Path) -> None:
    for name, file in (("run", "plan.json"), ("sweep", "plan.json"), ("track", "track.json"), ("other", "track.json")):
        (tmp_path / name).mkdir()
        place = "elsewhere" if name == "other" else "store"
        (tmp_path / name / file).write_text(json.dumps({"plan": {"artifacts": place}}))
    assert [one.name for one in runs_beside(tmp_path / "run", "store")] == ["sweep", "track"]
    status, began = tmp_path / "sweep" / "status.json", "2026-11-30T10:00:00+00:00"
    assert unfinished_since(tmp_path / "sweep") == 0.0, "it has not said when it began"
    status.write_text(json.dumps({"state": "running", "started_at": began}))
    assert unfinished_since(tmp_path / "sweep") == dt.datetime.fromisoformat(began).timestamp()
    status.write_text(json.dumps({"state": "finished", "started_at": began}))
    assert unfinished_since(tmp_path / "sweep") is None


@pytest.mark.slow
def test_what_a_run_beside_it_that_still_runs_may_have_made_stays(run: Path) -> None:
    """Its driver hears of a stage after the store has it: nothing names what was made in between."""
    before = whole(Store(run / "artifacts"))
    beside = run.with_name("beside")
    beside.mkdir()
    shutil.copy(run / "plan.json", beside)
    (beside / "status.json").write_text(json.dumps({"state": "running", "started_at": "2026-01-01T00:00:00+00:00"}))
    keep_front(run)
    assert launch.main(["--resume", str(run), "--in-process"]) == 0
    assert whole(Store(run / "artifacts")) == before
